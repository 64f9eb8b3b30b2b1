"""The questions of the profile small: what is stored, and what a plan refuses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deepprune_core.answers import partition
from replication.workflow.collect import questions_of
from replication.workflow.collection import Job
from replication.workflow.questions import (
    FOLDER,
    QuestionsError,
    load_plan,
    main,
    make_questions,
    stored_questions,
)

ROWS = pq.read_table(FOLDER / "questions.parquet").to_pylist()
PLAN = load_plan(FOLDER / "questions.yaml")


def test_no_template_and_no_text_stands_in_two_splits() -> None:
    for key in ("template", "text"):
        owners: dict[tuple[str, str], set[str]] = {}
        for row in ROWS:
            owners.setdefault((row["benchmark"], row[key]), set()).add(row["split"])
        assert all(len(splits) == 1 for splits in owners.values())
    assert len({row["text"] for row in ROWS}) == len(ROWS)


def test_every_benchmark_is_large_enough_and_its_answers_are_read() -> None:
    sizes = Counter((row["benchmark"], row["split"]) for row in ROWS)
    for name, source in PLAN.benchmarks.items():
        assert sizes[name, "test"] >= 60
        if "train" in source.splits:  # mixed teaches nobody
            assert sizes[name, "train"] >= 150 and sizes[name, "dev"] >= 40
    assert all(partition([row["gold"]])[0] == 0 for row in ROWS)


def test_the_stored_questions_are_what_the_generator_makes() -> None:
    pytest.importorskip("reasoning_gym")
    assert list(make_questions(PLAN)) == ROWS


def test_a_split_is_a_benchmark_of_a_job() -> None:
    found = questions_of(Job(reasoner="any", benchmarks=("words:dev",), traces=2), 0, 3)
    assert [q.question_id for q in found] == ["words/4/0", "words/4/1", "words/4/2"]
    assert {q.benchmark for q in found} == {"words"} and found[0].gold is not None
    with pytest.raises(QuestionsError, match="there are words:train, words:dev, words:test"):
        stored_questions("words:exam")
    with pytest.raises(QuestionsError, match="make questions"):
        stored_questions("words:dev", FOLDER / "nothing.parquet")


def test_a_template_in_two_splits_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.yaml"
    text = (FOLDER / "questions.yaml").read_text()
    plan.write_text(text.replace("templates: [4,", "templates: [1,"))
    assert main(["--plan", str(plan), "--out", str(tmp_path / "q.parquet")]) == 1
    said = capsys.readouterr().err
    assert "template 1 stands in train and in dev" in said and said.count("\n") == 1


def test_another_version_of_the_generator_is_refused() -> None:
    with pytest.raises(QuestionsError, match=r"pip install -r requirements-questions\.txt"):
        list(make_questions(PLAN.model_copy(update={"generator": "reasoning-gym==0.0.1"})))
