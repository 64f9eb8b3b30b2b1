"""What every tool that asks one question N times has: an answer, and events as they happen."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

from deepprune_core.engines.base import Engine, Messages
from deepprune_core.engines.sync import run_async
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer


class Asker(ABC):
    """Asks an engine one question N times and votes.

    ``engine`` brings its ``tokenizer``, or one is given. ``prompt`` turns a question into what
    the model reads (default: the text itself). One object may ask many questions at once. ``way``
    says in a few words how it decides which traces go on.
    """

    way: str

    def __init__(
        self,
        engine: Engine,
        config: OnlineConfig | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        prompt: Callable[[str], str | Messages] | None = None,
    ) -> None:
        found = tokenizer or getattr(engine, "tokenizer", None)
        if found is None:
            raise ValueError("expected an engine with a tokenizer, or tokenizer=")
        self.engine, self.tokenizer = engine, found
        self.config = config or OnlineConfig()
        self.prompt = prompt or (lambda text: text)

    async def answer(self, question: str | Question, n: int = 64) -> PrunedAnswer:
        """Return the answer of ``n`` traces at most, with all that became of them.

        An engine's fault ends the trace it hits; the result holds what the others gave.

        Raises:
            ValueError: ``n`` is less than 1.
        """
        return await self._checked(question, n, lambda event: None)

    def answer_sync(self, question: str | Question, n: int = 64) -> PrunedAnswer:
        """Return the same from code that is not asynchronous, a notebook's included."""
        return run_async(lambda: self.answer(question, n))

    async def stream(
        self, question: str | Question, n: int = 64
    ) -> AsyncIterator[Event | PrunedAnswer]:
        """Yield events as they happen and the result last; leaving early stops all traces."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        asking = asyncio.create_task(self._checked(question, n, queue.put_nowait))
        asking.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            yield await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _checked(
        self, question: str | Question, n: int, emit: Callable[[Event], None]
    ) -> PrunedAnswer:
        if n < 1:
            raise ValueError(f"expected n >= 1 traces, got {n}")
        if isinstance(question, str):
            question = Question(sha256(question.encode()).hexdigest()[:12], question)
        return await self.ask(question, n, emit)

    @abstractmethod
    async def ask(self, question: Question, n: int, emit: Callable[[Event], None]) -> PrunedAnswer:
        """Return a question's result; ``emit`` is told what happens meanwhile."""
