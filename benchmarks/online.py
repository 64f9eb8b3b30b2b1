"""What each way to spend N traces costs on vLLM's own server, by the server's own counter.

    python benchmarks/online.py --questions 10 --traces 32 --stream-interval 8

starts vLLM's OpenAI-compatible server (on a machine without a GPU: its CPU build) with the
miniature's birch, runs every method on the same questions and seeds, and writes
docs/benchmark_online.md. All ratios are within the run. The last lines time the controller
alone: 512 stored traces that stream at once, and a judge that answers at once.

    python benchmarks/online.py --profile replication/profiles/small.yaml --few \\
        --questions 3 --traces 16 --out docs/benchmark_small.md

asks another profile's live model, with the judge of its Table 2 and only the methods that one
chooses between.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.discovery import open_tokenizer
from deepprune_core.engines.named_judges import open_named_judge
from deepprune_core.engines.openai import EndpointSettings, open_openai
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.engines.sync import run_async
from deepprune_core.engines.vllm_server import vllm_server
from deepprune_core.formats.files import write_atomically
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.judging.inputs import Judge, JudgeInput
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.contest import Contest, Method, Played, play, share_finished
from deepprune_core.metrics import bootstrap_mean
from deepprune_core.peers.deepconf import DeepConfConfig
from deepprune_core.reporting.tables import Table
from deepprune_core.traces import Question
from replication.live import live_prompt, live_questions
from replication.readers import embedding_judge
from replication.run import Run
from replication.table2_run import open_online
from replication.workflow.profile import ROOT, load_profile

PLAIN = "cons@N"
MODES: tuple[Literal["online", "pause"], ...] = ("online", "pause")
PAIRS, ONCE = "pair by pair", "each prefix read once"
CONTROLLER_TRACES = 512


def main() -> None:
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--questions", type=int, default=10)
    parser.add_argument("--traces", type=int, default=32)
    parser.add_argument(
        "--stream-interval", type=int, default=8, help="tokens between two events of a stream"
    )
    parser.add_argument("--profile", type=Path, default=ROOT / "replication/profiles/mini.yaml")
    parser.add_argument(
        "--few", action="store_true",
        help="cons@N, DeepPrune, a vote of as many tokens and adaptive consistency; nothing else",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmark_online.md")
    options = parser.parse_args()
    run = Run(load_profile(options.profile), ROOT / "build/benchmark", ROOT / "build/benchmark")
    live, deepconf, rule = run.profile.live, run.profile.deepconf, run.profile.pruning
    if live is None:
        parser.error(f"{options.profile}: expected a section live, got none; name another profile")
    judges = judges_of(run)
    config = OnlineConfig(
        run.cuts.online(),
        rule.config() if options.few
        else rule.config(finish="survivors", vote="cluster_weighted"),
        SamplingConfig(live.temperature, live.top_p, live.top_k, max_tokens=live.max_tokens),
        seed=run.profile.seed,
    )  # fmt: skip
    questions = live_questions(run, run.online, options.questions)
    log = ROOT / "build" / "vllm-server.log"
    log.parent.mkdir(exist_ok=True)
    tokenizer = open_tokenizer(str(ROOT / live.model))
    streams = ("--stream-interval", str(options.stream_interval))
    name = live.model.name
    with vllm_server(ROOT / live.model, name, log, arguments=streams) as url:
        engine = open_openai(EndpointSettings((url,), name), tokenizer)
        contest = Contest(
            engine, tokenizer, config, options.traces, live_prompt(run, tokenizer),
            DeepConfConfig(90, deepconf.warmup, deepconf.window, deepconf.consensus),
        )  # fmt: skip
        at_once, singly = run_async(lambda: play_both(contest, judges, questions, options.few))
        run_async(engine.close)
    speed = at_once[PLAIN].tokens / at_once[PLAIN].seconds
    rows = [method_rows(played, questions) for played in (at_once, singly) if played]
    alone = None if options.few else controller(config, speed, options.stream_interval)
    write(options.out, rows, alone, options)


Fresh = Callable[[], tuple[Judge, float | None]]
"""Makes a judge that has read nothing, with the τ that suits it."""


def judges_of(run: Run) -> dict[str, Fresh]:
    """Return the profile's trained judges; where another reader prunes, that of Table 2."""
    adapter = run.profile.judge.adapter
    if run.profile.judge.prunes != "trained" or adapter is None:
        setup = open_online(run)
        tokenizer, tau = setup.tokenizer, setup.run.profile.pruning.tau
        made = partial(embedding_judge, run, run.cuts.online(), tokenizer)
        return {setup.name: lambda: (made(), tau)}
    folders = {PAIRS: adapter, ONCE: adapter.with_name(adapter.name + "-once")}

    def opened(folder: Path) -> tuple[Judge, float | None]:
        one = open_named_judge(str(ROOT / folder))
        return one.judge, one.tau

    return {name: partial(opened, folder) for name, folder in folders.items()}


async def play_both(
    contest: Contest, judges: dict[str, Fresh], questions: Sequence[Question], few: bool
) -> tuple[dict[str, Played], dict[str, Played]]:
    """Return the results with all questions at once, then of some methods one at a time."""
    await play("warm-up", contest.vote(4), questions[:1], contest.engine)
    pruned: dict[str, Callable[[], Method]] = {
        f"DeepPrune, {reading}, {mode}": partial(pruning, contest, fresh, mode)
        for reading, fresh in judges.items()
        for mode in (MODES[1:] if few else MODES)
    }
    at_once = await play_all(contest, pruned, questions, few)
    if few:
        return at_once, {}
    again = {PLAIN: contest.vote} | {name: made for name, made in pruned.items() if ONCE in name}
    return at_once, {
        name: await play(f"one at a time, {name}", made(), questions, contest.engine)
        for name, made in again.items()
    }


def pruning(contest: Contest, fresh: Fresh, mode: Literal["online", "pause"]) -> Method:
    """Return DeepPrune with a judge of its own, which has read nothing of these questions.

    One pair of other text warms what a first pass through the weights sets up.
    """
    judge, tau = fresh()
    judge.score([JudgeInput("What is this?", "One.", "Two.")])
    return contest.deepprune(judge, mode, tau)


async def play_all(
    contest: Contest,
    pruned: dict[str, Callable[[], Method]],
    questions: Sequence[Question],
    few: bool,
) -> dict[str, Played]:
    """Return every method's results; the later ones take their sizes from the first."""

    async def ask(name: str, method: Method) -> Played:
        return await play(name, method, questions, contest.engine, len(questions))

    found = {PLAIN: await ask(PLAIN, contest.vote())}
    found |= {name: await ask(name, made()) for name, made in pruned.items()}
    best = found[list(pruned)[-1]]  # the last judge, which pauses
    k = min(contest.n, max(1, round(contest.n * best.tokens / found[PLAIN].tokens)))
    chosen: dict[str, Method] = {
        f"cons@{k} (same tokens)": contest.vote(k),
        "adaptive consistency": contest.adaptive(),
    }
    others: dict[str, Method] = (
        {}
        if few
        else {
            "random pruning": contest.random(share_finished(best.results)),
            "early stopping": contest.early_stopping(),
            "DeepConf-high": contest.confidence(90),
            "DeepConf-low": contest.confidence(10),
        }
    )
    asked = (chosen | others).items()
    return found | {name: await ask(name, method) for name, method in asked}


def method_rows(played: dict[str, Played], questions: Sequence[Question]) -> list[tuple[str, ...]]:
    """Return a row a method; shares are of the plain vote in the same run."""
    whole = played[PLAIN]
    rows: list[tuple[str, ...]] = []
    for name, one in played.items():
        right = np.array(
            [r.right(q) for r, q in zip(one.results, questions, strict=True)], dtype=np.float64
        )
        rate = bootstrap_mean(right, rng=np.random.default_rng(0), draws=2000)
        tokens, seconds = 1 - one.tokens / whole.tokens, 1 - one.seconds / whole.seconds
        judging = sum(r.judge_seconds for r in one.results) / one.seconds
        after = one.tokens - one.total("generated")
        saved = (f"{tokens:.0%}", f"{seconds:.0%}", f"{seconds / tokens:.2f}" if tokens else "–")
        rows.append(
            (
                name, f"{one.tokens:,}", f"{after:+,}", f"{one.seconds:.1f}",
                *(("–", "–", "–") if one is whole else saved),
                f"{judging:.0%}" if judging else "–",
                f"{100 * rate.value:.0f} [{100 * rate.low:.0f}, {100 * rate.high:.0f}]",
            )
        )  # fmt: skip
    return rows


class AnswerJudge:
    """Knows where stored traces end, and says so at once."""

    def __init__(self, ends: dict[str, str | None]) -> None:
        self.ends = ends

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return 1 where both traces end alike."""
        return np.array([float(self._end(p.first) == self._end(p.second)) for p in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return ones."""
        return np.ones(len(inputs), np.int64)

    def _end(self, prefix: str) -> str | None:
        return self.ends.get(prefix)


def controller(config: OnlineConfig, tokens_per_second: float, step: int) -> tuple[str, ...]:
    """Return what everything but the models takes, for 512 traces, beside the server's time.

    ``step``: tokens between two events of a stream.
    """
    stored = read_traces(ROOT / "data/miniature/traces/birch.parquet")
    group, question = stored.traces[0], stored.questions[0]
    texts = [trace.text for trace in group] * (CONTROLLER_TRACES // len(group))
    tokenizer = open_tokenizer(str(ROOT / "data/miniature/models/birch"))
    ends = {config.truncation.cut(t.text, tokenizer).text: t.answer for t in group}
    config = replace(config, stop_when_decided=False)

    def seconds(played: bool) -> tuple[float, int]:
        engine = ReplayEngine({question.text: texts}, tokenizer, step=step)
        contest = Contest(engine, tokenizer, config, len(texts))
        method = contest.deepprune(AnswerJudge(ends), "online")
        started = time.perf_counter()
        if played:
            run_async(lambda: method(question))
        else:
            run_async(lambda: _drain(engine, question, len(texts), config))
        return time.perf_counter() - started, engine.generated_tokens()

    own, tokens = seconds(True)
    streaming, all_tokens = seconds(False)
    # What the replay itself takes for as many tokens is the engine's time, not the controller's.
    own -= streaming * tokens / all_tokens
    live = tokens / tokens_per_second
    return (
        f"{len(texts)}", f"{tokens:,}", f"{own:.2f}", f"{live:.1f}", f"{own / live:.1%}",
    )  # fmt: skip


async def _drain(engine: ReplayEngine, question: Question, n: int, config: OnlineConfig) -> None:
    import asyncio

    from deepprune_core.engines.base import Request

    async def one(i: int) -> None:
        async for _ in engine.stream(Request(str(i), question.text, i), config.sampling):
            pass

    await asyncio.gather(*(one(i) for i in range(n)))


def write(
    out: Path,
    rows: list[list[tuple[str, ...]]],
    alone: tuple[str, ...] | None,
    options: argparse.Namespace,
) -> None:
    """Write the tables, with the command that made them."""
    columns = (
        "method", "tokens, server's counter", "beyond ours", "seconds", "tokens saved",
        "seconds saved", "seconds / tokens", "judge's share of seconds", "accuracy (%)",
    )  # fmt: skip
    methods = Table(
        "online", "Methods on vLLM's server, all questions at once", columns, tuple(rows[0]),
        (f"N: {options.questions} questions, {options.traces} traces each; intervals from "
         "resampling questions.",
         "'beyond ours': what the server counted and the tool did not receive. 'seconds / tokens': "
         "share of the token saving that is also saved in time."),
    )  # fmt: skip
    told = [methods]
    if alone is not None:
        told.append(Table(
            "singly", "The same, one question at a time", columns, tuple(rows[1]),
            ("The engine is not full then: a question takes as long as its longest trace.",),
        ))  # fmt: skip
        told.append(Table(
            "controller", "The controller alone",
            ("traces", "tokens", "controller seconds", "seconds at the server's speed", "share"),
            (alone,),
            ("Stored traces that stream at once, a judge that answers at once; the replay's own "
             "time is taken off. The server's speed is that of the plain vote above, all questions "
             "at once.",),
        ))  # fmt: skip
    command = (
        f"python benchmarks/online.py --questions {options.questions} --traces {options.traces} "
        f"--stream-interval {options.stream_interval}"
    )
    if options.few:
        place = options.profile.resolve().relative_to(ROOT)
        command += f" --few --profile {place} --out {options.out}"
    tables = "\n".join(one.to_markdown() for one in told)
    text = f"Written by `{command}`.\n\n{tables}"
    write_atomically(out, text)
    print(text)


if __name__ == "__main__":
    main()
