"""Batches of training text, drawn anew for every chunk from its seed.

Three kinds of document: a problem with its solution, a bare lookup drill (facts that are
only repeated), and a pair document (two unfinished solutions of one problem and the verdict
whether their full versions reach the same answer), which teaches a judge its language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deepprune_core.miniature.problems import LETTERS, MODULUS, NAMES, OPS, Problem, draw_problem
from deepprune_core.miniature.solutions import DataMix, draw_misconceptions, write_solution
from deepprune_core.miniature.tokenizer import build_tokenizer

BUCKET = 128
PROMPT_WEIGHT = 0.2
VERDICT_WEIGHT = 30.0


@dataclass(frozen=True)
class Phase:
    """A stretch of the curriculum: ``tokens`` of problems of ``steps[0]``..``steps[1]`` steps.

    ``lookups`` is the share of lookup drills, ``options`` that of option drills among the rest,
    and ``pairs`` the share of pair documents, whose traces are cut at a share of their words
    drawn from ``prefix``.
    """

    tokens: int
    steps: tuple[int, int]
    lookups: float = 0.0
    options: float = 0.0
    pairs: float = 0.0
    prefix: tuple[float, float] = (0.3, 0.6)


@dataclass(frozen=True)
class Segment:
    """A piece of a document and the weight of its tokens in the loss."""

    text: str
    weight: float


@dataclass(frozen=True)
class Batch:
    """``ids``, ``weights``: (rows, length); padding weighs 0. ``tokens`` counts real ones."""

    ids: np.ndarray
    weights: np.ndarray
    tokens: int


def draw_lookup_drill(rng: np.random.Generator) -> list[Segment]:
    """Return facts and a text that repeats them twice, each time in another order."""
    names = [NAMES[i] for i in rng.permutation(len(NAMES))[: int(rng.integers(4, 16))]]
    facts = []
    for name in names:
        if rng.random() < 0.5:
            facts.append(f"{name} has {int(rng.integers(MODULUS))}.")
        else:
            left, right = (names[int(i)] for i in rng.integers(len(names), size=2))
            facts.append(f"{name} equals {left} {OPS[int(rng.integers(3))]} {right}.")
    orders = (rng.permutation(len(facts)) for _ in range(2))
    again = " ".join(f"so {facts[i]}" for order in orders for i in order)
    question = f"Problem: {' '.join(facts)} Question: lookup Solution:"
    return [Segment(question, PROMPT_WEIGHT), Segment(again, 1.0)]


def draw_option_drill(rng: np.random.Generator) -> list[Segment]:
    """Return a list of options and a text that repeats it eight times in new orders."""
    values = rng.permutation(MODULUS)[: len(LETTERS)]
    options = [f"{v} is {letter}" for v, letter in zip(values, LETTERS, strict=True)]
    names = (NAMES[i] for i in rng.permutation(len(NAMES))[: int(rng.integers(0, 5))])
    facts = " ".join(f"{name} has {int(rng.integers(MODULUS))}." for name in names)
    orders = (rng.permutation(len(options)) for _ in range(8))
    again = " ".join(f"so {options[i]}." for order in orders for i in order)
    question = f"Problem: {facts} Question: lookup Options: {', '.join(options)}. Solution:"
    return [Segment(question, PROMPT_WEIGHT), Segment(again, 1.0)]


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
    verdict = "same" if ends[0] == ends[1] else "different"
    return [
        Segment(problem.text(), PROMPT_WEIGHT),
        Segment(f"Trace 1: {cuts[0]} Trace 2: {cuts[1]}", 1.0),
        Segment("Verdict:", PROMPT_WEIGHT),
        Segment(verdict, VERDICT_WEIGHT),
    ]


def draw_document(
    rng: np.random.Generator, phase: Phase, mix: DataMix, forbidden: frozenset[str]
) -> list[Segment]:
    """Return one training document, never about a forbidden problem."""
    if rng.random() < phase.lookups:
        return draw_lookup_drill(rng)
    if phase.options and rng.random() < phase.options:
        return draw_option_drill(rng)
    while True:
        steps = int(rng.integers(phase.steps[0], phase.steps[1] + 1))
        problem = draw_problem(
            rng, steps, int(rng.integers(1, 4)), multiple_choice=bool(rng.random() < 0.35)
        )
        if problem.fingerprint() not in forbidden:
            break
    if rng.random() < phase.pairs:
        return draw_pair(problem, phase, rng)
    solution = write_solution(problem, mix, rng)
    return [Segment(f"{problem.text()} Solution:", PROMPT_WEIGHT), Segment(solution, 1.0)]


class Corpus:
    """Length-bucketed batches; chunk ``i`` depends on ``(seed, i)`` alone, so a run resumes."""

    def __init__(
        self, mix: DataMix, forbidden: frozenset[str], batch_tokens: int, chunk_batches: int
    ) -> None:
        self.mix, self.forbidden = mix, forbidden
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
            documents.append(self.encode(draw_document(rng, phase, self.mix, self.forbidden)))
            tokens += len(documents[-1][0])
        documents.sort(key=lambda d: len(d[0]))
        batches: list[Batch] = []
        while documents:
            length = -(-len(documents[-1][0]) // BUCKET) * BUCKET
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
