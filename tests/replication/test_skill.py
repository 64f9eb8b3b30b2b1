"""Judge skill against scikit-learn, and the bounds of Table 2."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.pair_data import JudgeData
from deepprune_core.metrics import Interval
from deepprune_core.pruner import PruningConfig, StoredQuestion, replay
from deepprune_core.truncation import Truncation
from replication.methods import oracle_scores, shuffled_scores
from replication.paired import compared_judges, differences, holm, paired_difference
from replication.run import Run
from replication.skill import assess, assess_scores, contradiction_reader, shared_groups
from replication.workflow.profile import ROOT, load_profile

CUT = Truncation("reasoning_words", 12)


class Scripted:
    """A judge that reads its scores off the pairs."""

    def score(self, inputs):
        return np.array([float(pair.question) for pair in inputs])

    def num_tokens(self, inputs):
        return np.zeros(len(inputs), dtype=np.int64)


def data(model: str, rng: np.random.Generator) -> JudgeData:
    scores, groups = rng.integers(0, 9, 80) / 9, rng.integers(0, 8, 80)
    inputs = tuple(JudgeInput(str(s), "so average is mean.", "so average is mode.") for s in scores)
    return JudgeData(model, inputs, rng.random(80) < 0.6, groups, 0.0, 0.5)


@pytest.fixture
def run(tmp_path) -> Run:
    profile = load_profile(ROOT / "replication" / "profiles" / "mini.yaml")
    return Run(profile.model_copy(update={"bootstrap_draws": 20}), tmp_path, tmp_path)


def test_averages_are_means_over_reasoners_of_scikit_learns_values(run):
    rng = np.random.default_rng(0)
    parts = [data("birch", rng), data("oak", rng)]
    result = assess(run, "scripted", Scripted(), parts, CUT)
    pooled, within = [], []
    for part in parts:
        scores = Scripted().score(part.inputs)
        pooled.append(roc_auc_score(part.same, scores))
        groups = [part.groups == q for q in range(8)]
        both = [g for g in groups if 0 < part.same[g].sum() < g.sum()]
        within.append(np.mean([roc_auc_score(part.same[g], scores[g]) for g in both]))
    assert result.auroc.value == pytest.approx(np.mean(pooled))
    assert result.within.value == pytest.approx(np.mean(within))
    assert result.within.low <= result.within.value <= result.within.high
    assert result.num_pairs == 160
    curve = result.curve
    assert np.trapezoid(curve.tnr, curve.fnr) == pytest.approx(result.auroc.value, abs=0.003)
    assert curve.tnr[100] == pytest.approx(result.tnr.value)


def test_weighted_within_is_the_share_of_ordered_couples_of_one_question(run):
    part = data("birch", np.random.default_rng(1))
    scores = Scripted().score(part.inputs)
    ordered = [
        (scores[i] > scores[j]) + (scores[i] == scores[j]) / 2
        for i in np.flatnonzero(part.same)
        for j in np.flatnonzero(~part.same)
        if part.groups[i] == part.groups[j]
    ]
    result = assess(run, "scripted", Scripted(), [part], CUT)
    assert result.weighted_within == pytest.approx(np.mean(ordered))


def test_questions_of_different_sets_are_not_taken_for_one(run):
    def of(model: str, text: str) -> JudgeData:
        rng = np.random.default_rng(len(text))
        groups = np.repeat(np.arange(5), 6)
        inputs = tuple(JudgeInput(f"{text} {g}?", "a", "b") for g in groups)
        return JudgeData(model, inputs, rng.random(30) < 0.5, groups, 0.0, 0.5)

    same, other = of("birch", "How many"), of("oak", "How much")
    again = replace(of("cedar", "How many"), same=other.same)
    np.testing.assert_array_equal(shared_groups([same, again])[:30], same.groups)
    np.testing.assert_array_equal(shared_groups([same, again])[30:], same.groups)
    apart = shared_groups([same, other])
    assert len(set(apart.tolist())) == 10
    assert not set(apart[:30].tolist()) & set(apart[30:].tolist())
    scores = [np.random.default_rng(1).random(30) for _ in range(2)]
    found = assess_scores(run, "x", scores, [same, other], CUT)
    assert found.auroc.num_questions == 10
    expected = np.mean([
        np.mean([roc_auc_score(p.same[p.groups == q], s[p.groups == q]) for q in range(5)
                 if 0 < p.same[p.groups == q].sum() < 6])
        for p, s in zip((same, other), scores, strict=True)
    ])  # fmt: skip
    assert found.within.value == pytest.approx(expected)


def test_contradictions_are_known_only_where_the_profile_says_so(run):
    parts = [data("birch", np.random.default_rng(1))]
    known = Run(run.profile.model_copy(update={"contradictions": True}), run.out, run.work)
    unknown = Run(run.profile.model_copy(update={"contradictions": False}), run.out, run.work)
    assert contradiction_reader(unknown, parts, CUT) is None
    found = contradiction_reader(known, parts, CUT)
    assert found is not None and found.auroc.value == pytest.approx(0.5)


def question(rng: np.random.Generator) -> StoredQuestion:
    scores = rng.random((12, 12))
    return StoredQuestion(
        "q", 0, rng.integers(0, 3, 12), np.full(12, 100), np.full(12, 10),
        (scores + scores.T) / 2, np.ones((12, 12), np.int64),
    )  # fmt: skip


def test_an_oracle_judge_makes_clusters_of_one_answer():
    stored = oracle_scores(question(np.random.default_rng(2)))
    outcome = replay(stored, range(12), PruningConfig(), np.random.default_rng(0))
    assert all(len({int(stored.classes[t]) for t in c}) == 1 for c in outcome.clustering.clusters)
    assert outcome.ledger.judge > 0


def test_a_random_judge_has_the_judges_scores_in_another_order():
    stored = question(np.random.default_rng(3))
    random = shuffled_scores(stored, np.random.default_rng(4))
    upper = np.triu_indices(12, k=1)
    assert sorted(random.scores[upper]) == sorted(stored.scores[upper])
    assert not np.array_equal(random.scores, stored.scores)
    np.testing.assert_array_equal(random.scores, random.scores.T)


def test_a_paired_difference_is_that_of_scikit_learns_values(run):
    rng = np.random.default_rng(1)
    parts = [data("birch", rng), data("oak", rng)]
    one = assess(run, "scripted", Scripted(), parts, CUT)
    other = assess(run, "constant", Same(), parts, CUT)
    found = paired_difference(run, one, other)
    values = [roc_auc_score(p.same, Scripted().score(p.inputs)) - 0.5 for p in parts]
    assert found.value == pytest.approx(np.mean(values))
    assert found.low < found.value < found.high
    nothing = paired_difference(run, one, one)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    with pytest.raises(ValueError, match="the same pairs"):
        paired_difference(run, one, assess(run, "x", Same(), [data("birch", rng)] * 2, CUT))


class Same(Scripted):
    """A judge that sees no difference."""

    def score(self, inputs):
        return np.full(len(inputs), 0.5)


def test_holm_stops_at_the_first_that_does_not_differ():
    """p = 0.01, 0.04, 0.03, 0.005 at 5 %: 0.005 and 0.01 differ, 0.03 > 0.05/2 does not."""
    z = (2.5758, 2.0537, 2.1701, 2.8070)
    found = [Interval(v, v - 1.959964, v + 1.959964, 9) for v in z]
    assert holm(found) == [True, False, False, True]
    assert holm([Interval(0.0, 0.0, 0.0, 9)]) == [False]


def test_every_row_is_compared_with_plain_training_at_its_cut(run):
    rng = np.random.default_rng(2)
    parts = [data("birch", rng)]

    def result(row, cut=CUT):
        return assess(run, row, Scripted(), parts, cut, row)

    tokens = Truncation("tokens", 80)
    rows = [result("plain"), result("both"), result("both", tokens)]
    zero = assess(run, "zero", Same(), parts, tokens)
    asked = compared_judges(rows, zero, lambda r: r.row)
    assert [what for what, *_ in asked] == [
        "12 words: both − plain", "both: words − tokens", "80 tokens: both − untrained",
    ]  # fmt: skip
    told = differences(run, rows, zero, lambda r: r.row)
    assert [d.value.value for d in told[:2]] == [0, 0] and not told[0].differs
