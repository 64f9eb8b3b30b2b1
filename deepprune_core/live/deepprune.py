"""DeepPrune as a tool: ask an engine one question N times, and pay for few of the traces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from hashlib import sha256

from deepprune_core.answers import partition
from deepprune_core.clustering import Clustering
from deepprune_core.engines.base import Engine, Messages
from deepprune_core.engines.sync import run_async
from deepprune_core.judging.inputs import Judge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.result import Event, PrunedAnswer, TraceOutcome, count_votes, ledger_of
from deepprune_core.live.session import Running, Session
from deepprune_core.pruner import cast_vote
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer


class DeepPrune:
    """Parallel reasoning with pruning, on any engine and with any judge.

    ``engine`` brings its ``tokenizer``, or one is given. ``prompt`` turns a question into what
    the model reads (default: the text itself). One object may ask many questions at once; a judge
    reads for one at a time, but for one that says ``parallel``.

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
        self._turn = None if getattr(judge, "parallel", False) else threading.Lock()

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
            self._prompt(question.text), n, emit, self._turn,
        )  # fmt: skip
        await session.run()
        return _result(session, self.engine.generated_tokens() - before)


def _question(asked: str | Question) -> Question:
    if isinstance(asked, Question):
        return asked
    return Question(sha256(asked.encode()).hexdigest()[:12], asked)


def _result(session: Session, engine_tokens: int) -> PrunedAnswer:
    clustering, placer = session.placer.result, session.placer
    answers = session.tally.answers
    finished = sorted(answers, key=lambda t: _arrival(clustering.clusters, t))
    classes = partition([answers.get(i) for i in range(len(session.traces))])
    vote = cast_vote(clustering, finished, classes, session.config.pruning)
    answer, ballots = count_votes(vote, finished, classes[finished], answers)
    traces = tuple(_outcome(trace, clustering, answers) for trace in session.traces)
    return PrunedAnswer(
        question=session.question.text,
        answer=answer,
        ballots=ballots,
        clusters=clustering.clusters,
        traces=traces,
        ledger=ledger_of(traces, placer.judge_tokens, placer.judge_calls),
        seconds=session.seconds,
        judge_seconds=placer.judge_seconds,
        engine_tokens=engine_tokens,
        decided_early=session.decided_early,
    )


def _arrival(clusters: tuple[tuple[int, ...], ...], trace: int) -> tuple[int, int]:
    for i, cluster in enumerate(clusters):
        if trace in cluster:
            return i, cluster.index(trace)
    return len(clusters), trace


def _outcome(
    trace: Running, clustering: Clustering, answers: Mapping[int, str | None]
) -> TraceOutcome:
    placed = trace.placement
    cluster = placed.cluster if placed and placed.cluster >= 0 else None
    assert trace.state is not None
    return TraceOutcome(
        trace.index,
        trace.state,
        trace.tokens,
        trace.text.take(trace.chunk),
        answers.get(trace.index),
        cluster,
        None if cluster is None else clustering.clusters[cluster][0],
        None if placed is None or placed.opened else round(placed.score, 4),
        trace.detail,
    )
