"""Which pairs of a step go through the model together, and which parts are read only once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.judge import token_batches
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.packing import PackedRow, packed_rows
from deepprune_core.judging.prompts import EncodedPair
from deepprune_core.training.plan import TrainConfig, plan_batches, plan_shared_batches


@dataclass(frozen=True)
class Pass:
    """One forward pass over ``texts`` (whole prompts) or ``packed`` (heads with their tails).

    ``rows``: (n,) the step's pairs; ``text_of``: (n,) each pair's place among the texts.
    """

    texts: list[np.ndarray]
    packed: list[PackedRow]
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
        return [self._packed(rows, part) for part in self._row_batches(rows)]

    def _row_batches(self, rows: np.ndarray) -> list[list[tuple[PackedRow, np.ndarray]]]:
        """Return passes of packed rows; each row with the ids of its texts."""
        found = []
        for head in np.unique(self._heads[rows]):
            distinct = np.unique(self._texts[rows[self._heads[rows] == head]])
            tails = [self.pairs[i].tail for i in distinct]
            ids = self.pairs[distinct[0]].head
            found += [(row, distinct[part]) for row, part in packed_rows(ids, tails, self._budget)]
        batches = token_batches([len(row) for row, _ in found], self._budget)
        return [[found[i] for i in batch] for batch in batches]

    def _packed(self, rows: np.ndarray, part: list[tuple[PackedRow, np.ndarray]]) -> Pass:
        texts = np.concatenate([ids for _, ids in part])
        members = rows[np.isin(self._texts[rows], texts)]
        order = np.argsort(texts)
        text_of = order[np.searchsorted(texts[order], self._texts[members])]
        return Pass([], [row for row, _ in part], members, text_of)

    @property
    def _budget(self) -> int:
        return self.config.micro_tokens or self.config.batch_tokens

    def _whole(self, rows: np.ndarray) -> list[Pass]:
        """Return passes that read every prompt from its first token."""
        return [
            Pass(
                [np.concatenate([self.pairs[i].head, self.pairs[i].tail]) for i in rows[batch]],
                [],
                rows[batch],
                np.arange(len(batch)),
            )
            for batch in token_batches(self.lengths[rows], self._budget)
        ]
