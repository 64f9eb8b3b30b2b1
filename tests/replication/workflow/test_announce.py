"""What a run says before it starts."""

from pathlib import Path

import pytest

from replication.workflow.announce import announcement, main, seconds_file

RUN = ".venv/bin/python -m replication.workflow.run_notebook"
LINES = [f"{RUN} notebooks/0{i}_x.ipynb --profile p\n" for i in (1, 2)]


def test_nothing_to_run_is_silence(tmp_path: Path) -> None:
    assert announcement(["touch build/ci/01.done\n"], tmp_path) == ""


def test_a_first_run_says_that_it_knows_no_times(tmp_path: Path) -> None:
    assert announcement(LINES, tmp_path).startswith("2 notebooks to run; no times")


def test_known_times_are_added_and_unknown_ones_counted(tmp_path: Path) -> None:
    seconds_file(tmp_path, Path("01_x.ipynb")).write_text("150.0\n")
    assert (
        announcement(LINES, tmp_path)
        == "2 notebooks to run; last time 2 min, 1 of them without one"
    )
    seconds_file(tmp_path, Path("02_x.ipynb")).write_text("torn")
    assert "1 of them without one" in announcement(LINES, tmp_path)
    assert announcement(LINES[:1], tmp_path) == "1 notebook to run; last time 2 min"


def test_a_users_own_file_is_told_or_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question_id": "q", "traces": [{"text": "The answer is 4."}]}\n')
    monkeypatch.setenv("DEEPPRUNE_TRACES", str(path))
    monkeypatch.setattr("sys.stdin", LINES)
    main(["--build", str(tmp_path)])
    told = capsys.readouterr().out
    assert "1 traces; answers: 1 by a phrase, without a box; right answer unknown for 1" in told
    path.write_text("{")
    with pytest.raises(SystemExit, match=r"own\.jsonl:1: not JSON"):
        main(["--build", str(tmp_path)])
