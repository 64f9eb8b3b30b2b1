"""Pruning on a running engine (paper, section 3, online pruning): real streams, real aborts.

Every trace generates up to its truncation point and is stopped there. It arrives at the
clusterer at that moment, so the order of arrival is the order of the engine. Traces that may
finish are resumed from their own tokens (the engine's prefix cache makes that cheap); the
others stay stopped. Tokens are counted by the engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from deepprune_core.answers import grade
from deepprune_core.clustering import GreedyClusterer
from deepprune_core.engines.base import Chunk, Engine, Request, SamplingConfig, trace_seed
from deepprune_core.engines.sampler import last_chunk
from deepprune_core.judging.inputs import Judge, JudgeInput
from deepprune_core.ledger import Ledger
from deepprune_core.pruner import Outcome, PruningConfig, cast_vote, finishing, states_of
from deepprune_core.traces import Question, Trace
from deepprune_core.truncation import Tokenizer, Truncation

T = TypeVar("T")


@dataclass(frozen=True)
class LiveRun:
    """One question on a live engine: its ``prompt``, the number of traces and the run's seed."""

    question: Question
    prompt: str
    num_traces: int
    sampling: SamplingConfig
    seed: int


@dataclass(frozen=True)
class LiveResult:
    """The traces as they ended (pruned ones cut short), in arrival order, and the outcome.

    ``engine_tokens``: tokens generated for this question by the engine's own counter.
    """

    traces: tuple[Trace, ...]
    outcome: Outcome
    engine_tokens: int


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Return the result of an asynchronous function, inside a notebook or outside of one.

    A notebook's own event loop is busy, so the work gets a thread with a fresh loop.
    """
    box: list[T] = []
    failure: list[BaseException] = []

    async def main() -> None:
        box.append(await work())

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return box[0]


class _LiveQuestion:
    """The state of one question while its traces run."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        judge: Judge,
        run: LiveRun,
        truncation: Truncation,
        config: PruningConfig,
        rng: np.random.Generator,
    ) -> None:
        self.engine, self.tokenizer, self.judge, self.run = engine, tokenizer, judge, run
        self.truncation, self.config, self.rng = truncation, config, rng
        self.clusterer = GreedyClusterer(self._score, config.clustering, rng)
        self.lock = asyncio.Lock()
        self.order: list[int] = []
        self.chunks: dict[int, Chunk] = {}
        self.prefixes: dict[int, str] = {}
        self.judge_tokens = 0

    def _score(self, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        inputs = [
            JudgeInput(self.run.question.text, *(self.prefixes[t] for t in sorted(pair)))
            for pair in pairs
        ]
        self.judge_tokens += int(self.judge.num_tokens(inputs).sum())
        return self.judge.score(inputs)

    def _text(self, chunk: Chunk) -> str:
        return self.tokenizer.decode(list(chunk.token_ids), skip_special_tokens=True)

    def _request(self, index: int, part: str, prefix: tuple[int, ...] = ()) -> Request:
        run = self.run
        seed = trace_seed(run.seed, f"{run.question.question_id}/{part}", index)
        name = f"{run.question.question_id}/{run.seed}/{index}/{part}"
        return Request(name, run.prompt, seed, prefix)

    async def arrive(self, index: int) -> None:
        """Generate one trace up to its truncation point, stop it, and place it."""
        request = self._request(index, "prefix")
        async for chunk in self.engine.stream(request, self.run.sampling):
            self.chunks[index] = chunk
            if chunk.finish_reason is not None:
                break
            if self.truncation.reached(self._text(chunk), self.tokenizer):
                await self.engine.abort(request.request_id)
                break
        async with self.lock:
            text = self._text(self.chunks[index])
            self.prefixes[index] = self.truncation.cut(text, self.tokenizer).text
            self.order.append(index)
            before = self.clusterer.num_clusters
            opened = self.clusterer.add(index) == before
        if opened and self.config.finish == "survivors":
            await self.resume(index)

    async def resume(self, index: int) -> None:
        """Let a stopped trace run to its end."""
        before = self.chunks[index]
        if before.finish_reason in ("stop", "length"):
            return
        request = self._request(index, "rest", before.token_ids)
        async for chunk in self.engine.stream(request, self.run.sampling):
            self.chunks[index] = before.joined(chunk)

    async def outcome(self) -> tuple[tuple[Trace, ...], Outcome]:
        """Return all traces and the outcome, once everyone has arrived."""
        clustering = self.clusterer.result()
        finished = finishing(clustering, self.config, self.rng)
        if self.config.finish != "survivors":
            await asyncio.gather(*(self.resume(index) for index in finished))
        traces = tuple(self._trace(i) for i in range(self.run.num_traces))
        graded = grade(self.run.question, [traces[i] for i in finished])
        classes = np.full(len(traces), -1)
        classes[list(finished)] = graded.classes
        confidence = _trace_confidence(traces)
        vote = cast_vote(clustering, finished, classes, self.config, confidence)
        ledger = Ledger(
            kept=sum(traces[i].num_tokens for i in finished),
            pruned=sum(t.num_tokens for i, t in enumerate(traces) if i not in set(finished)),
            judge=self.judge_tokens,
            judge_calls=clustering.judge_calls,
        )
        states = states_of(len(traces), clustering, finished, self.config.finish)
        right = vote.winner == graded.gold_class
        return traces, Outcome(clustering, finished, states, vote, ledger, right)

    def _trace(self, index: int) -> Trace:
        chunk = self.chunks[index]
        return Trace(
            self.run.question.question_id, str(index), self._text(chunk), chunk.num_tokens,
            finish_reason=chunk.finish_reason, confidences=chunk.confidences,
        )  # fmt: skip


def _trace_confidence(traces: Sequence[Trace]) -> np.ndarray | None:
    if any(t.confidences is None for t in traces):
        return None
    return np.array([np.mean(t.confidences, dtype=np.float64) for t in traces])  # type: ignore[arg-type]


async def prune_live(
    engine: Engine,
    tokenizer: Tokenizer,
    judge: Judge,
    run: LiveRun,
    *,
    truncation: Truncation,
    config: PruningConfig,
    rng: np.random.Generator,
) -> LiveResult:
    """Return one question's outcome on a live engine that serves nothing else meanwhile.

    ``ledger.after_abort`` is what the engine counted beyond the tokens that were handed out;
    ``ledger.baseline`` stays 0, since traces that were stopped have no known length.

    Raises:
        RuntimeError: the engine counted fewer tokens than it handed out.
    """
    before = engine.generated_tokens()
    state = _LiveQuestion(engine, tokenizer, judge, run, truncation, config, rng)
    await asyncio.gather(*(state.arrive(index) for index in range(run.num_traces)))
    traces, outcome = await state.outcome()
    counted = engine.generated_tokens() - before
    extra = counted - outcome.ledger.generated
    if extra < 0:
        raise RuntimeError(
            f"expected the engine to count at least {outcome.ledger.generated} tokens, got "
            f"{counted}; its metrics are switched off or lag behind"
        )
    return LiveResult(traces, _with_ledger(outcome, Ledger(after_abort=extra)), counted)


async def vote_live(engine: Engine, tokenizer: Tokenizer, run: LiveRun) -> LiveResult:
    """Return the plain majority vote over all traces in full, on the same engine (cons@N)."""
    from deepprune_core.clustering import Clustering
    from deepprune_core.ledger import TraceState
    from deepprune_core.voting import majority

    before = engine.generated_tokens()

    async def whole(index: int) -> Trace:
        seed = trace_seed(run.seed, f"{run.question.question_id}/whole", index)
        name = f"{run.question.question_id}/{run.seed}/{index}/whole"
        request = Request(name, run.prompt, seed)
        chunk = await last_chunk(engine.stream(request, run.sampling))
        assert chunk is not None
        text = tokenizer.decode(list(chunk.token_ids), skip_special_tokens=True)
        return Trace(
            run.question.question_id, str(index), text, chunk.num_tokens,
            finish_reason=chunk.finish_reason, confidences=chunk.confidences,
        )  # fmt: skip

    traces = tuple(await asyncio.gather(*(whole(index) for index in range(run.num_traces))))
    graded, everyone = grade(run.question, traces), tuple(range(run.num_traces))
    vote, total = majority(graded.classes), sum(t.num_tokens for t in traces)
    clustering = Clustering(tuple((i,) for i in everyone), np.full(len(everyone), np.nan), (), ())
    ledger = Ledger(kept=total, baseline=total)
    states = (TraceState.FINISHED,) * len(everyone)
    right = vote.winner == graded.gold_class
    outcome = Outcome(clustering, everyone, states, vote, ledger, right)
    return LiveResult(traces, outcome, engine.generated_tokens() - before)


def _with_ledger(outcome: Outcome, extra: Ledger) -> Outcome:
    from dataclasses import replace

    return replace(outcome, ledger=outcome.ledger + extra)
