"""The transformers engine: the fallback where vLLM is not at hand, behind the same interface.

Requests that wait together are decoded as one batch; rows that finish or are aborted leave
it. Each row draws from its own generator, so a trace depends on its seed, not on its
neighbours (up to the rounding of batched matrix products).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepprune_core.engines.base import CONFIDENCE_TOP_K, Chunk, Request, SamplingConfig


@dataclass
class _Row:
    """One request in the batch."""

    request: Request
    config: SamplingConfig
    prompt: list[int]
    generator: torch.Generator
    chunks: asyncio.Queue[Chunk | BaseException]
    ids: list[int] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    aborted: bool = False

    def chunk(self, reason: str | None) -> Chunk:
        confidences = np.array(self.confidences, np.float16) if self.config.confidences else None
        return Chunk(self.request.request_id, tuple(self.ids), reason, confidences)

    def finish_reason(self, eos: int | None) -> str | None:
        if self.aborted:
            return "abort"
        if self.ids and self.ids[-1] == eos:
            return "stop"
        room = self.config.max_tokens - len(self.request.prefix)
        return "length" if len(self.ids) >= room else None


class TransformersEngine:
    """A causal language model of ``transformers`` as an engine. Use :func:`open_transformers`."""

    def __init__(self, model: Any, tokenizer: Any, max_parallel: int = 128) -> None:
        self.model, self.tokenizer, self.max_parallel = model.eval(), tokenizer, max_parallel
        self._waiting: list[_Row] = []
        self._rows: dict[str, _Row] = {}
        self._worker: asyncio.Task[None] | None = None
        self._generated = 0

    async def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        """Yield a chunk per token."""
        if request.request_id in self._rows:
            raise ValueError(f"expected a new request id, got {request.request_id!r} again")
        prompt = self.tokenizer.encode(request.prompt, add_special_tokens=False)
        generator = torch.Generator().manual_seed(request.seed)
        row = _Row(request, config, [*prompt, *request.prefix], generator, asyncio.Queue())
        self._rows[request.request_id] = row
        self._waiting.append(row)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            while True:
                chunk = await row.chunks.get()
                if isinstance(chunk, BaseException):
                    raise chunk
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            row.aborted = True
            self._rows.pop(request.request_id, None)

    async def abort(self, request_id: str) -> None:
        """Take a request out of the batch before its next token."""
        if row := self._rows.get(request_id):
            row.aborted = True

    def generated_tokens(self) -> int:
        """Return all tokens drawn since the engine was opened."""
        return self._generated

    def close(self) -> None:
        """Nothing to shut down; here so that engines look alike."""

    async def _work(self) -> None:
        await asyncio.sleep(0)  # let requests that start together wait together
        while self._waiting:
            batch = self._waiting[: self.max_parallel]
            del self._waiting[: self.max_parallel]
            try:
                await self._decode(batch)
            except BaseException as error:
                for row in [*batch, *self._waiting]:
                    row.chunks.put_nowait(error)  # whoever reads a stream sees what went wrong
                self._waiting.clear()
                raise

    async def _decode(self, rows: list[_Row]) -> None:
        """Decode a batch until every row has ended."""
        longest = max(len(row.prompt) for row in rows)
        pad = [longest - len(row.prompt) for row in rows]
        ids = torch.tensor([[0] * n + row.prompt for n, row in zip(pad, rows, strict=True)])
        mask = torch.tensor([[0] * n + [1] * (longest - n) for n in pad])
        cache = None
        while rows:
            output = self._forward(ids, mask, cache)
            cache = output.past_key_values
            logits = output.logits[:, -1].float().cpu()
            drawn = [self._draw(row, logits[i]) for i, row in enumerate(rows)]
            keep = self._report(rows, drawn)
            await asyncio.sleep(0)  # readers run, and may abort
            keep = [i for i in keep if not self._ended_by_abort(rows[i])]
            if len(keep) < len(rows):
                cache.batch_select_indices(torch.tensor(keep, dtype=torch.long))
                mask = mask[keep]
            rows, drawn = [rows[i] for i in keep], [drawn[i] for i in keep]
            ids = torch.tensor(drawn, dtype=torch.long).reshape(-1, 1)
            mask = torch.cat([mask, torch.ones(len(rows), 1, dtype=mask.dtype)], dim=1)

    def _report(self, rows: list[_Row], drawn: list[int]) -> list[int]:
        """Hand every row its token; return the indices of rows that go on."""
        keep = []
        for i, (row, token) in enumerate(zip(rows, drawn, strict=True)):
            row.ids.append(token)
            self._generated += 1
            reason = row.finish_reason(self.tokenizer.eos_token_id)
            row.chunks.put_nowait(row.chunk(reason))
            if reason is None:
                keep.append(i)
        return keep

    def _ended_by_abort(self, row: _Row) -> bool:
        if row.aborted:
            row.chunks.put_nowait(row.chunk("abort"))
        return row.aborted

    @torch.inference_mode()
    def _forward(self, ids: Tensor, mask: Tensor, cache: Any) -> Any:
        device = self.model.device
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=positions.to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )

    def _draw(self, row: _Row, logits: Tensor) -> int:
        """Draw one token from a row's ``(vocabulary,)`` logits and note its confidence."""
        config = row.config
        if config.confidences:
            top = logits.log_softmax(-1).topk(min(CONFIDENCE_TOP_K, len(logits))).values
            row.confidences.append(-float(top.mean()))
        if config.temperature == 0:
            return int(logits.argmax())
        kept = _cut(logits / config.temperature, config)
        return int(torch.multinomial(kept.softmax(-1), 1, generator=row.generator))


def _cut(logits: Tensor, config: SamplingConfig) -> Tensor:
    """Return the logits with everything outside top-k and top-p at minus infinity."""
    if config.top_k:
        least = logits.topk(min(config.top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if config.top_p < 1:
        values, order = logits.sort(descending=True)
        before = values.softmax(-1).cumsum(-1) - values.softmax(-1)
        logits = logits.index_fill(0, order[before >= config.top_p], -torch.inf)
    return logits


def open_transformers(
    model: Path | str,
    max_parallel: int = 128,
    *,
    dtype: torch.dtype = torch.bfloat16,
    device: str = "cpu",
) -> TransformersEngine:
    """Return an engine for a model folder; raises FileNotFoundError if it holds no weights."""
    from deepprune_core.judging.loading import load_causal_lm

    loaded, tokenizer = load_causal_lm(model, dtype=dtype, device=device)
    return TransformersEngine(loaded, tokenizer, max_parallel)
