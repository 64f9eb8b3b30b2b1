"""What the reasoner's own states tell, within the one reasoner whose weights are at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.judging.embedding_judge import EmbeddingJudge
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.judging.pair_regression import PairRegression
from deepprune_core.reporting.tables import Table, write_table
from replication.encode_once import NAME
from replication.hidden_states import OwnStates, SelfJudge
from replication.own_states import NAME as OWN
from replication.readers import EMBEDDINGS
from replication.run import Run, graded_traces
from replication.skill import Tested, tested
from replication.text import NOTHING, number
from replication.vectors import last_words
from replication.workflow.profile import ROOT

if TYPE_CHECKING:
    from deepprune_core.judging.encode_once import EncodeOnceJudge

FOLDS, TRACES = 5, 8


def cross_validated(make: Callable[[], PairRegression], data: JudgeData) -> np.ndarray:
    """Return each pair's score ``(n,)`` by a judge that was trained on other questions."""
    from sklearn.model_selection import GroupKFold

    scores = np.zeros(len(data))
    for train, test in GroupKFold(FOLDS).split(data.same, groups=data.groups):
        judge = make().fit([data.inputs[i] for i in train], data.same[train])
        scores[test] = judge.score([data.inputs[i] for i in test])
    return scores


def self_judge(run: Run, once: EncodeOnceJudge) -> Table | str:
    """Write and return the comparison on the live engine's reasoner, or say why there is none."""
    from deepprune_core.judging.loading import load_causal_lm
    from replication.miniature.tokenizer import prompt_text

    live, unseen = run.profile.live, run.profile.traces.unseen
    path = next((p for p in unseen if live and p.stem == live.model.name), None)
    if live is None or path is None:
        return "Left out: no reasoner of the test is at hand, so no states are (live.model)."
    model, tokenizer = load_causal_lm(ROOT / live.model)
    own = graded_traces(ROOT / path, TRACES)
    data = judge_data(own.traces, own.pairs, run.cuts.online(), tokenizer)
    states = OwnStates(model, tokenizer, prompt_text)
    rows = {
        OWN: cross_validated(lambda: SelfJudge(states), data),
        EMBEDDINGS: cross_validated(lambda: EmbeddingJudge(last_words(run)), data),
        NAME: once.score(data.inputs),
    }
    return _written(run, {name: tested(run, data, scores) for name, scores in rows.items()})


def _written(run: Run, found: dict[str, Tested]) -> Table:
    own, other = found[OWN], found[NAME]
    run.note(
        "08-self",
        f"The states in which {own.model} stops tell with an AUROC of {number(own.auroc)}, within "
        f"questions {number(own.within)}, and cost no token; a judge that reads each prefix once "
        f"has {number(other.auroc)} and {number(other.within)} there.",
    )
    charged = {OWN: "none", EMBEDDINGS: "SentenceBERT's", NAME: "each prefix once"}
    taught = {NAME: "another reasoner"}
    rows = [
        (name, taught.get(name, f"{own.model}, other questions"), charged[name],
         number(t.auroc), number(t.within), number(t.tnr))
        for name, t in found.items()
    ]  # fmt: skip
    bound = ("question oracle: reads no trace", NOTHING, "none", f"{own.oracle:.3f}",
             NOTHING, NOTHING)  # fmt: skip
    table = Table(
        "self_judge",
        f"A judge in {own.model}'s own states, beside others on the same pairs. "
        f"{run.profile.caption}",
        ("judge", "trained on", "tokens it reads", "AUROC", "within question", "TNR@0.2"),
        (*rows, bound),
        (f"N: {len(own.data)} pairs of {TRACES} traces, {own.auroc.num_questions} questions. The "
         f"first two are trained on {FOLDS - 1} of {FOLDS} parts of the questions and tested on "
         "the other. States: mean over a prefix's tokens after the middle layer.",),
    )  # fmt: skip
    return write_table(table, run.out)
