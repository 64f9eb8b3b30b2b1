"""What an engine is: it streams one request's tokens, stops when told, and counts honestly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

import numpy as np

CONFIDENCE_TOP_K = 20
Messages = tuple[dict[str, str], ...]
"""A conversation: objects with ``role`` and ``content``; only chat endpoints read it."""


@dataclass(frozen=True)
class SamplingConfig:
    """How tokens are drawn; ``top_k`` 0 and ``top_p`` 1 switch the cut-offs off.

    ``confidences``: also return each token's confidence (DeepConf, arXiv 2508.15260): minus
    the mean log-probability, in nats, of the 20 likeliest tokens at its position. ``whole``:
    only the last chunk is wanted, which spares an engine the streaming.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 1100
    confidences: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Chunk:
    """All that a request has generated so far.

    ``token_ids``: generated ids, without the request's prefix; ``confidences``: float, one a
    token, or None; ``finish_reason``: ``stop``, ``length``, ``abort``, or None while running.
    ``text``: what a server sent, character for character; ``counted``: its length in tokens where
    the server does not tell all ids, so that the text alone says what was generated.
    """

    request_id: str
    token_ids: tuple[int, ...]
    finish_reason: str | None = None
    confidences: np.ndarray | None = None
    text: str | None = None
    counted: int | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids) if self.counted is None else self.counted

    def joined(self, rest: Chunk) -> Chunk:
        """Return what a trace holds that went on from this chunk and has since given ``rest``."""
        if not self.token_ids and not self.text:
            return rest
        confidences = None
        if self.confidences is not None and rest.confidences is not None:
            confidences = np.concatenate([self.confidences, rest.confidences])
        told = self.counted is None and rest.counted is None
        return replace(
            rest,
            token_ids=self.token_ids + rest.token_ids,
            confidences=confidences,
            text=None if self.text is None or rest.text is None else self.text + rest.text,
            counted=None if told else self.num_tokens + rest.num_tokens,
        )


@dataclass(frozen=True)
class Request:
    """One trace to sample: prompt, its own seed, and a prefix to go on from.

    ``prefix``: its token ids; ``sofar``: what had been generated, where ids alone do not say it.
    """

    request_id: str
    prompt: str | Messages
    seed: int
    prefix: tuple[int, ...] = ()
    sofar: Chunk | None = None


class Engine(Protocol):
    """A source of tokens for many concurrent requests."""

    def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        """Yield growing chunks until the request finishes or is aborted."""
        ...

    async def abort(self, request_id: str) -> None:
        """Stop a request; unknown or finished ids are ignored."""
        ...

    def generated_tokens(self) -> int:
        """Return all tokens generated since the engine was opened, by its own counter."""
        ...


def prompt_as_text(request: Request) -> str:
    """Return a request's prompt as text.

    Raises:
        ValueError: it is a conversation, which this engine cannot read.
    """
    if isinstance(request.prompt, str):
        return request.prompt
    raise ValueError("expected a prompt of text, got a conversation; use a chat endpoint")


def trace_seed(run_seed: int, question_id: str, trace_index: int) -> int:
    """Return the seed of one request: 31 bits of a hash, so that no two traces are clones.

    >>> trace_seed(1, "mini-24/000", 0) != trace_seed(1, "mini-24/000", 1)
    True
    """
    digest = sha256(f"{run_seed}\x1f{question_id}\x1f{trace_index}".encode()).digest()
    return int.from_bytes(digest[:4], "little") & 0x7FFF_FFFF
