"""What can be known: the ceiling of every judge, from rollouts.

From a prefix its own reasoner goes on, m times. The ends estimate p(answer | question, prefix),
and two traces agree with probability sum over answers a of p_i(a) p_j(a). No reader of the two
prefixes can rank pairs better, in expectation, so the AUROC of this number is the ceiling of
every judge at that cut. The traces' own ends are no part of it, so the labels are independent of
the scores.

Few rollouts blur the estimate and lower its AUROC: what a few show is a lower bound of the
ceiling, and it is given for several m.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepprune_core.answers import UNGRADABLE, partition
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer, Truncation
from replication.run import GradedTraces, Run, part_of
from replication.workflow.profile import ROOT
from replication.workflow.sections import RolloutsSection

Answers = tuple[str | None, ...]


@dataclass(frozen=True)
class Prefixed:
    """A prefix of a question's trace number ``trace``, cut after ``tokens``."""

    question: Question
    trace: int
    tokens: int
    text: str

    @property
    def key(self) -> str:
        return key_of(self.question.question_id, self.trace, self.tokens)

    @property
    def digest(self) -> str:
        """A digest of what is gone on from."""
        read = repr((self.question.text, self.text)).encode("utf-8", "surrogatepass")
        return sha256(read).hexdigest()[:16]


def key_of(question_id: str, trace: int, tokens: int) -> str:
    """Return the name of a prefix."""
    return f"{question_id}/{trace}/{tokens}"


def rollouts_settings(run: Run) -> RolloutsSection:
    """Return the profile's section about rollouts.

    Raises:
        ValueError: it has none, or names a job that the profile does not collect.
    """
    found, plan = run.profile.rollouts, run.profile.collect
    strange = [job for job in found.jobs if plan is None or job not in plan.jobs] if found else []
    if found is None or strange:
        raise ValueError(
            f"{run.profile.name}: expected rollouts with jobs of collect.jobs, "
            f"got {strange[0] if strange else None!r}; add it"
        )
    return found


def rolled_traces(run: Run, job: str) -> GradedTraces:
    """Return a job's first traces of those questions whose first traces disagree."""
    settings, plan = rollouts_settings(run), run.profile.collect
    assert plan is not None
    traces = run.load([plan.file(job)], settings.prefixes)[0]
    mixed = [
        q for q in np.unique(traces.pairs.question).tolist()
        if 0 < traces.pairs.same[traces.pairs.question == q].mean() < 1
    ]  # fmt: skip
    return part_of(traces, np.array(mixed[: settings.questions], dtype=np.int64))


def prefixes_of(traces: GradedTraces, tokens: int, tokenizer: Tokenizer) -> list[Prefixed]:
    """Return the prefixes of all traces, cut as a judge would read them."""
    cut = Truncation("tokens", tokens)
    return [
        Prefixed(question, i, tokens, cut.cut(trace.text, tokenizer).text)
        for question, group in zip(traces.traces.questions, traces.traces.traces, strict=True)
        for i, trace in enumerate(group)
    ]


def keys_of(traces: GradedTraces, tokens: int) -> set[str]:
    """Return the names of all traces' prefixes of so many tokens."""
    return {
        key_of(question.question_id, i, tokens)
        for question, group in zip(traces.traces.questions, traces.traces.traces, strict=True)
        for i in range(len(group))
    }


@dataclass(frozen=True)
class Ends:
    """The answers of a prefix's continuations, and the digest of the prefix."""

    prefix: str
    answers: Answers


def read_rollouts(path: Path) -> dict[str, Ends]:
    """Return the ends of each prefix's continuations by its key; empty without the file.

    Raises:
        ValueError: it holds something else.
    """
    if not path.is_file():
        return {}
    try:
        rows = pq.read_table(path).to_pylist()
        return {
            key_of(row["question_id"], row["trace"], row["tokens"]): Ends(
                row["prefix"], tuple(row["answers"])
            )
            for row in rows
        }
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: no file of rollouts ({error}); delete it, and run `make rollouts`"
        ) from None


class RolloutJudge:
    """P(same) as the chance that a continuation of one prefix agrees with one of the other.

    Args:
        answers: the ends of the continuations of (question, prefix), as texts.
    """

    def __init__(self, answers: Mapping[tuple[str, str], Answers]) -> None:
        self.answers = answers

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64; an end without an answer agrees with none."""
        return np.array([self._agreement(pair) for pair in inputs], dtype=np.float64)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return zeros, ``(n,)`` int64: what sampling costs is not a reader's price."""
        return np.zeros(len(inputs), np.int64)

    def _agreement(self, pair: JudgeInput) -> float:
        first, second = (self.answers[pair.question, text] for text in (pair.first, pair.second))
        classes = partition([*first, *second])
        one, other = classes[: len(first)], classes[len(first) :]
        agree = (one[:, None] == other[None, :]) & (one[:, None] != UNGRADABLE)
        if pair.first != pair.second:
            return float(agree.mean())
        m = len(one)  # one prefix twice: no end is compared with itself
        return float((agree.sum() - np.trace(agree)) / (m * (m - 1)))


@dataclass(frozen=True)
class RolledCut:
    """One cut: its pairs, and the ends of the continuations of every prefix."""

    cut: Truncation
    data: JudgeData
    answers: Mapping[tuple[str, str], Answers]

    def judge(self, continuations: int) -> RolloutJudge:
        """Return the judge that knows so many continuations of each prefix."""
        return RolloutJudge({key: ends[:continuations] for key, ends in self.answers.items()})


def rolled_cuts(run: Run, job: str, traces: GradedTraces, tokenizer: Any) -> list[RolledCut]:
    """Return the cuts of a job's traces of which all rollouts are there.

    Raises:
        ValueError: they are of other prefixes, or fewer than the profile says.
    """
    settings = rollouts_settings(run)
    stored, found = read_rollouts(ROOT / settings.file), []
    for tokens in settings.jobs[job]:
        if not keys_of(traces, tokens) <= set(stored):
            continue
        prefixes = prefixes_of(traces, tokens, tokenizer)
        for prefix in prefixes:
            ends = stored[prefix.key]
            if ends.prefix != prefix.digest or len(ends.answers) < settings.continuations:
                raise ValueError(
                    f"{settings.file}: {prefix.key}: rollouts of another prefix, or fewer than "
                    f"{settings.continuations}; delete the file, and run `make rollouts`"
                )
        answers = {(p.question.text, p.text): stored[p.key].answers for p in prefixes}
        cut = Truncation("tokens", tokens)
        data = judge_data(traces.traces, traces.pairs, cut, tokenizer)
        found.append(RolledCut(cut, data, answers))
    return found


def all_rolled(run: Run, tokenizer: Any) -> Iterator[tuple[str, GradedTraces, list[RolledCut]]]:
    """Yield (title, traces, cuts with all rollouts) of each job whose traces are there.

    The title is the benchmarks' names, or the reasoner's where they are many.
    """
    plan = run.profile.collect
    assert plan is not None
    for job in rollouts_settings(run).jobs:
        if (ROOT / plan.file(job)).is_file():
            traces = rolled_traces(run, job)
            names = traces.traces.benchmarks
            title = " and ".join(names) if len(names) < 3 else traces.model
            yield title, traces, rolled_cuts(run, job, traces, tokenizer)
