"""The loaders of the paper's benchmarks, on local folders in the hub's format."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from replication.workflow.benchmarks import BENCHMARKS, BenchmarkError, load_benchmark


def place(folder: Path, name: str) -> Path:
    path = folder / BENCHMARKS[name].hub / BENCHMARKS[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_jsonl(folder: Path, name: str, count: int, **fields: str) -> None:
    rows = [
        {"problem": f"Problem {i}?", "answer": str(i), **{k: f"{v}{i}" for k, v in fields.items()}}
        for i in range(count)
    ]
    place(folder, name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(folder: Path, name: str, rows: list[dict]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), place(folder, name))


def write_gpqa(folder: Path, count: int = 198) -> None:
    with place(folder, "gpqa-diamond").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        wrong = [f"Incorrect Answer {i}" for i in (1, 2, 3)]
        writer.writerow(["Record ID", "Question", "Correct Answer", *wrong, "Subdomain"])
        for i in range(count):
            writer.writerow([f"rec{i}", f'Which, "{i}"?\n', f"right {i}", "a", "b", "c", "x"])


def test_math_and_aime_2025_are_lines_of_json(tmp_path: Path) -> None:
    write_jsonl(tmp_path, "math-500", 500, unique_id="test/algebra/")
    write_jsonl(tmp_path, "aime-2025", 30, id="")
    found = load_benchmark("math-500", folder=tmp_path)
    assert found[7].question_id == "math-500/test/algebra/7"
    assert (found[7].text, found[7].gold, found[7].benchmark) == ("Problem 7?", "7", "math-500")
    assert [q.gold for q in load_benchmark("aime-2025", folder=tmp_path)][:2] == ["0", "1"]


def test_aime_years_are_told_apart_by_their_address(tmp_path: Path) -> None:
    rows = [
        {"id": i, "problem": f"P{i}", "answer": str(i), "solution": "",
         "url": f"https://wiki/{2022 + i % 3}_AIME_I_Problems/Problem_{i}"}
        for i in range(90)
    ]  # fmt: skip
    write_parquet(tmp_path, "aime-2022", rows)
    years = {y: load_benchmark(f"aime-{y}", folder=tmp_path) for y in (2022, 2023)}
    assert [q.gold for q in years[2022]][:3] == ["0", "3", "6"]
    assert not {q.text for q in years[2022]} & {q.text for q in years[2023]}
    write_parquet(tmp_path, "aime-2024", rows[:30])
    assert len(load_benchmark("aime-2024", folder=tmp_path)) == 30


def test_gpqas_letters_depend_on_seed_and_question_alone(tmp_path: Path) -> None:
    write_gpqa(tmp_path)
    first, again, other = (
        load_benchmark("gpqa-diamond", seed=s, folder=tmp_path) for s in (1, 1, 2)
    )
    assert first == again and first != other
    golds = [q.gold for q in first]
    assert all(30 <= golds.count(letter) <= 70 for letter in "ABCD")
    for i, question in enumerate(first):
        assert f"{question.gold}) right {i}" in question.text
        assert question.text.startswith(f'Which, "{i}"?\n\nA) ')


def test_another_count_or_field_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    write_gpqa(tmp_path, 197)
    with pytest.raises(BenchmarkError, match="expected 198 questions, got 197"):
        load_benchmark("gpqa-diamond", folder=tmp_path)
    place(tmp_path, "math-500").write_text('{"question": "x", "answer": "1"}\n')
    with pytest.raises(BenchmarkError, match=r"no field 'problem'; its fields are .*question"):
        load_benchmark("math-500", folder=tmp_path)


def test_what_cannot_be_had_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BenchmarkError, match=r"put it there"):
        load_benchmark("aime-2025", folder=tmp_path)
    with pytest.raises(BenchmarkError, match="no benchmark 'aime-1999'"):
        load_benchmark("aime-1999")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BenchmarkError, match=r"ask for access at .*Idavidrein/gpqa, set HF_TOKEN"):
        load_benchmark("gpqa-diamond")
