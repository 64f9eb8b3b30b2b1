"""Many pairs in one row: what they share stands first, what each adds follows.

A causal model reads ``head tail1 tail2 ...`` in one pass. The mask lets a tail see the head and
itself, and its positions go on from the head's end, so each tail is read as if it stood alone.
There is no cache to copy, and a row's shape does not depend on how many pairs share a head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepprune_core.judging.prompts import EncodedPair

ROW_TOKENS = 768  # attention costs the square of a row
ROUND_TO = 64  # lengths are padded to multiples of it, so that compiled code is reused


def token_batches(lengths: Sequence[int] | np.ndarray, budget: int) -> list[np.ndarray]:
    """Return index arrays that cover all rows once, longest first, each within the budget.

    A batch holds rows of similar length with ``rows * longest <= budget`` (tokens, padding
    counted); a row longer than the budget is a batch of its own. Ties keep their order.

    >>> [batch.tolist() for batch in token_batches([3, 9, 4, 4], 10)]
    [[1], [2, 3], [0]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        rows = max(1, budget // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + rows])
        start += rows
    return batches


def pad_right(rows: Sequence[np.ndarray], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids ``(batch, longest)`` padded with 0, and each row's last real position.

    No attention mask goes with them: a causal model's real tokens never look at what follows,
    and only the last real position of a row is read.
    """
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.from_numpy(row)
    last = torch.tensor([len(row) - 1 for row in rows])
    return ids.to(device), last.to(device)


@dataclass(frozen=True)
class PackedRow:
    """A head with some tails: token ids, positions, and segments (0 head, 1, 2, ... tails)."""

    head: np.ndarray
    tails: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.head) + sum(map(len, self.tails))

    @property
    def ends(self) -> np.ndarray:
        """Where each tail ends in the row: index of its last token."""
        return len(self.head) + np.cumsum([len(tail) for tail in self.tails]) - 1


@dataclass(frozen=True)
class PackedBatch:
    """Rows side by side: ``ids``, ``positions``, ``segments``: (rows, length), -1 is padding.

    ``row``, ``end``: (texts,) where each text's last token is, row by row.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    row: Tensor
    end: Tensor

    @property
    def own(self) -> Tensor:
        """Which tokens of its row are a text's own, its head's apart: (texts, length) bool."""
        return self.segments[self.row] == self.segments[self.row, self.end][:, None]

    def to(self, device: torch.device) -> PackedBatch:
        """Return the batch on a device."""
        parts = (self.ids, self.positions, self.segments, self.row, self.end)
        return PackedBatch(*(part.to(device) for part in parts))


def split_tails(head: int, tails: Sequence[int], limit: int) -> list[np.ndarray]:
    """Return which tails (indices) share a row, in order; a row's tokens stay within ``limit``.

    A tail that does not fit beside its head has a row of its own.

    >>> [rows.tolist() for rows in split_tails(10, [5, 5, 9, 30, 4], 20)]
    [[0, 1], [2], [3], [4]]
    """
    rows: list[list[int]] = []
    used = 0
    for i, length in enumerate(tails):
        if not rows or used + length > limit:
            rows.append([])
            used = head
        rows[-1].append(i)
        used += length
    return [np.array(row) for row in rows]


def packed_rows(
    head: np.ndarray, tails: Sequence[np.ndarray], budget: int
) -> list[tuple[PackedRow, np.ndarray]]:
    """Return rows that hold all tails of one head, each with the indices of its tails.

    Rows stay within ``budget`` tokens and are kept short, three times the head at most.
    """
    limit = min(budget, max(ROW_TOKENS, 3 * len(head)))
    parts = split_tails(len(head), [len(tail) for tail in tails], limit)
    return [(PackedRow(head, tuple(tails[i] for i in part)), part) for part in parts]


def packed_passes(
    pairs: Sequence[EncodedPair], groups: Iterable[np.ndarray], budget: int
) -> Iterator[tuple[np.ndarray, PackedBatch]]:
    """Yield passes of at most ``budget`` padded tokens, with the pairs that each one reads.

    ``groups``: indices of pairs with one head.
    """
    rows = [
        (row, members[part])
        for members in groups
        for row, part in packed_rows(
            pairs[members[0]].head, [pairs[i].tail for i in members], budget
        )
    ]
    for batch in token_batches([len(row) for row, _ in rows], budget):
        yield np.concatenate([rows[i][1] for i in batch]), pack([rows[i][0] for i in batch])


def pack(rows: Sequence[PackedRow]) -> PackedBatch:
    """Return rows padded to one length."""
    length = -(-max(map(len, rows)) // ROUND_TO) * ROUND_TO
    ids = np.zeros((len(rows), length), np.int64)
    positions = np.zeros_like(ids)
    segments = np.full_like(ids, -1)
    for i, row in enumerate(rows):
        n, parts = len(row.head), (row.head, *row.tails)
        ids[i, : len(row)] = np.concatenate(parts)
        starts = [np.arange(n), *(n + np.arange(len(tail)) for tail in row.tails)]
        positions[i, : len(row)] = np.concatenate(starts)
        segments[i, : len(row)] = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    counts = [len(row.tails) for row in rows]
    return PackedBatch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(segments),
        torch.from_numpy(np.repeat(np.arange(len(rows)), counts)),
        torch.from_numpy(np.concatenate([row.ends for row in rows])),
    )


def attention_mask(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the additive mask (rows, 1, length, length): 0 where a token is seen."""
    length = segments.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    mine = segments[:, :, None] == segments[:, None, :]
    seen = before & (mine | (segments[:, None, :] == 0))
    low = torch.finfo(dtype).min
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, low)[:, None]


def packed_states(decoder: Any, batch: PackedBatch) -> Tensor:
    """Return the last hidden states: (rows, length, hidden).

    ``decoder``: a transformers model without its head, compiled or not.
    """
    device = batch.ids.device.type
    half = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if half else next(decoder.parameters()).dtype
    output = decoder(
        input_ids=batch.ids,
        attention_mask=attention_mask(batch.segments, dtype),
        position_ids=batch.positions,
        use_cache=False,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


def packed_hidden(decoder: Any, batch: PackedBatch) -> Tensor:
    """Return the last hidden state at the end of every text: (texts, hidden)."""
    return packed_states(decoder, batch)[batch.row, batch.end]
