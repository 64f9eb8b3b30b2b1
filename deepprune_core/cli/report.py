"""`deepprune report`: a page that shows what became of questions that `ask` has saved."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deepprune_core.cli import options as o
from deepprune_core.reporting import DRAWN_DPI
from deepprune_core.reporting.tables import Table, write_table

FINISHED = "finished"


def report(
    results: Annotated[list[Path], typer.Argument(help="files that `deepprune ask --save` wrote")],
    out: Annotated[Path, typer.Option(help="HTML file to write")] = Path("deepprune-report.html"),
) -> None:
    """Write a page with a picture, the votes and the account of every saved question.

    \b
      deepprune ask "How many primes are below 100?" -u http://localhost:8000/v1 --save primes.json
      deepprune report primes.json --out primes.html

    The page needs no server and no network. Exit codes: 0 done, 2 a file that cannot be read.
    """
    from deepprune_core.reporting.report import Section, write_report

    asked = [read_result(path) for path in results]
    sections = tuple(
        Section(f"{i + 1:02d}", one["question"], (f"question{i + 1}",))
        for i, one in enumerate(asked)
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for i, one in enumerate(asked):
            _write_question(one, f"question{i + 1}", folder)
        page = write_report(folder, "DeepPrune: what became of each trace", sections)
        shutil.copyfile(page, out)
    typer.echo(f"{out}: {len(asked)} question{'s' * (len(asked) > 1)}")


def read_result(path: Path) -> dict[str, Any]:
    """Return a saved result as plain data; leave with one line if it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        _ = (found["question"], found["ballots"], found["ledger"]["generated"], found["expected"])
        _ = [(t["state"], t["tokens"], t["cluster"], t["answer"]) for t in found["traces"]]
    except OSError as error:
        o.fail(f"{path}: {error.strerror or error}")
    except (ValueError, KeyError, TypeError):
        o.fail(f"{path}: no result of `deepprune ask`; make one with --save {path}")
    return dict(found)


def _write_question(found: dict[str, Any], name: str, folder: Path) -> None:
    from deepprune_core.reporting.plots import HeroTrace, hero

    lengths = [t["tokens"] for t in found["traces"] if t["state"] == FINISHED]
    usual = round(sum(lengths) / len(lengths)) if lengths else 0
    traces = [
        HeroTrace(
            -1 if t["cluster"] is None else t["cluster"],
            t["state"] == FINISHED,
            t["tokens"],
            t["tokens"] if t["state"] == FINISHED else max(usual, t["tokens"]),
            t["answer"] or "–",
            t["answer"] is not None and t["answer"] == found["answer"],
        )
        for t in found["traces"]
    ]
    if traces:
        title = f"{len(traces)} traces; pale: what a stopped trace would have taken, if as long"
        hero(traces, title, "voted with the winner").savefig(
            folder / f"{name}_traces.png", dpi=DRAWN_DPI
        )
    for table in (_votes(found, name), _account(found, name)):
        write_table(table, folder)


def _votes(found: dict[str, Any], name: str) -> Table:
    rows: Sequence[tuple[str, ...]] = [
        (b["answer"], f"{b['weight']:g}", ", ".join(map(str, b["traces"])))
        for b in found["ballots"]
    ]
    return Table(
        f"{name}_votes",
        f"Votes; the answer is {found['answer'] or 'not known'}{tie_told(found['ballots'])}",
        ("answer", "weight", "traces"), tuple(rows) or (("–", "0", "–"),),
    )  # fmt: skip


def tie_told(ballots: Sequence[dict[str, Any]]) -> str:
    """Return how a tie was broken; nothing if there was none."""
    top = [b for b in ballots if b["weight"] == ballots[0]["weight"]]
    if len(top) < 2:
        return ""
    return f" (a tie of {len(top)}: the answer that came first wins)"


def _account(found: dict[str, Any], name: str) -> Table:
    ledger, expected = found["ledger"], found["expected"]
    states = [t["state"] for t in found["traces"]]
    saved = [expected[name] for name in ("saved_gross", "saved_net")]
    rows = (
        ("traces", ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))),
        ("clusters", f"{len(found['clusters'])}"),
        ("tokens generated", f"{ledger['generated']:,}"),
        ("tokens read by the judge", f"{ledger['judge']:,}"),
        ("all traces in full, about", f"{expected['baseline'] or 0:,}"),
        (
            "saved; with the judge's tokens counted in full",
            "–" if None in saved else f"{saved[0]:.0%}; {saved[1]:.0%}",
        ),
        ("seconds", f"{found['seconds']:.1f}, of which judging {found['judge_seconds']:.1f}"),
    )
    return Table(f"{name}_account", "Account", ("what", "how much"), rows)
