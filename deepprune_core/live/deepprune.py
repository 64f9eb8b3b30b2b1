"""DeepPrune as a tool: ask an engine one question N times, and pay for few of the traces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from deepprune_core.answers import partition
from deepprune_core.clustering import Clustering
from deepprune_core.engines.base import Engine, Messages
from deepprune_core.judging.inputs import Judge
from deepprune_core.live.asking import Asker
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.peers import AdaptiveConsistency
from deepprune_core.live.result import Event, PrunedAnswer, TraceOutcome, count_votes, ledger_of
from deepprune_core.live.session import Running, Session
from deepprune_core.pruner import cast_vote
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer


class DeepPrune(Asker):
    """Parallel reasoning with pruning, on any engine and with any judge; see :class:`Asker`.

    A judge reads for one question at a time, but for one that says ``parallel``.

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
        super().__init__(engine, config, tokenizer=tokenizer, prompt=prompt)
        self.judge, self.way = judge, f"judged at {self.config.truncation.label}"
        self._turn = None if getattr(judge, "parallel", False) else threading.Lock()

    async def ask(self, question: Question, n: int, emit: Callable[[Event], None]) -> PrunedAnswer:
        """Return a question's result; ``emit`` is told what happens meanwhile."""
        before = self.engine.generated_tokens()
        session = Session(
            self.engine, self.tokenizer, self.judge, self.config, question,
            self.prompt(question.text), n, emit, self._turn,
        )  # fmt: skip
        await session.run()
        return _result(session, self.engine.generated_tokens() - before)


def open_asker(
    engine: Engine,
    judge: Judge | None,
    config: OnlineConfig,
    *,
    prompt: Callable[[str], str | Messages] | None = None,
) -> Asker:
    """Return DeepPrune, or adaptive consistency where no judge reads."""
    if judge is None:
        return AdaptiveConsistency(engine, config, prompt=prompt)
    return DeepPrune(engine, judge, config, prompt=prompt)


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
