"""Other ways to spend N traces on a live engine, with DeepPrune's interface.

The plain vote (cons@N), adaptive consistency, early-stopping self-consistency, DeepConf and random
pruning. Each has ``answer`` and gives a :class:`PrunedAnswer`; nothing is clustered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from deepprune_core.answers import UNGRADABLE, extract_answer, partition
from deepprune_core.engines.base import Chunk, Engine, Messages, Request, SamplingConfig, trace_seed
from deepprune_core.ledger import TraceState
from deepprune_core.live.asking import Asker
from deepprune_core.live.growing_text import GrowingText
from deepprune_core.live.result import (
    Event,
    EventKind,
    PrunedAnswer,
    TraceOutcome,
    count_votes,
    ledger_of,
)
from deepprune_core.peers.deepconf import DeepConfConfig, group_confidence
from deepprune_core.peers.stopping import leading_counts, probability_of_lead, votes_to_decide
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer, Truncation
from deepprune_core.voting import Vote, majority, weighted

Watch = Callable[[Chunk], bool]
"""Reads a growing trace and returns whether to stop it now."""


@dataclass
class Asked:
    """One question on one engine: runs its traces and keeps what became of them."""

    engine: Engine
    tokenizer: Tokenizer
    sampling: SamplingConfig
    question: Question
    prompt: str | Messages
    seed: int
    emit: Callable[[Event], None] = lambda event: None

    def __post_init__(self) -> None:
        self.outcomes: dict[int, TraceOutcome] = {}
        self.chunks: dict[int, Chunk] = {}
        self._started, self._before = time.monotonic(), self.engine.generated_tokens()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, index: int, watch: Watch | None = None) -> asyncio.Task[None]:
        """Start a trace; the task ends when the trace does."""
        task = asyncio.create_task(self._run(index, watch))
        self._tasks[index] = task
        self._tell("started", index)
        return task

    async def stop(self) -> None:
        """Stop the traces that still run: they cannot change the vote any more."""
        self._tell("decided", -1)
        left = {i: task for i, task in self._tasks.items() if not task.done()}
        for index, task in left.items():
            task.cancel()
            await self.engine.abort(self._name(index))
        await asyncio.gather(*left.values(), return_exceptions=True)
        for index in left:
            self._settle(index, TraceState.DECIDED)

    def never_started(self, traces: Iterable[int]) -> None:
        """Enter traces that need not even start: the vote was decided before."""
        for index in traces:
            self.outcomes[index] = TraceOutcome(index, TraceState.DECIDED, 0, "")

    @property
    def finished(self) -> list[int]:
        """The traces that ran to their end, in the order in which they did."""
        return [i for i, o in self.outcomes.items() if o.state is TraceState.FINISHED]

    def classes(self, traces: Sequence[int]) -> np.ndarray:
        """Return the answer classes of finished traces."""
        return partition([self.outcomes[i].answer for i in traces])

    def result(self, voters: Sequence[int], vote: Vote, *, early: bool = False) -> PrunedAnswer:
        """Return the question's result; ``vote`` is over the classes of ``voters``."""
        answers = {i: self.outcomes[i].answer for i in voters}
        answer, ballots = count_votes(vote, voters, self.classes(voters), answers)
        traces = tuple(self.outcomes[i] for i in sorted(self.outcomes))
        return PrunedAnswer(
            self.question.text, answer, ballots, (), traces, ledger_of(traces),
            time.monotonic() - self._started, 0.0,
            self.engine.generated_tokens() - self._before, early,
        )  # fmt: skip

    async def _run(self, index: int, watch: Watch | None) -> None:
        seed = trace_seed(self.seed, f"{self.question.question_id}/first", index)
        request = Request(self._name(index), self.prompt, seed)
        stopped = False
        try:
            async for chunk in self.engine.stream(request, self.sampling):
                self.chunks[index] = chunk
                if watch is not None and chunk.finish_reason is None and watch(chunk):
                    await self.engine.abort(request.request_id)
                    stopped = True
                    break
        except (RuntimeError, OSError) as error:
            self._settle(index, TraceState.FAILED, str(error))
            return
        self._settle(index, TraceState.PRUNED if stopped else TraceState.FINISHED)

    def _settle(self, index: int, state: TraceState, detail: str = "") -> None:
        chunk = self.chunks.get(index) or Chunk("", ())
        text = GrowingText(self.tokenizer).take(chunk)
        answer = extract_answer(text) if state is TraceState.FINISHED else None
        self.outcomes[index] = TraceOutcome(
            index, state, chunk.num_tokens, text, answer, detail=detail
        )
        told: dict[TraceState, EventKind] = {
            TraceState.FINISHED: "finished", TraceState.FAILED: "failed"
        }  # fmt: skip
        if state in told:
            self._tell(told[state], index, chunk.num_tokens, detail)

    def _tell(self, kind: EventKind, trace: int, tokens: int = 0, detail: str = "") -> None:
        seconds = time.monotonic() - self._started
        self.emit(Event(kind, trace, seconds, tokens, detail=detail))

    def _name(self, index: int) -> str:
        return f"{self.question.question_id}/{self.seed}/{index}/peer"


async def consistency(asked: Asked, n: int) -> PrunedAnswer:
    """Return the plain majority vote of ``n`` whole traces (cons@N)."""
    await asyncio.gather(*(asked.start(i) for i in range(n)))
    voters = asked.finished
    return asked.result(voters, majority(asked.classes(voters)))


async def adaptive_consistency(
    asked: Asked, n: int, *, confidence: float = 0.95, parallel: int = 1
) -> PrunedAnswer:
    """Return the vote that stops once the leader is ahead with probability ``confidence``.

    Aggarwal et al. 2023 (arXiv 2305.11860). At most ``parallel`` traces run at a time (the paper:
    1), and no more than would decide the vote if they agreed with its leader; those that still run
    when it is decided are stopped.
    """
    running: set[asyncio.Task[None]] = set()
    started, decided = 0, False
    while True:
        lead = _lead(asked)
        decided = probability_of_lead(*lead) > confidence
        if decided:
            await asked.stop()
            break
        useful = min(parallel, votes_to_decide(*lead, confidence))
        while started < n and len(running) < useful:
            running.add(asked.start(started))
            started += 1
        if not running:
            break
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    asked.never_started(range(started, n))
    voters = asked.finished
    early = decided and len(voters) < n
    return asked.result(voters, majority(asked.classes(voters)), early=early)


class AdaptiveConsistency(Asker):
    """Adaptive consistency as a tool that asks no judge; see :class:`Asker`.

    >>> AdaptiveConsistency(engine).answer_sync("What has Ann?", n=16).answer  # doctest: +SKIP
    '4'
    """

    way = "asked until the vote is sure"

    async def ask(self, question: Question, n: int, emit: Callable[[Event], None]) -> PrunedAnswer:
        """Return a question's result; ``emit`` is told what happens meanwhile."""
        config = self.config
        asked = Asked(
            self.engine, self.tokenizer, config.sampling, question, self.prompt(question.text),
            config.seed, emit,
        )  # fmt: skip
        try:
            return await adaptive_consistency(asked, n, parallel=n)
        except BaseException:  # whoever asked has left
            await asked.stop()
            raise


async def early_stopping(asked: Asked, n: int, *, window: int = 5) -> PrunedAnswer:
    """Return the vote that stops after the first window of traces that all agree.

    Early-stopping self-consistency (Li et al. 2024, arXiv 2401.10480); a window runs at once.
    """
    for start in range(0, n, window):
        part = list(range(start, min(n, start + window)))
        await asyncio.gather(*(asked.start(i) for i in part))
        classes = asked.classes([i for i in part if i in asked.finished])
        if len(part) == window == len(classes) and set(classes) == {0}:
            break
    voters = asked.finished
    return asked.result(voters, majority(asked.classes(voters)), early=len(voters) < n)


async def random_pruning(
    asked: Asked, n: int, *, keep: float, truncation: Truncation, rng: np.random.Generator
) -> PrunedAnswer:
    """Return the vote of those that chance lets pass the truncation point, each with ``keep``.

    At least one trace passes.
    """
    passes = rng.random(n) < keep
    passes[int(rng.integers(n))] |= not passes.any()

    def watch(text: GrowingText) -> Watch:
        return lambda chunk: truncation.reached(text.take(chunk), asked.tokenizer)

    await asyncio.gather(
        *(
            asked.start(i, None if passes[i] else watch(GrowingText(asked.tokenizer)))
            for i in range(n)
        )
    )
    # A trace that ended before its truncation point was not chosen to vote either.
    voters = [i for i in asked.finished if passes[i]]
    return asked.result(voters, majority(asked.classes(voters)))


async def deepconf(asked: Asked, n: int, config: DeepConfConfig) -> PrunedAnswer:
    """Return DeepConf's online vote (arXiv 2508.15260, algorithm 2); needs token confidences.

    A warm-up of whole traces sets the threshold; then every trace whose group confidence falls
    under it stops. Votes are weighted by a trace's lowest group confidence; no trace starts
    after the leader has the ``consensus`` share, and those that run then are stopped.

    Raises:
        ValueError: the sampling gives no confidences.
    """
    if not asked.sampling.confidences:
        raise ValueError("expected sampling with confidences for DeepConf; switch them on")
    warm = list(range(min(n, config.warmup)))
    await asyncio.gather(*(asked.start(i) for i in warm))
    lowest = {i: _lowest(asked, i, config.window) for i in asked.finished}
    if not lowest:
        return asked.result([], majority([]))
    threshold = config.threshold(list(lowest.values()))
    voters = [i for i in lowest if lowest[i] >= threshold]

    def watch(chunk: Chunk) -> bool:
        if chunk.confidences is None or chunk.num_tokens < config.window:
            return False
        return float(np.mean(chunk.confidences[-config.window :], dtype=np.float64)) < threshold

    def vote() -> Vote:
        return weighted(asked.classes(voters), [lowest[i] for i in voters])

    running = {asked.start(i, watch): i for i in range(len(warm), n)}
    early = False
    while running:
        leading = vote()
        early = bool(leading.weights) and leading.share >= config.consensus
        if early:
            break
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            index = running.pop(task)
            if asked.outcomes[index].state is TraceState.FINISHED:
                lowest[index] = _lowest(asked, index, config.window)
                voters.append(index)
    await asked.stop()
    return asked.result(voters, vote(), early=early)


def _lowest(asked: Asked, index: int, window: int) -> float:
    values = asked.chunks[index].confidences
    assert values is not None
    return float(group_confidence(values, window).min())


def _lead(asked: Asked) -> tuple[float, float]:
    classes = asked.classes(asked.finished)
    return leading_counts(np.bincount(classes[classes != UNGRADABLE]))
