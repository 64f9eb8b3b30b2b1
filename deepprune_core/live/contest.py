"""DeepPrune and its peers by name, on one engine and the same questions.

Every method takes a question and gives a :class:`PrunedAnswer`, so one loop and one table serve
them all. Traces of one question have the same seeds under every method.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from tqdm import tqdm

from deepprune_core.engines.base import Engine, Messages, trace_seed
from deepprune_core.judging.inputs import Judge
from deepprune_core.live import peers
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.deepprune import DeepPrune
from deepprune_core.live.result import PrunedAnswer
from deepprune_core.peers.deepconf import DeepConfConfig
from deepprune_core.traces import Question
from deepprune_core.truncation import Tokenizer

Method = Callable[[Question], Awaitable[PrunedAnswer]]


@dataclass(frozen=True)
class Contest:
    """Where methods meet: an engine, its ``tokenizer``, what it is asked, ``n`` traces at most.

    ``prompt`` turns a question's text into what the model reads; ``deepconf`` are the settings
    of DeepConf but for the share of traces that it keeps.
    """

    engine: Engine
    tokenizer: Tokenizer
    config: OnlineConfig
    n: int
    prompt: Callable[[str], str | Messages] = lambda text: text
    deepconf: DeepConfConfig = field(default_factory=lambda: DeepConfConfig(90))

    def vote(self, k: int | None = None) -> Method:
        """Return the plain majority vote of ``k`` traces (default: all)."""
        return lambda question: peers.consistency(self._asked(question), k or self.n)

    def deepprune(
        self, judge: Judge, mode: Literal["online", "pause"], tau: float | None = None
    ) -> Method:
        """Return DeepPrune, which judges traces while they run or while they wait.

        ``tau``: the threshold that suits the judge (default: the configuration's).
        """
        pruning = self.config.pruning if tau is None else self.config.pruning.with_tau(tau)
        config = replace(self.config, mode=mode, pruning=pruning)
        tool = DeepPrune(self.engine, judge, config, tokenizer=self.tokenizer, prompt=self.prompt)
        return lambda question: tool.answer(question, self.n)

    def random(self, keep: float) -> Method:
        """Return random pruning at DeepPrune's truncation point; ``keep``: share that goes on."""

        def ask(question: Question) -> Awaitable[PrunedAnswer]:
            seed = trace_seed(self.config.seed, f"{question.question_id}/random", 0)
            return peers.random_pruning(
                self._asked(question), self.n, keep=keep, truncation=self.config.truncation,
                rng=np.random.default_rng(seed),
            )  # fmt: skip

        return ask

    def adaptive(self, parallel: int = 8) -> Method:
        """Return adaptive consistency with ``parallel`` traces at a time (the paper: one)."""
        return lambda question: peers.adaptive_consistency(
            self._asked(question), self.n, parallel=parallel
        )

    def early_stopping(self, window: int = 5) -> Method:
        """Return early-stopping self-consistency."""
        return lambda question: peers.early_stopping(self._asked(question), self.n, window=window)

    def confidence(self, keep_percent: float) -> Method:
        """Return DeepConf; 90 is the paper's *high*, 10 its *low*."""
        config = replace(self.deepconf, keep_percent=keep_percent)
        return lambda question: peers.deepconf(
            self._asked(question, confidences=True), self.n, config
        )

    def _asked(self, question: Question, *, confidences: bool = False) -> peers.Asked:
        sampling = replace(self.config.sampling, confidences=confidences)
        return peers.Asked(
            self.engine, self.tokenizer, sampling, question, self.prompt(question.text),
            self.config.seed,
        )  # fmt: skip


def share_finished(results: Sequence[PrunedAnswer]) -> float:
    """Return the share of traces that ran to their end, over all questions."""
    return sum(len(r.finished) for r in results) / sum(len(r.traces) for r in results)


@dataclass(frozen=True)
class Played:
    """One method's results on all questions.

    ``tokens``: generated, by the engine's own counter; ``seconds``: wall time of all questions.
    """

    results: tuple[PrunedAnswer, ...]
    tokens: int
    seconds: float

    def total(self, name: str) -> int:
        """Return the sum of one entry of the ledgers."""
        return sum(getattr(result.ledger, name) for result in self.results)


async def play(
    name: str, method: Method, questions: Sequence[Question], engine: Engine, at_once: int = 1
) -> Played:
    """Ask the questions, ``at_once`` at a time."""
    bar = tqdm(total=len(questions), desc=name, unit="question", leave=False)
    room = asyncio.Semaphore(at_once)

    async def ask(question: Question) -> PrunedAnswer:
        async with room:
            result = await method(question)
        bar.update()
        return result

    before, started = engine.generated_tokens(), time.monotonic()
    with bar:
        results = await asyncio.gather(*map(ask, questions))
    return Played(tuple(results), engine.generated_tokens() - before, time.monotonic() - started)
