"""DeepPrune as a tool: ask an engine one question N times, and pay for few of the traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

from deepprune_core.answers import UNGRADABLE, partition
from deepprune_core.engines.base import Engine, Messages
from deepprune_core.judging.inputs import Judge
from deepprune_core.ledger import Ledger, TraceState
from deepprune_core.online.config import OnlineConfig
from deepprune_core.online.live import run_async
from deepprune_core.online.result import Ballot, Event, PrunedAnswer, TraceOutcome
from deepprune_core.online.session import Running, Session
from deepprune_core.pruner import cast_vote
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer


class DeepPrune:
    """Parallel reasoning with pruning, on any engine and with any judge.

    ``engine`` brings its ``tokenizer``, or one is given. ``prompt`` turns a question into what
    the model reads (default: the text itself). One object may ask many questions at once.

    >>> DeepPrune(engine, judge).answer_sync("What has Ann?", n=16).answer  # doctest: +SKIP
    '4'
    """

    def __init__(
        self,
        engine: Engine,
        judge: Judge,
        config: OnlineConfig | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        prompt: Callable[[str], str | Messages] | None = None,
    ) -> None:
        found = tokenizer or getattr(engine, "tokenizer", None)
        if found is None:
            raise ValueError("expected an engine with a tokenizer, or tokenizer=")
        self.engine, self.judge, self.tokenizer = engine, judge, found
        self.config = config or OnlineConfig()
        self._prompt = prompt or (lambda text: text)

    async def answer(self, question: str | Question, n: int = 64) -> PrunedAnswer:
        """Return the answer of ``n`` traces, with all that became of them.

        An engine's fault ends the trace it hits; the result holds what the others gave.

        Raises:
            ValueError: ``n`` is less than 1.
        """
        return await self._ask(_question(question), n, lambda event: None)

    def answer_sync(self, question: str | Question, n: int = 64) -> PrunedAnswer:
        """Return the same from code that is not asynchronous, a notebook's included."""
        return run_async(lambda: self.answer(question, n))

    async def stream(
        self, question: str | Question, n: int = 64
    ) -> AsyncIterator[Event | PrunedAnswer]:
        """Yield events as they happen and the result last; leaving early stops all traces."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        asking = asyncio.create_task(self._ask(_question(question), n, queue.put_nowait))
        asking.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            yield await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self, question: Question, n: int, emit: Callable[[Event], None]) -> PrunedAnswer:
        if n < 1:
            raise ValueError(f"expected n >= 1 traces, got {n}")
        before = self.engine.generated_tokens()
        session = Session(
            self.engine, self.tokenizer, self.judge, self.config, question,
            self._prompt(question.text), n, emit,
        )  # fmt: skip
        await session.run()
        return _result(session, self.engine.generated_tokens() - before)


def _question(asked: str | Question) -> Question:
    if isinstance(asked, Question):
        return asked
    return Question(sha256(asked.encode()).hexdigest()[:12], asked)


def _result(session: Session, engine_tokens: int) -> PrunedAnswer:
    clustering, config = session.placer.result, session.config.pruning
    answers = session.tally.answers
    finished = sorted(answers, key=lambda t: _arrival(clustering.clusters, t))
    classes = partition([answers.get(i) for i in range(len(session.traces))])
    vote = cast_vote(clustering, finished, classes, config) if answers else None
    spelling = {int(classes[i]): answers[i] for i in reversed(finished)}
    ballots = tuple(
        Ballot(str(spelling[c]), weight, tuple(i for i in finished if classes[i] == c))
        for c, weight in sorted(vote.weights, key=lambda pair: -pair[1])
    ) if vote else ()  # fmt: skip
    winner = vote.winner if vote else UNGRADABLE
    ledger = Ledger(
        kept=sum(t.tokens for t in session.traces if t.state is TraceState.FINISHED),
        pruned=sum(t.tokens for t in session.traces if t.state is not TraceState.FINISHED),
        judge=session.placer.judge_tokens,
        judge_calls=session.placer.judge_calls,
    )
    return PrunedAnswer(
        question=session.question.text,
        answer=None if winner == UNGRADABLE else str(spelling[winner]),
        ballots=ballots,
        clusters=clustering.clusters,
        traces=tuple(_outcome(session, trace) for trace in session.traces),
        ledger=ledger,
        seconds=session.seconds,
        judge_seconds=session.placer.judge_seconds,
        engine_tokens=engine_tokens,
        decided_early=session.decided_early,
    )


def _arrival(clusters: tuple[tuple[int, ...], ...], trace: int) -> tuple[int, int]:
    for i, cluster in enumerate(clusters):
        if trace in cluster:
            return i, cluster.index(trace)
    return len(clusters), trace


def _outcome(session: Session, trace: Running) -> TraceOutcome:
    placed = trace.placement
    cluster = placed.cluster if placed and placed.cluster >= 0 else None
    first = session.placer.result.clusters[cluster][0] if cluster is not None else None
    assert trace.state is not None
    return TraceOutcome(
        trace.index,
        trace.state,
        trace.tokens,
        trace.text.extend(trace.chunk.token_ids) if trace.chunk else "",
        session.tally.answers.get(trace.index),
        cluster,
        first,
        None if placed is None or placed.opened else round(placed.score, 4),
        trace.detail,
    )
