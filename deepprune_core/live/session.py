"""One question while its traces run: who arrives, who is placed, who goes on, when it is decided.

Three kinds of task share the state: one for each trace, which streams its tokens; one that places
the traces that have reached their truncation point; and whoever asked, who reads the events.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from deepprune_core.clustering import STOPPED
from deepprune_core.engines.base import Chunk, Engine, Messages, Request, SamplingConfig, trace_seed
from deepprune_core.judging.inputs import Judge
from deepprune_core.ledger import TraceState
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.growing_text import GrowingText
from deepprune_core.live.placing import Placement, Placer
from deepprune_core.live.result import Event, EventKind
from deepprune_core.live.tally import Tally
from deepprune_core.pruner import finishing, states_of
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer, strip_answer

LOOK_EVERY = 8  # tokens between two looks for the truncation point
CLOSED = -1


@dataclass
class Running:
    """One trace: its tokens, its text, and what has been decided about it.

    ``may_go_on``: set once it is placed; ``state``: set once it has ended.
    """

    index: int
    text: GrowingText
    chunk: Chunk | None = None
    arrived: bool = False
    placed: asyncio.Event = field(default_factory=asyncio.Event)
    placement: Placement | None = None
    may_go_on: bool = False
    state: TraceState | None = None
    detail: str = ""
    request_id: str = ""

    @property
    def tokens(self) -> int:
        return self.chunk.num_tokens if self.chunk else 0

    @property
    def complete(self) -> bool:
        """Whether the model itself ended the trace."""
        return self.chunk is not None and self.chunk.finish_reason in ("stop", "length")


class Session:
    """Runs one question's traces and prunes them."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        judge: Judge,
        config: OnlineConfig,
        question: Question,
        prompt: str | Messages,
        num_traces: int,
        emit: Callable[[Event], None],
        turn: threading.Lock | None = None,
    ) -> None:
        self.engine, self.tokenizer, self.config = engine, tokenizer, config
        self.question, self.prompt, self._emit = question, prompt, emit
        self.rng = np.random.default_rng([config.seed, trace_seed(0, question.question_id, 0)])
        self.placer = Placer(judge, question.text, config.pruning.clustering, self.rng, turn)
        self.traces = [Running(i, GrowingText(tokenizer)) for i in range(num_traces)]
        self.tally = Tally(config.pruning, num_traces)
        self.decided_early = False
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall time since the question was asked."""
        return time.monotonic() - self._started

    async def run(self) -> None:
        """Return when every trace has ended.

        Raises:
            Exception: the judge failed; all traces have been stopped then.
        """
        placing = asyncio.create_task(self._place_arrivals())
        tracing = [asyncio.create_task(self._trace(trace)) for trace in self.traces]
        try:
            await _first_failure([*tracing, placing], until=tracing)
            self._waiting.put_nowait(CLOSED)
            await placing
            if self.config.pruning.finish == "largest_cluster":
                await self._finish_chosen()
        finally:
            await self._stop([*tracing, placing])
        for trace in self.traces:
            trace.state = trace.state or TraceState.PRUNED

    async def _trace(self, trace: Running) -> None:
        """Run one trace until it has ended or may not go on."""
        self.tell("started", trace)
        try:
            await self._generate(trace, "first")
            if trace.state is not None:  # the vote was decided meanwhile
                return
            self._arrive(trace)
            await trace.placed.wait()
            if trace.may_go_on and not trace.complete and not self.decided_early:
                await self._generate(trace, "rest")
            self._end(trace)
            await self._look_for_decision()
        except (RuntimeError, OSError) as error:
            await self._failed(trace, error)

    async def _generate(self, trace: Running, part: str) -> None:
        """Stream a trace's tokens; look for its truncation point on the way."""
        before = trace.chunk or Chunk("", ())
        seed = trace_seed(self.config.seed, f"{self.question.question_id}/{part}", trace.index)
        name = f"{self.question.question_id}/{self.config.seed}/{trace.index}/{part}"
        trace.request_id, looked = name, 0
        sofar = before if before.num_tokens else None
        request = Request(name, self.prompt, seed, before.token_ids, sofar)
        sampling = self._sampling(part)
        async for chunk in self.engine.stream(request, sampling):
            if chunk.finish_reason == "length" and sampling is not self.config.sampling:
                chunk = replace(chunk, finish_reason=None)  # at the cut, not at the limit
            trace.chunk = before.joined(chunk)
            if trace.state is not None or (trace.placed.is_set() and not trace.may_go_on):
                await self.engine.abort(name)
                return
            if trace.arrived or chunk.finish_reason is not None:
                continue
            if chunk.num_tokens - looked >= LOOK_EVERY:
                looked = chunk.num_tokens
                if self._reached(trace):
                    self._arrive(trace)
                    if self.config.mode == "pause":
                        await self.engine.abort(name)
                        return

    def _sampling(self, part: str) -> SamplingConfig:
        """Return how a part is sampled; a trace that pauses at k tokens asks for no more."""
        cut, whole = self.config.truncation, self.config.sampling
        stops = part == "first" and self.config.mode == "pause" and cut.kind == "tokens"
        return replace(whole, max_tokens=cut.k) if stops and cut.k < whole.max_tokens else whole

    def _reached(self, trace: Running) -> bool:
        assert trace.chunk is not None
        cut = self.config.truncation
        if cut.kind == "tokens":
            return trace.tokens >= cut.k
        return cut.reached(trace.text.take(trace.chunk), self.tokenizer)

    def _arrive(self, trace: Running) -> None:
        """Hand a trace to the judge, once."""
        if trace.arrived:
            return
        trace.arrived = True
        self.tell("reached", trace)
        self._waiting.put_nowait(trace.index)

    async def _place_arrivals(self) -> None:
        """Place whoever waits, again and again; the judge works in a thread beside generation."""
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            still = [i for i in batch if i != CLOSED and self.traces[i].state is None]
            arrivals = [(i, self._prefix(self.traces[i])) for i in still]
            if arrivals:
                for one in await asyncio.to_thread(self.placer.place, arrivals):
                    await self._placed(self.traces[one.trace], one)
            if CLOSED in batch:
                return

    def _prefix(self, trace: Running) -> str:
        text = trace.text.take(trace.chunk)
        return strip_answer(self.config.truncation.point(text, self.tokenizer))[0]

    async def _placed(self, trace: Running, placement: Placement) -> None:
        """Decide whether a trace goes on, and stop it if it may not."""
        trace.placement = placement
        trace.may_go_on = placement.opened and self.config.pruning.finish == "survivors"
        self.tally.place(trace.index, placement.cluster, placement.opened)
        self.tell("opened" if placement.opened else "joined", trace)
        trace.placed.set()
        if not trace.may_go_on and not trace.complete:
            await self.engine.abort(trace.request_id)

    def _end(self, trace: Running) -> None:
        """Settle a trace that has stopped generating; one that is not chosen stays open."""
        survivors = self.config.pruning.finish == "survivors"
        if not survivors or trace.state is not None:
            return
        if trace.complete and trace.may_go_on:
            self._finished(trace)
            return
        placed = trace.placement
        dropped = placed is not None and placed.cluster == STOPPED
        trace.state = TraceState.OVERFLOW if dropped else TraceState.PRUNED

    def _finished(self, trace: Running) -> None:
        assert trace.chunk is not None
        trace.state = TraceState.FINISHED
        self.tally.finish(trace.index, trace.text.take(trace.chunk))
        self.tell("finished", trace)

    async def _finish_chosen(self) -> None:
        """Let the paper's K2 (or K3) traces run to their end, once all are placed."""
        clustering = self.placer.result
        chosen = finishing(clustering, self.config.pruning, self.rng)
        self.tally.choose(chosen)
        states = states_of(len(self.traces), clustering, chosen, "largest_cluster")
        for trace in self.traces:
            if trace.state is None and trace.index not in chosen:
                trace.state = states[trace.index]
        tasks = [asyncio.create_task(self._run_on(self.traces[i])) for i in chosen]
        try:
            await asyncio.gather(*tasks)
        finally:
            await self._stop(tasks)

    async def _run_on(self, trace: Running) -> None:
        trace.may_go_on = True
        try:
            if not trace.complete and not self.decided_early:
                await self._generate(trace, "rest")
        except (RuntimeError, OSError) as error:
            await self._failed(trace, error)
            return
        if trace.complete and trace.state is None:
            self._finished(trace)
            await self._look_for_decision()

    async def _failed(self, trace: Running, error: Exception) -> None:
        trace.state, trace.detail = TraceState.FAILED, str(error)
        self.tell("failed", trace)
        self.tally.give_up(trace.index)
        await self._look_for_decision()

    async def _look_for_decision(self) -> None:
        """Stop everyone who is still out once they cannot change the vote."""
        if self.decided_early or not self.config.stop_when_decided or not self.tally.decided:
            return
        self.decided_early = True
        self._emit(Event("decided", -1, self.seconds))
        for trace in self.traces:
            if trace.state is None and not trace.complete:
                trace.state = TraceState.DECIDED
                trace.placed.set()
                await self.engine.abort(trace.request_id)

    async def _stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """Cancel what still runs and abort its requests, so that nothing is left generating."""
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if left:
            for trace in self.traces:
                await self.engine.abort(trace.request_id)

    def tell(self, kind: EventKind, trace: Running) -> None:
        """Emit an event about a trace."""
        placed = trace.placement
        score = None if placed is None or np.isnan(placed.score) else round(placed.score, 4)
        cluster = placed.cluster if placed else None
        event = Event(
            kind, trace.index, round(self.seconds, 3), trace.tokens, cluster, score, trace.detail
        )
        self._emit(event)


async def _first_failure(
    tasks: list[asyncio.Task[None]], *, until: list[asyncio.Task[None]]
) -> None:
    """Wait until all of ``until`` are done; raise as soon as any of ``tasks`` fails."""
    pending = set(tasks)
    while any(not task.done() for task in until):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
