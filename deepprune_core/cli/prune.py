"""`deepprune prune`: what pruning would have saved on a file of stored traces."""

from __future__ import annotations

import json
import math
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
from deepprune_core.live.stored import ADAPTIVE, Outcomes, compare_on_stored
from deepprune_core.metrics import Interval, bootstrap_mean
from deepprune_core.reporting.visible import visible
from deepprune_core.traces import TraceSet
from deepprune_core.truncation import Tokenizer, Truncation

RULES = ("weighted", "survivors", "largest")
WORDS = Truncation("reasoning_words", 25)  # the paper's
SHARE = 4  # a cut in tokens is this part of the median trace
FREE = ("same_text", "numbers")  # judges without a model
Range = Annotated[int, typer.Option(min=1, help="orders of arrival to average over")]


def prune(
    traces: Annotated[Path, typer.Argument(help="a trace file: our own format or another tool's")],
    judge: o.JudgeName = "embedding",
    judge_base: o.JudgeBase = None,
    judge_cost: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="price of a token that the judge reads, in generated tokens: its parameters over "
            "the model's (default: 0 for same_text and numbers, which have no model, else 1)",
        ),
    ] = None,
    cut: Annotated[
        str | None,
        typer.Option(
            help="where a trace is judged: '25 words' (reasoning words) or '500 tokens' (default: "
            "25 words where half of the traces have more, else a quarter of the median trace)"
        ),
    ] = None,
    tau: o.Tau = None,
    clusters: o.Clusters = 32,
    paper: o.Paper = False,
    representatives: o.Representatives = None,
    k: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="K2, K3: traces that finish under 'largest' (default: a quarter, 20 at most)",
        ),
    ] = None,
    orders: Range = 5,
    tokenizer: o.TokenizerName = None,
    seed: int = 0,
    as_json: o.Json = False,
) -> None:
    """Replay pruning on stored traces: what each way to vote costs, and whether it is worth it.

    \b
      deepprune prune traces.jsonl --judge same_text
      deepprune prune samples_gsm8k.jsonl --judge ./judge --cut "500 tokens" --json

    Beside the ways to prune stand adaptive consistency, and for each way a plain vote of random
    traces that costs as much. It reads our JSONL and Parquet, lm-evaluation-harness samples,
    inspect-ai logs, OpenAI batch output, lists of code and records with a response; it says what
    it read and left out. A dash stands where no answer, or no right one, is known. Exit codes: 0
    done, 2 wrong options or a file that cannot be read.
    """
    asked = None if cut is None else o.parse_cut(cut)
    with told_in_one_line():
        if traces.is_dir():
            raise IsADirectoryError(f"{traces}: a folder; name one trace file in it")
        found, report = read_with_report(traces)
        words = open_tokenizer(tokenizer)
        reader, threshold = open_judge(judge, judge_base, tau, quiet=as_json)
    line = visible(f"read {report.line(traces, found)}")
    o.err.print(line, markup=False, highlight=False, soft_wrap=True)
    most = max((len(group) for group in found.traces), default=1)
    finishers = k or min(20, math.ceil(most / SHARE))
    truncation, about = chosen_cut(found, asked, words)
    o.err.print(about, markup=False, highlight=False, soft_wrap=True)
    price = judge_cost if judge_cost is not None else 0.0 if judge in FREE else 1.0
    rules = {
        name: o.parse_rule(name, clusters, representatives, finishers, paper=paper).with_tau(
            threshold
        )
        for name in RULES
    }
    outcomes = compare_on_stored(
        found, grade_all(found), reader, truncation, words, rules,
        orders=orders, rng=np.random.default_rng(seed), judge_cost=price,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in outcomes], indent=1))
        return
    console = Console()
    console.print(_table(outcomes))
    console.print(
        f"{len(outcomes[0].whole)} questions, {found.num_traces} traces; means over {orders} "
        "orders of arrival; 95 % intervals from resampling questions. Saved: without, and net of, "
        f"the judge's tokens, each {price:g} of a generated one (--judge-cost). 'plain, …': a vote "
        f"of random traces with the same net tokens. Under 'largest' {finishers} traces finish.",
        markup=False, highlight=False,
    )  # fmt: skip
    console.print(worth(outcomes), markup=False, highlight=False, style="bold")


def chosen_cut(
    traces: TraceSet, asked: Truncation | None, tokenizer: Tokenizer
) -> tuple[Truncation, str]:
    """Return where to cut, and a line that says why, or what is wrong with what was asked."""
    texts = [trace.text for group in traces.traces for trace in group]
    wanted = asked or WORDS
    longer = sum(wanted.cut(text, tokenizer).fraction < 1 for text in texts)
    reach = f"{longer} of {len(texts)} traces are longer than {wanted.label}"
    if 2 * longer >= len(texts):
        return wanted, f"cut: {wanted.label}; {reach}"
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    tokens = Truncation("tokens", max(1, int(np.median(lengths)) // SHARE if lengths else 1))
    if asked is None:
        return tokens, f"cut: {tokens.label}, a quarter of the median trace; only {reach}"
    return wanted, (
        f"cut: {wanted.label}; note: only {reach}, so most are judged when they have ended; a "
        f"quarter of the median trace is --cut '{tokens.label}'"
    )


def worth(outcomes: list[Outcomes]) -> str:
    """Return whether the best way to prune is worth it, by paired differences over questions.

    The best is the one with the highest share of right votes, or of votes with the answer of all
    traces where no right answer is known; it is picked on these very questions.
    """
    by_name = {one.method: one for one in outcomes}
    known = [by_name[name] for name in RULES if by_name[name].agreement is not None]
    if not known:
        return "No trace has an answer, so nothing can be said about the vote."
    graded = known[0].accuracy is not None
    what = "accuracy" if graded else "agreement with all traces"

    def values(one: Outcomes) -> np.ndarray:
        return one.right if graded else one.agrees

    best = max(known, key=lambda one: float(np.nanmean(values(one))))
    control, peer = by_name[f"plain, cost of {best.method}"], by_name[ADAPTIVE]
    gain = bootstrap_mean(values(best) - values(control), rng=np.random.default_rng(0))
    if best.saved_net <= 0:
        verdict = "pruning is not worth it: with the judge counted it costs more than it saves"
    elif gain.low > 0:
        verdict = "pruning is worth it: it beats a plain vote that costs as much"
    elif gain.high < 0:
        verdict = "pruning is not worth it: a plain vote that costs as much does better"
    else:
        verdict = "pruning is no better than a plain vote that costs as much"
    return (
        f"On these traces {verdict}. '{best.method}' saves {best.saved_net:.0%} net; its {what} "
        f"minus that plain vote's: {100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f}). {ADAPTIVE.capitalize()}, which only counts answers, saves "
        f"{peer.saved:.0%}; its {what} minus that of '{best.method}': "
        f"{100 * float(np.nanmean(values(peer) - values(best))):+.1f} points."
    )


def _share(share: Interval | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share.value:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _table(outcomes: list[Outcomes]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("method")
    for name in ("tokens", "saved, net %", "as all vote %", "right %"):
        table.add_column(name, justify="right")
    for one in outcomes:
        table.add_row(
            one.method, f"{one.tokens:,.0f}", f"{100 * one.saved:.0f}, {100 * one.saved_net:.0f}",
            _share(one.agreement), _share(one.accuracy),
        )  # fmt: skip
    return table
