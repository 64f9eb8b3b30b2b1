"""Stored traces as an engine: they stream again, token by token, and stop when told.

It drives everything that is written for a live engine without a model, so the controller's own
time can be measured, and a question can be asked again exactly as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np

from deepprune_core.engines.base import Chunk, Request, SamplingConfig, prompt_as_text
from deepprune_core.truncation import Tokenizer


class ReplayEngine:
    """Plays the texts of each prompt in order: the k-th request for a prompt gets its k-th text.

    ``confidences``: each text's token confidences, if traces are to bring them.
    ``tokens_per_second`` is the pace of one trace (None: as fast as asked); ``step``: tokens a
    chunk. A request with a prefix goes on with the text that begins so.

    Raises:
        ValueError: a prompt has no texts.
    """

    def __init__(
        self,
        texts: dict[str, Sequence[str]],
        tokenizer: Tokenizer,
        *,
        confidences: dict[str, Sequence[np.ndarray]] | None = None,
        step: int = 1,
        tokens_per_second: float | None = None,
    ) -> None:
        if empty := [prompt for prompt, found in texts.items() if not found]:
            raise ValueError(f"expected texts for every prompt, got none for {empty[0]!r}")
        self.tokenizer, self._step = tokenizer, step
        self._pause = 0.0 if tokens_per_second is None else step / tokens_per_second
        self._ids = {
            prompt: [tuple(tokenizer.encode(t, add_special_tokens=False)) for t in found]
            for prompt, found in texts.items()
        }
        self._confidences = confidences or {}
        self._given = dict.fromkeys(texts, 0)
        self._aborted: set[str] = set()
        self._count = 0

    async def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        """Yield growing chunks; raises ValueError for an unknown prompt."""
        number = self._choose(request)
        prompt, done = prompt_as_text(request), len(request.prefix)
        ids, start = self._ids[prompt][number], len(request.prefix)
        values = self._confidences[prompt][number] if config.confidences else None
        self._aborted.discard(request.request_id)
        while done < len(ids):
            await asyncio.sleep(self._pause)
            if request.request_id in self._aborted:
                yield _chunk(request, ids, values, start, done, "abort")
                return
            before, done = done, min(len(ids), done + self._step, config.max_tokens)
            self._count += done - before
            over = done >= config.max_tokens and done < len(ids)
            finish = "stop" if done == len(ids) else "length" if over else None
            yield _chunk(request, ids, values, start, done, finish)
            if finish:
                return

    async def abort(self, request_id: str) -> None:
        """Stop a request before its next chunk."""
        self._aborted.add(request_id)

    def generated_tokens(self) -> int:
        """Return the tokens handed out so far."""
        return self._count

    def _choose(self, request: Request) -> int:
        prompt = prompt_as_text(request)
        if prompt not in self._ids:
            raise ValueError(f"expected one of {len(self._ids)} stored prompts, got another one")
        stored = self._ids[prompt]
        if request.prefix:
            size = len(request.prefix)
            return next(i for i, ids in enumerate(stored) if ids[:size] == request.prefix)
        k = self._given[prompt]
        self._given[prompt] = k + 1
        return k % len(stored)


def _chunk(
    request: Request,
    ids: tuple[int, ...],
    values: np.ndarray | None,
    start: int,
    done: int,
    finish: str | None,
) -> Chunk:
    shown = None if values is None else np.asarray(values[start:done])
    return Chunk(request.request_id, ids[start:done], finish, shown)
