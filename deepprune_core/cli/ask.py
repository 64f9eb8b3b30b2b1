"""`deepprune ask`: one question, N traces, a live view of the clusters, the answer."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from deepprune_core.cli import options as o
from deepprune_core.cli.opening import open_endpoint, open_reader, told_in_one_line
from deepprune_core.cli.view import AskView, summary
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.openai import OpenAIEngine
from deepprune_core.formats.files import write_atomically
from deepprune_core.live.asking import Asker
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.deepprune import open_asker
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.reporting.visible import visible


def ask(
    question: Annotated[str, typer.Argument(help="the question; - reads it from standard input")],
    url: o.Url = None,
    n: o.N = 16,
    cut: o.Cut = "25 words",
    judge: o.JudgeName = "embedding",
    judge_base: o.JudgeBase = None,
    tau: o.Tau = None,
    paper: o.Paper = False,
    rule: o.Rule = None,
    clusters: o.Clusters = 32,
    representatives: o.Representatives = None,
    k: o.Finishers = 20,
    mode: Annotated[
        str, typer.Option(help="online: a trace goes on while it is judged; pause: it waits")
    ] = "online",
    model: o.Model = None,
    tokenizer: o.TokenizerName = None,
    completion: o.Completion = False,
    system: o.System = o.SYSTEM,
    without: o.Without = None,
    temperature: o.Temperature = 0.6,
    top_p: o.TopP = 0.95,
    max_tokens: o.MaxTokens = 4096,
    seed: Annotated[int, typer.Option(help="splits by question and trace")] = 0,
    save: Annotated[
        Path | None, typer.Option(help="also write the result to this JSON file")
    ] = None,
    key: o.KeyName = "OPENAI_API_KEY",
    as_json: o.Json = False,
) -> None:
    """Ask a server one question N times and stop the traces that would agree anyway.

    \b
      vllm serve Qwen/Qwen3-4B &
      deepprune ask "How many primes are below 100?" -u http://localhost:8000/v1 -n 32
      deepprune ask - --judge ./judge --cut "500 tokens" --json < question.txt
      deepprune ask "How many primes are below 100?" --rule adaptive

    Exit codes: 0 answered, 1 no trace gave an answer, 2 wrong options, 3 the server failed,
    4 some traces failed but the rest answered.
    """
    urls = o.require_url(url)
    if mode not in ("online", "pause"):
        o.fail(f"--mode {mode!r}: expected online or pause")
    text = sys.stdin.read().strip() if question == "-" else question
    if not text:
        o.fail("the question is empty")
    truncation, pruning = o.parse_cut(cut), None
    if rule != o.ADAPTIVE_RULE:
        pruning = o.parse_rule(rule, clusters, representatives, k, paper=paper)
    with told_in_one_line():
        there = open_endpoint(
            urls, model, tokenizer, key, chat=not completion, system=system, without=without
        )
        config = OnlineConfig(
            truncation, sampling=SamplingConfig(temperature, top_p, max_tokens=max_tokens),
            mode=mode, seed=seed,  # type: ignore[arg-type]
        )  # fmt: skip
        reader, config = open_reader(config, pruning, judge, judge_base, tau, quiet=as_json)
        asked = open_asker(there.engine, reader, config)
    if not as_json and not there.own_tokens:
        o.err.print("note: no tokenizer at hand, so tokens are words", style="yellow")
    result = asyncio.run(_watched(there.engine, asked, text, n, quiet=as_json))
    _report(result, save, as_json)


async def _watched(
    engine: OpenAIEngine, asked: Asker, question: str, n: int, *, quiet: bool
) -> PrunedAnswer:
    view, result = AskView(question, n, asked.way), None
    live = Live(view, console=o.err, refresh_per_second=8, transient=True, auto_refresh=not quiet)
    try:
        with live:
            async for event in asked.stream(question, n):
                if isinstance(event, Event):
                    view.take(event)
                else:
                    result = event
    finally:
        await engine.close()
    assert result is not None
    return replace(result, seconds=round(result.seconds, 3))


def _report(result: PrunedAnswer, save: Path | None, as_json: bool) -> None:
    """Print and save the result; leave with the code that tells how it went."""
    if save is not None:
        write_atomically(save, result.to_json() + "\n")
    if as_json:
        typer.echo(result.to_json())
    else:
        o.err.print(summary(result))
        typer.echo(visible(result.answer or ""))
    failed, whole = len(result.failures), len(result.traces)
    if failed:
        where = f"; the partial result is in {save}" if save else "; --save FILE would keep them"
        reason = result.failures[0].detail
        code = o.PARTIAL if result.answer is not None else o.ENGINE_FAULT
        o.fail(f"{failed} of {whole} traces failed ({reason}){where}", code)
    if result.answer is None:
        raise typer.Exit(1)
