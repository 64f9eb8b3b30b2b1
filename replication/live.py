"""The live run of notebook 05: the same questions pruned and voted in full on one engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.engines.base import Engine, SamplingConfig
from deepprune_core.engines.sync import run_async
from deepprune_core.engines.vllm import VllmSettings, open_vllm
from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.loading import saved_tau
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.contest import Contest, Method, Played, play
from deepprune_core.live.result import PrunedAnswer
from deepprune_core.metrics import Interval, bootstrap_mean
from deepprune_core.reporting.tables import Table
from deepprune_core.traces import Question
from replication.encode_once import has_once, once_cost, once_folder, open_once
from replication.miniature.tokenizer import prompt_text
from replication.own_states import asked_as_sampled
from replication.run import GradedTraces, Run
from replication.text import NOTHING, count, percent, rate
from replication.workflow.profile import ROOT

FULL, PAUSED, ONLINE = "cons@N", "DeepPrune, pause", "DeepPrune, online"
ONCE = f"{ONLINE}, each prefix read once"


@dataclass(frozen=True)
class LiveComparison:
    """Each question under each method, by the same engine."""

    model: str
    questions: tuple[Question, ...]
    num_traces: int
    methods: dict[str, Played]


def live_questions(run: Run, traces: Sequence[GradedTraces], count: int) -> tuple[Question, ...]:
    """Return ``count`` of the live benchmark's questions, of all its kinds, from stored traces."""
    live = run.profile.live
    assert live is not None
    mine = next(one for one in traces if one.model == live.model.name)
    there = mine.traces.only(live.benchmark).questions
    return there[:: max(1, len(there) // count)][:count]


def play_live(run: Run, questions: Sequence[Question], judge: Judge) -> LiveComparison:
    """Return the comparison; starts vLLM, samples every question, and shuts it down.

    The judge that reads each prefix once takes part where the profile has it. Sampling on a live
    engine repeats in distribution only.
    """
    live = run.profile.live
    assert live is not None
    parallel = max(64, live.traces)
    engine = open_vllm(ROOT / live.model, VllmSettings(max_parallel=parallel))
    sampling = SamplingConfig(live.temperature, live.top_p, live.top_k, max_tokens=live.max_tokens)
    config = OnlineConfig(
        run.cuts.online(), run.profile.pruning.config(), sampling,
        stop_when_decided=False, seed=run.profile.seed,
    )  # fmt: skip
    try:
        asked = live_prompt(run, engine.tokenizer)
        contest = Contest(engine, engine.tokenizer, config, live.traces, asked)
        methods = {FULL: contest.vote()}
        if "pause" in live.ways:
            methods[PAUSED] = contest.deepprune(judge, "pause")
        if "online" in live.ways:
            methods[ONLINE] = contest.deepprune(judge, "online")
        if "once" in live.ways and has_once(run):
            tau = saved_tau(once_folder(run))
            methods[ONCE] = contest.deepprune(open_once(run), "online", tau)
        played = run_async(lambda: _play_all(methods, questions, engine, parallel // live.traces))
    finally:
        engine.close()
    return LiveComparison(Path(live.model).name, tuple(questions), live.traces, played)


def live_prompt(run: Run, tokenizer: Any) -> Callable[[str], str]:
    """Return how the live model is asked: as its stored traces were, or as the miniature is."""
    live, plan = run.profile.live, run.profile.collect
    assert live is not None
    name = Path(live.model).name
    if plan is None or name not in plan.reasoners:
        return prompt_text
    return asked_as_sampled(plan, name, tokenizer)


async def _play_all(
    methods: dict[str, Method], questions: Sequence[Question], engine: Engine, at_once: int
) -> dict[str, Played]:
    return {
        name: await play(f"live, {name}", one, questions, engine, at_once)
        for name, one in methods.items()
    }


def accuracy(run: Run, questions: Sequence[Question], results: Sequence[PrunedAnswer]) -> Interval:
    """Return the share of questions whose vote is right."""
    pairs = zip(questions, results, strict=True)
    right = np.array([result.right(question) for question, result in pairs], dtype=np.float64)
    return bootstrap_mean(right, rng=run.rng("live"), draws=run.profile.bootstrap_draws)


def live_table(run: Run, found: LiveComparison, judge_cost: float) -> Table:
    """Return the live run's tokens, counted by the engine; ``judge_cost``: of Table 2's judge."""
    whole, rows = found.methods[FULL].tokens, []
    for name, played in found.methods.items():
        price = once_cost(run) if name == ONCE else judge_cost
        pruned, judge = name != FULL, played.total("judge")
        after = played.tokens - played.total("generated")
        rows.append(
            (
                name, count(played.tokens),
                percent(1 - played.tokens / whole) if pruned else NOTHING,
                percent(1 - (played.tokens + price * judge) / whole) if pruned else NOTHING,
                count(judge) if pruned else NOTHING, count(after) if pruned else NOTHING,
                rate(accuracy(run, found.questions, played.results)), f"{played.seconds:.0f}",
            )
        )  # fmt: skip
    n = len(found.questions)
    return Table(
        "live",
        f"One benchmark live on vLLM with real aborts: {found.model}. {run.profile.caption}",
        ("method", "tokens (engine's counter)", "saved gross (%)", "saved net (%)",
         "judge tokens", "after abort", "accuracy (%)", "seconds"),
        tuple(rows),
        (f"N: {n} questions of {found.questions[0].benchmark}, {found.num_traces} traces each. "
         "Questions are asked side by side as far as the engine has room. "
         "Live sampling repeats in distribution only. Seconds include the judge, which shares "
         "the cores with the engine here.",
         "'pause' stops a trace at its truncation point until it is judged; 'online' lets it run "
         "on meanwhile."),
    )  # fmt: skip
