"""Which pairs of a step go through the model together, and which parts are read only once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.judge import token_batches
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.prompts import EncodedPair
from deepprune_core.training.plan import TrainConfig, plan_batches, plan_shared_batches


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    ``head``: what all texts begin with, read once, or None; ``texts``: what else is read;
    ``rows``: (n,) the step's pairs; ``text_of``: (n,) each pair's place among the texts.
    """

    head: np.ndarray | None
    texts: list[np.ndarray]
    rows: np.ndarray
    text_of: np.ndarray


class PassPlanner:
    """Splits a set of pairs into steps, and a step into passes.

    Args:
        inputs: all pairs, as texts; equal ones are the same pair.
        pairs: the same, as token ids.
        config: how they are trained on.
    """

    def __init__(
        self, inputs: Sequence[JudgeInput], pairs: Sequence[EncodedPair], config: TrainConfig
    ) -> None:
        self.pairs, self.config = pairs, config
        self.lengths = np.array([pair.num_tokens for pair in pairs])
        same_head: dict[tuple[str, str, int], int] = {}
        same_text: dict[tuple[JudgeInput, int], int] = {}
        keys = [(x.question, x.first, len(p.head)) for x, p in zip(inputs, pairs, strict=True)]
        self._heads = np.array([same_head.setdefault(key, len(same_head)) for key in keys])
        texts = [(x, len(p.tail)) for x, p in zip(inputs, pairs, strict=True)]
        self._texts = np.array([same_text.setdefault(key, i) for i, key in enumerate(texts)])

    def epoch(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Return one epoch's steps: row indices."""
        if not self.config.share_heads:
            return plan_batches(self.lengths, self.config.batch_tokens, rng)
        tails = np.array([len(pair.tail) for pair in self.pairs])
        tails[self._texts != np.arange(len(tails))] = 0
        heads = np.array([len(pair.head) for pair in self.pairs])
        return plan_shared_batches(self._heads, heads, tails, self.config.batch_tokens, rng)

    def passes(self, rows: np.ndarray) -> list[Pass]:
        """Return the passes that read the pairs ``rows``."""
        if not self.config.share_heads:
            return self._whole(rows)
        found, alone = [], []
        for head in np.unique(self._heads[rows]):
            members = rows[self._heads[rows] == head]
            distinct, text_of = np.unique(self._texts[members], return_inverse=True)
            if len(distinct) == 1:
                alone.append(members)
                continue
            lengths = np.array([len(self.pairs[i].tail) for i in distinct])
            for batch in token_batches(lengths, self._budget):
                place = np.full(len(distinct), -1)
                place[batch] = np.arange(len(batch))
                inside = place[text_of] >= 0
                tails = [self.pairs[i].tail for i in distinct[batch]]
                found.append(
                    Pass(
                        self.pairs[members[0]].head, tails, members[inside], place[text_of[inside]]
                    )
                )
        return found + (self._whole(np.concatenate(alone)) if alone else [])

    @property
    def _budget(self) -> int:
        return self.config.micro_tokens or self.config.batch_tokens

    def _whole(self, rows: np.ndarray) -> list[Pass]:
        """Return passes that read every prompt from its first token."""
        return [
            Pass(
                None,
                [np.concatenate([self.pairs[i].head, self.pairs[i].tail]) for i in rows[batch]],
                rows[batch],
                np.arange(len(batch)),
            )
            for batch in token_batches(self.lengths[rows], self._budget)
        ]
