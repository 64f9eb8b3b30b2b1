"""What the notebooks call, on a small trace file."""

from __future__ import annotations

import json

import pytest

from deepprune_core.experiments.redundancy import redundancy_rows, redundancy_words
from deepprune_core.experiments.run import LeftOut, Run, open_run
from deepprune_core.experiments.text import span
from deepprune_core.workflow.profile import ROOT, load_profile

REPLAY = ROOT / "deepprune_core" / "profiles" / "replay.yaml"


def trace(words: int, answer: str) -> dict[str, object]:
    text = "so we add, " * words + rf"and get \boxed{{{answer}}}"
    return {"text": text, "answer": answer, "n_tokens": 10 * words}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    answers = {"a": ["1", "1", "1", "2"], "b": ["3", "3", "3", "3"]}
    lines = [
        {
            "question_id": name, "question": "How much?", "gold": given[0], "model": "m",
            "traces": [trace(20 + 4 * i, answer) for i, answer in enumerate(given)],
        }
        for name, given in answers.items()
    ]  # fmt: skip
    path = tmp_path / "small.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("DEEPPRUNE_TRACES", str(path))
    return Run(load_profile(REPLAY), tmp_path, tmp_path)


def test_cuts_shrink_to_a_share_of_short_traces(run):
    # Median of 20, 24, 28, 32 words is 26, of their tokens 260; a quarter of each.
    assert (run.cuts.words, run.cuts.tokens) == (6, 65)


def test_cuts_stay_where_traces_are_long_enough(run):
    long = run.profile.model_copy(update={"cuts": run.profile.cuts.model_copy(update={"words": 4})})
    assert Run(long, run.out, run.work).cuts.words == 4


def test_redundancy_counts_pairs_by_hand(run):
    whole = next(row for row in redundancy_rows(run) if row.benchmark == "all")
    assert whole.micro.value == pytest.approx((3 + 6) / 12)
    assert "lie between" not in redundancy_words(run, redundancy_rows(run))


def test_a_notebook_that_the_file_cannot_feed_is_left_out_and_says_why(run, tmp_path):
    with pytest.raises(LeftOut, match="no base model"):
        open_run(str(REPLAY), str(tmp_path / "figures"), "03")
    assert "Left out" in (tmp_path / "figures" / "notes" / "03.md").read_text()


def test_span_orders_numbers_not_letters():
    assert span(["10", "9", "-3"]) == "-3 to 10"
    assert span(["4", "4"]) == "4"
