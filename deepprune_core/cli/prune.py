"""`deepprune prune`: what pruning would have saved on a file of stored traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from deepprune_core.answers import grade_all
from deepprune_core.cli import options as o
from deepprune_core.cli.opening import open_judge, told_in_one_line
from deepprune_core.engines.discovery import open_tokenizer
from deepprune_core.formats.trace_files import read_with_report
from deepprune_core.live.stored import MethodTotals, compare_on_stored
from deepprune_core.reporting.visible import visible


def prune(
    traces: Annotated[Path, typer.Argument(help="a trace file: our own format or another tool's")],
    judge: o.JudgeName = "embedding",
    judge_base: o.JudgeBase = None,
    cut: o.Cut = "25 words",
    tau: o.Tau = None,
    clusters: o.Clusters = 32,
    representatives: o.Representatives = 1,
    k: o.Finishers = 20,
    orders: Annotated[int, typer.Option(min=1, help="orders of arrival to average over")] = 5,
    tokenizer: o.TokenizerName = None,
    seed: int = 0,
    as_json: o.Json = False,
) -> None:
    """Replay pruning on stored traces and print what each way to vote costs and gets right.

    \b
      deepprune prune traces.jsonl --judge same_text
      deepprune prune samples_gsm8k.jsonl --judge ./judge --cut "500 tokens" --json

    It reads our JSONL and Parquet, lm-evaluation-harness samples, inspect-ai logs, OpenAI batch
    output, lists of code and records with a response; it says what it read and left out. A dash
    stands where no answer, or no right one, is known. Exit codes: 0 done, 2 wrong options or a
    file that cannot be read.
    """
    truncation = o.parse_cut(cut)
    rules = {
        name: o.parse_rule(name, clusters, representatives, k)
        for name in ("weighted", "survivors", "largest")
    }
    with told_in_one_line():
        found, report = read_with_report(traces)
        words = open_tokenizer(tokenizer)
        reader, threshold = open_judge(judge, judge_base, tau, quiet=as_json)
    line = visible(f"read {report.line(traces, found)}")
    o.err.print(line, markup=False, highlight=False, soft_wrap=True)
    ruled = {name: rule.with_tau(threshold) for name, rule in rules.items()}
    graded = grade_all(found)
    totals = compare_on_stored(
        found, graded, reader, truncation, words, ruled,
        orders=orders, rng=np.random.default_rng(seed),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps([t.to_dict() for t in totals], indent=1))
    else:
        Console().print(_table(totals))


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _table(totals: list[MethodTotals]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("method")
    for name in ("tokens", "saved", "saved net of judge", "same answer as all", "right"):
        table.add_column(name, justify="right")
    for t in totals:
        table.add_row(
            t.method, f"{t.generated:,.0f}", f"{t.saved:.1%}", f"{t.saved_net:.1%}",
            _share(t.agrees), _share(t.right),
        )  # fmt: skip
    return table
