"""All readers of prefixes in one table, from SentenceBERT to the best trained judge.

Among them is one that trains in seconds: a logistic regression on SentenceBERT embeddings. Its
penalty is chosen on the development questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.judging.embedding_judge import EmbeddingJudge
from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.metrics import Interval, auroc
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Truncation
from replication.encode_once import NAME, has_once, once_result, open_once
from replication.judges import test_data
from replication.own_states import COSINE, states_judges
from replication.own_states import NAME as OWN_STATES
from replication.paired import holm
from replication.reporting.reference import load_reference
from replication.run import Run
from replication.skill import JudgeResult, assess
from replication.table1 import bound_rows, mixed_note, skill_columns, skill_row
from replication.text import NOTHING, number
from replication.untrained import Judged, judge_tokenizer, sentence_bert
from replication.vectors import last_words

PENALTIES = (3.0, 30.0, 300.0)
MOST_QUESTIONS = 100  # enough for 768 features, and some seconds to embed
EMBEDDINGS = "logistic regression on embeddings"
NUMBERS = "number overlap"
READ_ONCE = f"{NAME}: each prefix read once"
MANY = ", more pairs"
MOST_TEXTS = 2500  # some two minutes to embed on two cores
# What Figure 4 shows beside the judges of pairs.
AT_LENGTHS = (EMBEDDINGS, NUMBERS, COSINE, OWN_STATES)


_fitted: dict[tuple[Path, Truncation], EmbeddingJudge] = {}


def embedding_judge(run: Run, cut: Truncation, tokenizer: Any) -> EmbeddingJudge:
    """Return the judge trained on the training questions, its penalty chosen on others.

    A notebook that asks again gets the same one.
    """
    if (run.work, cut) not in _fitted:
        _fitted[run.work, cut] = _fit_embeddings(run, cut, tokenizer)
    return _fitted[run.work, cut]


def _fit_embeddings(run: Run, cut: Truncation, tokenizer: Any) -> EmbeddingJudge:
    def pairs_of(source: str) -> JudgeData:
        found = run.teaching(source)  # type: ignore[arg-type]
        drawn = run.rng("embeddings", source).permutation(len(found.graded))[:MOST_QUESTIONS]
        rows = np.flatnonzero(np.isin(found.pairs.question, drawn))
        return judge_data(found.traces, found.pairs.take(rows), cut, tokenizer)

    train, held_out = pairs_of("train"), pairs_of("development")
    judges = [
        EmbeddingJudge(last_words(run), penalty=p).fit(train.inputs, train.same) for p in PENALTIES
    ]
    return max(judges, key=lambda judge: auroc(held_out.same, judge.score(held_out.inputs)))


def embedding_result(run: Run, cut: Truncation, tokenizer: Any) -> JudgeResult:
    """Return the logistic regression's result on the unseen reasoners."""
    judge, data = embedding_judge(run, cut, tokenizer), test_data(run, cut, tokenizer)
    return assess(run, EMBEDDINGS, judge, data, cut, "embeddings")


def many_pairs(run: Run, cut: Truncation, tokenizer: Any) -> list[JudgeResult]:
    """Return the readers that cost little on all pairs of more traces than judges are tested on.

    None where their prefixes would be more than ``MOST_TEXTS``.
    """
    traces = run.profile.traces
    most = MOST_TEXTS // sum(len(one.graded) for one in run.unseen)
    each = min(most, traces.redundancy_per_question)
    if each <= traces.test_per_question:
        return []
    more = run.load(traces.unseen, each, "test")
    data = [judge_data(one.traces, one.pairs, cut, tokenizer) for one in more]
    judges: dict[str, Judge] = {
        EMBEDDINGS: embedding_judge(run, cut, tokenizer), NUMBERS: NumberOverlapJudge()
    }  # fmt: skip
    return [assess(run, name + MANY, judge, data, cut) for name, judge in judges.items()]


def readers_at_lengths(run: Run, tokenizer: Any) -> list[JudgeResult]:
    """Return what reads prefixes of the profile's lengths without a judge of pairs.

    The regression on embeddings is trained at each length. Where the profile has a judge from
    the reasoner's own states, it stands beside it, and so does their floor, number overlap.
    """
    cuts = [Truncation("tokens", k) for k in run.cuts.embedding_tokens]
    found = [embedding_result(run, cut, tokenizer) for cut in cuts]
    settings = run.profile.judge.own_states
    lengths = () if settings is None else settings.tokens
    return found + [
        reader for k in lengths for reader in mind_readers(run, Truncation("tokens", k), tokenizer)
    ]


def mind_readers(run: Run, cut: Truncation, tokenizer: Any) -> list[JudgeResult]:
    """Return number overlap, the cosine of the reasoner's own states, and the judge from them."""
    data = test_data(run, cut, tokenizer)
    found = [assess(run, NUMBERS, NumberOverlapJudge(), data, cut)]
    for name, judge in reversed(states_judges(run, cut).items()):
        found.append(assess(run, name, judge, data, cut))
        judge.save()
    return found


def reading_once(run: Run) -> list[JudgeResult]:
    """Return the result of the judge that reads each prefix once, where the profile has it."""
    if not has_once(run):
        return []
    return [replace(once_result(run, open_once(run)), name=READ_ONCE)]


def readers_table(
    run: Run, readers: Sequence[JudgeResult], many: Sequence[JudgeResult] = ()
) -> Table:
    """Return every reader with its AUROC, pooled and within questions, and the bounds.

    ``many``: those that were asked about more pairs.
    """
    reference = load_reference()
    paper = {
        "SentenceBERT cosine": f"{reference.figure2bc['sentence_bert'].auroc:.2f}",
        "Zero-shot judge": f"{reference.figure2bc['zero_shot'].auroc:.2f}",
    }
    rows = [skill_row(r, r.name, (paper.get(r.name, NOTHING), NOTHING)) for r in (*readers, *many)]
    counted = f" Rows with more pairs: {many[0].num_pairs}." if many else ""
    columns = skill_columns("reader", readers[0].parts)
    window = last_words(run).encoder.max_seq_length
    return Table(
        "readers",
        f"Who can tell from the beginnings whether two traces will agree. {run.profile.caption}",
        columns,
        (*rows, *bound_rows(run, readers, len(columns))),
        (f"N: {readers[0].num_pairs} pairs, {readers[0].auroc.num_questions} questions. Intervals: "
         f"95 %, from resampling questions. {mixed_note(readers)}{counted}",
         f"The logistic regression was trained on all pairs of at most {MOST_QUESTIONS} of the "
         f"judges' training questions. It embeds the last {window} word pieces of a prefix, the "
         "cosine its first."),
    )  # fmt: skip


def readers_words(readers: Sequence[JudgeResult]) -> str:
    """Return who tells more than chance within questions, all readers asked at once."""
    known = [r for r in readers if not np.isnan(r.within.value)]
    if not known:
        return ""
    differs = holm([from_chance(r.within) for r in known])
    above, below = (
        [r.name for r, d in zip(known, differs, strict=True) if d and (r.within.value > 0.5) == up]
        for up in (True, False)
    )
    best = max(known, key=lambda r: r.within.value)
    return (
        f"Within questions {', '.join(above) if above else 'none of our readers'} "
        f"{'tells' if len(above) <= 1 else 'tell'} more than chance (Holm, 5 %); the highest of "
        f"{len(known)}, picked on these very questions, is {best.name} with {number(best.within)}."
        + (f" Below chance: {', '.join(below)}." if below else "")
    )


def from_chance(found: Interval) -> Interval:
    """Return how far an AUROC lies above one half."""
    return Interval(found.value - 0.5, found.low - 0.5, found.high - 0.5, found.num_questions)


def all_readers(
    run: Run, tokenizer: Any, zero: JudgeResult, trained: Sequence[JudgeResult]
) -> Table | str:
    """Write and return the table of all readers, or say why there is none."""
    if not run.cuts.embedding_tokens:
        return "Left out: the profile names no lengths for the regression (embedding_tokens)."
    cheap = (sentence_bert(run, tokenizer), embedding_result(run, run.cuts.online(), tokenizer))
    settings, cut = run.profile.judge.own_states, run.cuts.online()
    minds = (
        mind_readers(run, cut, tokenizer)
        if settings is not None and cut.kind == "tokens" and cut.k in settings.tokens
        else []
    )
    readers = [*cheap, zero, *trained, *reading_once(run), *minds]
    run.note("04-readers", readers_words(readers))
    return write_table(readers_table(run, readers, many_pairs(run, cut, tokenizer)), run.out)


def untrained_readers(run: Run, judged: Sequence[Judged]) -> Table | str:
    """Write and return the table of the readers that need no trained judge of pairs.

    Where there is such a judge, notebook 04 has the table of all readers.
    """
    if run.has_judges:
        return "Notebook 04 has the table of all readers."
    zero = dict(judged).get("zero_shot")
    if zero is None:
        return "Left out: the profile has no zero-shot judge (judge.base)."
    return all_readers(run, judge_tokenizer(run), zero, ())
