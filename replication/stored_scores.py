"""Scores that ship with traces and judges: made once, read by every later run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deepprune_core.judging.inputs import Judge, JudgeInput, pair_tokens
from deepprune_core.judging.pair_data import cut_prefixes
from deepprune_core.judging.pair_scores import PairScores, file_digest, read_pair_scores
from deepprune_core.judging.score_cache import CachedJudge
from deepprune_core.pairs import PairSet
from deepprune_core.pruner import pair_inputs
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer, Truncation
from replication.run import GradedTraces

SAVE_EVERY = 10


def open_scores(
    path: Path | None, judge: CachedJudge, traces: Sequence[GradedTraces]
) -> PairScores:
    """Return the stored scores of a judge on traces; empty if there is no file of scores.

    Raises:
        ValueError: they are another judge's, or of other traces.
    """
    sources = sources_of(traces)
    if path is None:
        return PairScores(judge.cache.fingerprint, sources)
    return read_pair_scores(path, judge.cache.fingerprint, sources)


def sources_of(traces: Sequence[GradedTraces]) -> dict[str, str]:
    """Return the digests of each reasoner's trace files, which its scores belong to."""
    return {one.model: "+".join(map(file_digest, one.files)) for one in traces}


def score_everything(
    judge: Judge,
    stored: PairScores,
    traces: GradedTraces,
    truncation: Truncation,
    tokenizer: Tokenizer,
    path: Path,
) -> int:
    """Score all pairs of every question that ``stored`` lacks; return how many were scored.

    Where it holds the pairs among the first traces of a question, only the others are asked.
    The file at ``path`` is written every ten questions, so a killed run goes on.
    """
    asked, prefixes = 0, cut_prefixes(traces.traces, truncation, tokenizer)
    questions = traces.traces.questions
    todo = [
        (q, [p.text for p in group])
        for q, group in zip(questions, prefixes, strict=True)
        if stored.size(traces.model, q.question_id) < len(group)
    ]
    for i, (question, texts) in enumerate(tqdm(todo, desc=traces.model, unit="question", delay=5)):
        asked += score_question(judge, stored, traces.model, question, texts)
        if (i + 1) % SAVE_EVERY == 0 or i + 1 == len(todo):
            stored.write(path)
    return asked


def score_question(
    judge: Judge, stored: PairScores, model: str, question: Question, texts: Sequence[str]
) -> int:
    """Score the pairs of one question's prefixes that ``stored`` lacks; return how many."""
    (first, second), inputs = pair_inputs(question.text, texts)
    scores, tokens = np.zeros(len(inputs)), np.zeros(len(inputs), np.int64)
    size = stored.size(model, question.question_id)
    if known := stored.get(model, question.question_id, size):
        old = second < size
        scores[old], tokens[old] = (matrix[first[old], second[old]] for matrix in known)
    new = np.flatnonzero(second >= size)
    asked = [inputs[i] for i in new.tolist()]
    scores[new], tokens[new] = judge.score(asked), pair_tokens(judge, asked)
    stored.put(model, question.question_id, scores, tokens)
    return len(asked)


def preload(
    judge: CachedJudge,
    stored: PairScores,
    traces: GradedTraces,
    pairs: PairSet,
    inputs: Sequence[JudgeInput],
) -> None:
    """Give a judge the stored scores of ``pairs``, whose texts are ``inputs``; unknown ones stay.

    The judge's later answers for them come from the store, which keeps them.
    """
    groups = traces.traces.traces
    found = {
        q: stored.get(traces.model, traces.traces.questions[q].question_id, len(groups[q]))
        for q in np.unique(pairs.question).tolist()
    }
    for pair, q, i, j in zip(
        inputs, pairs.question.tolist(), pairs.first.tolist(), pairs.second.tolist(), strict=True
    ):
        known = found[q]
        if known is not None:
            scores, tokens = known
            key = judge.cache.key(pair)
            judge.cache.put(key, float(scores[i, j]), int(tokens[i, j]), kept=True)
