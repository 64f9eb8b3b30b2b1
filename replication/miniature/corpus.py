"""Batches of training text, drawn anew for every chunk from its seed.

Kinds of document: a problem with its solution (plain, or a chain with ambiguous terms), bare
drills of look-up and of comparing (:mod:`drills`), and pair documents: two unfinished solutions of
one problem and the verdict whether their full versions reach the same answer, which teach a judge
its language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deepprune_core.truncation import first_reasoning_words
from replication.miniature.chains import draw_chain
from replication.miniature.drills import (
    PROMPT_WEIGHT,
    VERDICT_WEIGHT,
    Segment,
    draw_comparison_drill,
    draw_lookup_drill,
    draw_option_drill,
)
from replication.miniature.habits import Habits, invented_habits
from replication.miniature.narration import narrate
from replication.miniature.problems import Problem, draw_problem
from replication.miniature.solutions import DataMix, draw_misconceptions, write_solution
from replication.miniature.tokenizer import build_tokenizer

PAIR_VERDICT_WEIGHT = 3.0


@dataclass(frozen=True)
class Phase:
    """A stretch of the curriculum: ``tokens`` of problems of ``steps[0]``..``steps[1]`` steps.

    ``lookups`` is the share of lookup drills, ``options`` that of option drills among the rest,
    and ``pairs`` the share of pair documents, whose traces are cut at a share of their words
    drawn from ``prefix``. With ``terms``, problems are chains with ambiguous terms, solved by
    reasoners with habits; prefixes then end at 6 to 20 reasoning words. ``compare`` is the share
    of comparison drills of at most ``items`` statements, with a share ``filler`` of idle ones.
    """

    tokens: int
    steps: tuple[int, int]
    lookups: float = 0.0
    options: float = 0.0
    pairs: float = 0.0
    prefix: tuple[float, float] = (0.3, 0.6)
    terms: bool = False
    compare: float = 0.0
    items: int = 5
    filler: float = 0.0


@dataclass(frozen=True)
class Batch:
    """``ids``, ``weights``: (rows, length); padding weighs 0. ``tokens`` counts real ones."""

    ids: np.ndarray
    weights: np.ndarray
    tokens: int


def draw_pair(problem: Problem, phase: Phase, rng: np.random.Generator) -> list[Segment]:
    """Return one problem, the beginnings of two of its solutions and the verdict on their ends.

    Both come from one invented reasoner with its own slips and beliefs. Most pairs
    that would agree are drawn again, so that both verdicts are common.
    """
    beliefs = draw_misconceptions(rng, int(rng.integers(8, 40)))
    mix = DataMix(slip=float(10 ** rng.uniform(-2.3, -1.3)), misconceptions=beliefs)
    for attempt in range(5):
        full = [write_solution(problem, mix, rng) for _ in range(2)]
        ends = [text.rsplit("answer:", 1)[1] for text in full]
        if ends[0] != ends[1] or rng.random() < 0.25 or attempt == 4:
            break
    cuts = []
    for text in full:
        words = text.rsplit("answer:", 1)[0].split()
        cuts.append(" ".join(words[: int(len(words) * rng.uniform(*phase.prefix))]))
    return _pair_document(problem, cuts, ends, VERDICT_WEIGHT)


def draw_term_pair(problem: Problem, habits: Habits, rng: np.random.Generator) -> list[Segment]:
    """Return a chain, the beginnings of two traces of a reasoner, and the verdict on their ends."""
    for attempt in range(4):
        full = [narrate(problem, habits, rng) for _ in range(2)]
        ends = [text.rsplit("answer:", 1)[1] for text in full]
        if ends[0] != ends[1] or rng.random() < 0.3 or attempt == 3:
            break
    cuts = [first_reasoning_words(text, int(rng.integers(6, 21))) for text in full]
    return _pair_document(problem, cuts, ends, PAIR_VERDICT_WEIGHT)


def _pair_document(
    problem: Problem, cuts: list[str], ends: list[str], weight: float
) -> list[Segment]:
    return [
        Segment(problem.text(), PROMPT_WEIGHT),
        Segment(f"Trace 1: {cuts[0]} Trace 2: {cuts[1]}", 1.0),
        Segment("Verdict:", PROMPT_WEIGHT),
        Segment("same" if ends[0] == ends[1] else "different", weight),
    ]


def draw_problem_of(rng: np.random.Generator, phase: Phase, forbidden: frozenset[str]) -> Problem:
    """Return a problem of the phase's kind that is not forbidden."""
    draw = draw_chain if phase.terms else draw_problem
    while True:
        steps = int(rng.integers(phase.steps[0], phase.steps[1] + 1))
        problem = draw(
            rng, steps, int(rng.integers(1, 4)), multiple_choice=bool(rng.random() < 0.35)
        )
        if problem.fingerprint() not in forbidden:
            return problem


def draw_document(
    rng: np.random.Generator,
    phase: Phase,
    mix: DataMix,
    forbidden: frozenset[str],
    habits: Habits | None = None,
) -> list[Segment]:
    """Return one training document, never about a forbidden problem.

    ``habits`` are those of the reasoner that is trained; None invents some for every document.
    """
    if rng.random() < phase.lookups:
        return draw_lookup_drill(rng)
    if phase.options and rng.random() < phase.options:
        return draw_option_drill(rng)
    if phase.compare and rng.random() < phase.compare:
        return draw_comparison_drill(rng, phase.items, phase.filler)
    problem = draw_problem_of(rng, phase, forbidden)
    pair = rng.random() < phase.pairs
    if not phase.terms:
        if pair:
            return draw_pair(problem, phase, rng)
        solution = write_solution(problem, mix, rng)
    else:
        habits = habits or invented_habits(rng)
        if pair:
            return draw_term_pair(problem, habits, rng)
        solution = narrate(problem, habits, rng)
    return [Segment(f"{problem.text()} Solution:", PROMPT_WEIGHT), Segment(solution, 1.0)]


class Corpus:
    """Batches whose lengths are rounded up to ``bucket`` tokens.

    Chunk ``i`` depends on ``(seed, i)`` alone, so a run resumes.
    """

    def __init__(
        self,
        mix: DataMix,
        forbidden: frozenset[str],
        batch_tokens: int,
        chunk_batches: int,
        habits: Habits | None = None,
        bucket: int = 128,
    ) -> None:
        self.mix, self.forbidden, self.habits, self.bucket = mix, forbidden, habits, bucket
        self.batch_tokens, self.chunk_batches = batch_tokens, chunk_batches
        self.tokenizer = build_tokenizer()

    def encode(self, document: list[Segment]) -> tuple[list[int], list[float]]:
        """Return the token ids of a document, start and end marks included, and their weights."""
        ids, weights = [self.tokenizer.bos_token_id], [0.0]
        for segment in document:
            piece = self.tokenizer.encode(segment.text, add_special_tokens=False)
            ids += piece
            weights += [segment.weight] * len(piece)
        return [*ids, self.tokenizer.eos_token_id], [*weights, 1.0]

    def chunk(self, seed: int, index: int, phase: Phase) -> Iterator[Batch]:
        """Yield the batches of one chunk, in random order."""
        rng = np.random.default_rng([seed, index])
        documents, tokens = [], 0
        while tokens < self.batch_tokens * self.chunk_batches:
            document = draw_document(rng, phase, self.mix, self.forbidden, self.habits)
            documents.append(self.encode(document))
            tokens += len(documents[-1][0])
        documents.sort(key=lambda d: len(d[0]))
        batches: list[Batch] = []
        while documents:
            length = -(-len(documents[-1][0]) // self.bucket) * self.bucket
            rows = max(1, self.batch_tokens // length)
            batches.append(self._batch(documents[-rows:], rows, length))
            documents = documents[:-rows]
        for i in rng.permutation(len(batches)):
            yield batches[i]

    def _batch(
        self, documents: list[tuple[list[int], list[float]]], rows: int, length: int
    ) -> Batch:
        ids = np.full((rows, length), self.tokenizer.pad_token_id, dtype=np.int64)
        weights = np.zeros((rows, length), dtype=np.float32)
        for row, (tokens, weight) in enumerate(documents):
            ids[row, : len(tokens)] = tokens
            weights[row, : len(tokens)] = weight
        return Batch(ids, weights, sum(len(tokens) for tokens, _ in documents))
