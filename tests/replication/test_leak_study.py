"""Twins that differ in their questions alone; scores bound to what was asked; exact averages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from deepprune_core.reporting.tables import Estimate
from replication.leak_study import (
    TAUGHT,
    TWINS,
    crossed_table,
    read_scores,
    taught,
    test_sets,
    write_scores,
)
from replication.run import Run
from replication.untrained import judge_tokenizer
from replication.workflow.profile import ROOT, load_profile

test_sets.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(load_profile(ROOT / "replication/profiles/mini.yaml"), Path("out"), Path("work"))


@pytest.fixture(scope="module")
def data(run):
    return test_sets(run, judge_tokenizer(run))


def drawn(data, seed):
    rng = np.random.default_rng(seed)
    return {twin: [rng.random(len(part)).astype(np.float32) for part in data] for twin in TWINS}


def test_twins_read_as_much_and_no_trace_that_tests_them(run, data):
    asked = {text for pair in data[0].inputs for text in (pair.first, pair.second)}
    questions = {q.question_id for q in run.unseen[0].traces.questions}
    sizes = set()
    for twin in TWINS:
        found = taught(run, twin)
        ids = {q.question_id for q in found.traces.questions}
        assert (ids == questions) if twin.questions == "seen" else not ids & questions
        choice = sum("Options:" in q.text for q in found.traces.questions)
        sizes.add((len(ids), choice, len(found.pairs)))
        assert all(len(group) == TAUGHT for group in found.traces.traces)
    assert len(sizes) == 1
    seen = taught(run, TWINS[1])
    texts = {trace.text for group in seen.traces.traces for trace in group}
    whole = {trace.text for group in run.teaching("leaky").traces.traces for trace in group}
    others = whole - texts
    assert all(any(other.startswith(text[:200]) for other in others) for text in list(asked)[:50])


def test_scores_of_other_pairs_are_refused(data, tmp_path):
    path, found = tmp_path / "leak.parquet", drawn(data, 0)
    write_scores(path, data, found)
    back = read_scores(path, data)
    for twin in TWINS:
        for one, other in zip(found[twin], back[twin], strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"leak\.parquet: scores of other pairs"):
        read_scores(path, data[::-1])
    assert read_scores(tmp_path / "nothing.parquet", data) == {}


def test_cells_are_means_over_seeds_and_reasoners(run, data):
    found = drawn(data, 1)
    table = crossed_table(run, data, found)
    cells = {(row[0], row[1]): row[2] for row in table.rows}

    def by_hand(kind, parts):
        return np.mean([
            roc_auc_score(data[p].same, found[twin][p])
            for twin in TWINS if twin.questions == kind for p in parts
        ])  # fmt: skip

    for reasoner, parts in (("seen", [0]), ("unseen", [1, 2, 3])):
        values = {kind: by_hand(kind, parts) for kind in ("unseen", "seen")}
        for kind, value in values.items():
            cell = cells[reasoner, kind]
            assert isinstance(cell, Estimate)
            assert float(cell.parts[0]) == pytest.approx(value, abs=6e-4)
        gain = cells[reasoner, "seen − unseen"]
        assert isinstance(gain, Estimate)
        expected = values["seen"] - values["unseen"]
        assert float(gain.parts[0]) == pytest.approx(expected, abs=6e-4)
        last = next(row[-1] for row in table.rows if row[:2] == (reasoner, "seen − unseen"))
        by_seed = [float(value) for value in str(last).split(", ")]
        assert np.mean(by_seed) == pytest.approx(expected, abs=6e-4)
