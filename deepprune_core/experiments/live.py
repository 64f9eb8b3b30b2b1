"""The live run of notebook 05: the same questions pruned and voted in full on one engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.vllm import VllmEngine, VllmSettings, open_vllm
from deepprune_core.experiments.run import Run
from deepprune_core.experiments.text import count, percent, rate
from deepprune_core.judging.inputs import Judge
from deepprune_core.ledger import Ledger
from deepprune_core.metrics import Interval, bootstrap_mean
from deepprune_core.online.live import LiveResult, LiveRun, prune_live, run_async, vote_live
from deepprune_core.reporting.tables import Table
from deepprune_core.traces import Question
from deepprune_core.workflow.profile import ROOT


@dataclass(frozen=True)
class LiveComparison:
    """Each question once in full and once pruned, by the same engine."""

    model: str
    questions: tuple[Question, ...]
    full: tuple[LiveResult, ...]
    pruned: tuple[LiveResult, ...]
    seconds_full: float
    seconds_pruned: float

    @property
    def saved(self) -> float:
        """Share of tokens not generated, both sides counted by the engine."""
        return 1 - _tokens(self.pruned) / _tokens(self.full)

    @property
    def ledger(self) -> Ledger:
        """All pruned questions' tokens."""
        return sum((r.outcome.ledger for r in self.pruned), Ledger())


def _tokens(results: Sequence[LiveResult]) -> int:
    return sum(result.engine_tokens for result in results)


def play_live(
    run: Run, questions: Sequence[Question], prompts: Sequence[str], judge: Judge
) -> LiveComparison:
    """Return the comparison; starts vLLM, samples every question twice, and shuts it down.

    Sampling on a live engine repeats in distribution only.
    """
    live = run.profile.live
    assert live is not None
    parallel = max(64, live.traces)
    engine = open_vllm(ROOT / live.model, VllmSettings(max_parallel=parallel))
    sampling = SamplingConfig(
        temperature=live.temperature, top_p=live.top_p, max_tokens=live.max_tokens
    )
    runs = [
        LiveRun(q, p, live.traces, sampling, run.profile.seed)
        for q, p in zip(questions, prompts, strict=True)
    ]
    try:
        return run_async(lambda: _play(run, engine, judge, runs))
    finally:
        engine.close()


async def _play(
    run: Run, engine: VllmEngine, judge: Judge, runs: Sequence[LiveRun]
) -> LiveComparison:
    import time

    pruning, cut = run.profile.pruning.config(), run.cuts.online()
    full, pruned, started = [], [], time.monotonic()
    for one in tqdm(runs, desc="live, in full", unit="question"):
        full.append(await vote_live(engine, engine.tokenizer, one))
    middle = time.monotonic()
    for one in tqdm(runs, desc="live, pruned", unit="question"):
        rng = run.rng("live", one.question.question_id)
        pruned.append(
            await prune_live(
                engine, engine.tokenizer, judge, one, truncation=cut, config=pruning, rng=rng
            )
        )
    assert run.profile.live is not None
    return LiveComparison(
        Path(run.profile.live.model).name, tuple(one.question for one in runs), tuple(full),
        tuple(pruned), middle - started, time.monotonic() - middle,
    )  # fmt: skip


def accuracy(run: Run, results: Sequence[LiveResult]) -> Interval:
    """Return the share of questions whose vote is right."""
    right = np.array([r.outcome.right for r in results], dtype=np.float64)
    return bootstrap_mean(right, rng=run.rng("live"), draws=run.profile.bootstrap_draws)


def live_table(run: Run, found: LiveComparison, judge_cost: float) -> Table:
    """Return the live run's tokens, counted by the engine."""
    ledger, traces = found.ledger, sum(len(r.traces) for r in found.pruned)
    whole, spent = _tokens(found.full), _tokens(found.pruned)
    net = 1 - (spent + judge_cost * ledger.judge) / whole
    rows = (
        ("cons@N", count(whole), "–", "–", "–", "–", rate(accuracy(run, found.full)),
         f"{found.seconds_full:.0f}"),
        ("DeepPrune", count(spent), percent(found.saved), percent(net), count(ledger.judge),
         count(ledger.after_abort), rate(accuracy(run, found.pruned)),
         f"{found.seconds_pruned:.0f}"),
    )  # fmt: skip
    n = len(found.questions)
    return Table(
        "live",
        f"One benchmark live on vLLM with real aborts: {found.model}. {run.profile.caption}",
        ("method", "tokens (engine's counter)", "saved gross (%)", "saved net (%)",
         "judge tokens", "after abort", "accuracy (%)", "seconds"),
        rows,
        (f"N: {n} questions of {found.questions[0].benchmark}, {traces // n} traces each. Live "
         "sampling repeats in distribution only. Seconds include the judge, which shares the "
         "cores with the engine here.",),
    )  # fmt: skip
