"""What each way to spend N traces costs on vLLM's own server, by the server's own counter.

    python benchmarks/online.py --questions 10 --traces 32 --stream-interval 8

starts vLLM's OpenAI-compatible server (on a machine without a GPU: its CPU build) with the
miniature's birch, runs every method on the same questions and seeds, and writes
docs/benchmark_online.md. All ratios are within the run. The last lines time the controller
alone: 512 stored traces that stream at once, and a judge that answers at once.
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
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.contest import Contest, Method, Played, play, share_finished
from deepprune_core.metrics import bootstrap_mean
from deepprune_core.peers.deepconf import DeepConfConfig
from deepprune_core.reporting.tables import Table
from deepprune_core.traces import Question
from deepprune_core.truncation import Truncation
from replication.miniature.benchmarks import questions_of
from replication.miniature.tokenizer import prompt_text
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
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmark_online.md")
    options = parser.parse_args()
    profile = load_profile(options.profile)
    assert profile.judge.adapter and profile.live
    adapter = ROOT / profile.judge.adapter
    folders = {PAIRS: adapter, ONCE: adapter.with_name(adapter.name + "-once")}
    live, deepconf = profile.live, profile.deepconf
    config = OnlineConfig(
        Truncation("reasoning_words", profile.cuts.words),
        profile.pruning.config(finish="survivors", vote="cluster_weighted"),
        SamplingConfig(live.temperature, live.top_p, max_tokens=live.max_tokens),
        seed=profile.seed,
    )
    questions = questions_of((live.benchmark,))[: options.questions]
    log = ROOT / "build" / "vllm-server.log"
    log.parent.mkdir(exist_ok=True)
    tokenizer = open_tokenizer(str(ROOT / live.model))
    streams = ("--stream-interval", str(options.stream_interval))
    with vllm_server(ROOT / live.model, "birch", log, arguments=streams) as url:
        engine = open_openai(EndpointSettings((url,), "birch"), tokenizer)
        contest = Contest(
            engine, tokenizer, config, options.traces, prompt_text,
            DeepConfConfig(90, deepconf.warmup, deepconf.window, deepconf.consensus),
        )  # fmt: skip
        at_once, singly = run_async(lambda: play_both(contest, folders, questions))
        run_async(engine.close)
    speed = at_once[PLAIN].tokens / at_once[PLAIN].seconds
    rows = [method_rows(played, questions) for played in (at_once, singly)]
    alone = controller(config, speed, options.stream_interval)
    write(options.out, rows, alone, options)


async def play_both(
    contest: Contest, folders: dict[str, Path], questions: Sequence[Question]
) -> tuple[dict[str, Played], dict[str, Played]]:
    """Return the results with all questions at once, then of a few methods one at a time."""
    await play("warm-up", contest.vote(4), questions[:1], contest.engine)
    pruned: dict[str, Callable[[], Method]] = {
        f"DeepPrune, {reading}, {mode}": partial(pruning, contest, folder, mode)
        for reading, folder in folders.items()
        for mode in MODES
    }
    at_once = await play_all(contest, pruned, questions)
    few = {PLAIN: contest.vote} | {name: made for name, made in pruned.items() if ONCE in name}
    return at_once, {
        name: await play(f"one at a time, {name}", made(), questions, contest.engine)
        for name, made in few.items()
    }


def pruning(contest: Contest, folder: Path, mode: Literal["online", "pause"]) -> Method:
    """Return DeepPrune with a judge of its own, which has read nothing of these questions.

    One pair of other text warms what a first pass through the weights sets up.
    """
    one = open_named_judge(str(folder))
    one.judge.score([JudgeInput("What is this?", "One.", "Two.")])
    return contest.deepprune(one.judge, mode, one.tau)


async def play_all(
    contest: Contest, pruned: dict[str, Callable[[], Method]], questions: Sequence[Question]
) -> dict[str, Played]:
    """Return every method's results; the later ones take their sizes from the first."""

    async def ask(name: str, method: Method) -> Played:
        return await play(name, method, questions, contest.engine, len(questions))

    found = {PLAIN: await ask(PLAIN, contest.vote())}
    found |= {name: await ask(name, made()) for name, made in pruned.items()}
    best = found[f"DeepPrune, {ONCE}, pause"]
    k = max(1, round(contest.n * best.tokens / found[PLAIN].tokens))
    others: dict[str, Method] = {
        f"cons@{k} (same tokens)": contest.vote(k),
        "random pruning": contest.random(share_finished(best.results)),
        "adaptive consistency": contest.adaptive(),
        "early stopping": contest.early_stopping(),
        "DeepConf-high": contest.confidence(90),
        "DeepConf-low": contest.confidence(10),
    }
    return found | {name: await ask(name, method) for name, method in others.items()}


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
    alone: tuple[str, ...],
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
    singly = Table(
        "singly", "The same, one question at a time", columns, tuple(rows[1]),
        ("The engine is not full then: a question takes as long as its longest trace.",),
    )  # fmt: skip
    table = Table(
        "controller", "The controller alone",
        ("traces", "tokens", "controller seconds", "seconds at the server's speed", "share"),
        (alone,),
        ("Stored traces that stream at once, a judge that answers at once; the replay's own time "
         "is taken off. The server's speed is that of the plain vote above, all questions at "
         "once.",),
    )  # fmt: skip
    command = (
        f"python benchmarks/online.py --questions {options.questions} --traces {options.traces} "
        f"--stream-interval {options.stream_interval}"
    )
    tables = "\n".join(one.to_markdown() for one in (methods, singly, table))
    text = f"Written by `{command}`.\n\n{tables}"
    write_atomically(out, text)
    print(text)


if __name__ == "__main__":
    main()
