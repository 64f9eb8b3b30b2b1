"""Slim-SC in Table 2: the thoughts of stored traces, embedded once, and their replay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepprune_core.judging.sentence_bert import open_encoder
from deepprune_core.ledger import Ledger
from deepprune_core.peers.slim_sc import ThinkingTraces, slim_sc, thoughts
from replication.online import Play
from replication.run import GradedTraces, Run

NAME = "Slim-SC"


def thinking(run: Run, traces: GradedTraces) -> tuple[ThinkingTraces, ...]:
    """Return every question's thoughts with their similarities; a text is embedded once.

    A thought's place in tokens is taken from its place in characters.
    """
    pieces = [
        [thoughts(trace.text) for trace in group] for group in traces.traces.traces
    ]  # three levels: questions, traces, thoughts
    texts = list(dict.fromkeys(t for group in pieces for one in group for t, _ in one))
    vectors = open_encoder(run.profile.sentence_bert).encode(
        texts, normalize_embeddings=True, show_progress_bar=len(texts) > 1000
    )
    at = {text: i for i, text in enumerate(texts)}
    found = []
    for group, graded, parted in zip(traces.traces.traces, traces.graded, pieces, strict=True):
        owner, start, end, rows = [], [], [], []
        for i, (trace, mine) in enumerate(zip(group, parted, strict=True)):
            per_character, last = trace.num_tokens / max(1, len(trace.text)), 0
            for text, stop in mine:
                owner.append(i)
                start.append(last)
                last = round(stop * per_character)
                end.append(last)
                rows.append(at[text])
        mine_vectors = np.asarray(vectors)[rows]
        found.append(
            ThinkingTraces(
                np.array(owner), np.array(start), np.array(end), mine_vectors @ mine_vectors.T,
                np.array([trace.num_tokens for trace in group]), graded.classes, graded.gold_class,
            )
        )  # fmt: skip
    return tuple(found)


def play_slim(run: Run, questions: Sequence[ThinkingTraces]) -> Play:
    """Return Slim-SC as a play.

    Raises:
        ValueError: the profile has no settings for it.
    """
    config = run.profile.slim
    if config is None:
        raise ValueError(f"{run.profile.name}: expected a section slim, got none; add it")
    settings = config.config()

    def play(j: int, order: np.ndarray, rng: np.random.Generator) -> tuple[bool, Ledger, bool]:
        one = questions[j]
        found = slim_sc(one, order.tolist(), settings, rng)
        some = bool((one.classes[list(found.finished)] == one.gold_class).any())
        return found.right, found.ledger, some

    return play
