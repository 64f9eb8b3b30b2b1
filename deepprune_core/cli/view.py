"""What a terminal shows: clusters forming while a question runs, and the account afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deepprune_core.answers import find_answer
from deepprune_core.cli.report import tie_told
from deepprune_core.ledger import TraceState
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.reporting.visible import visible

MARKS = {
    "started": ("·", "dim"), "reached": ("?", "yellow"), "opened": ("●", "bold green"),
    "joined": ("×", "dim red"), "finished": ("■", "bold green"), "failed": ("!", "bold red"),
}  # fmt: skip
SHOWN = 64


class AskView:
    """A question's traces as they stand; rich redraws it. ``told``: what is done with them."""

    def __init__(self, question: str, n: int, told: str) -> None:
        self.question, self.n, self.told = question, n, told
        self.kinds: dict[int, str] = {}
        self.clusters: dict[int, list[int]] = {}
        self.seconds, self.decided = 0.0, False

    def take(self, event: Event) -> None:
        """Take note of an event."""
        self.seconds = event.seconds
        if event.kind == "decided":
            self.decided = True
            return
        self.kinds[event.trace] = event.kind
        if event.kind in ("opened", "joined") and event.cluster is not None:
            self.clusters.setdefault(event.cluster, []).append(event.trace)

    def __rich__(self) -> RenderableType:
        counts = Counter(self.kinds.values())
        head = Text.assemble(
            (f"{self.seconds:6.1f} s  ", "bold"),
            f"{self.n} traces, {self.told}: ",
            (f"{counts['joined']} stopped", "red"), ", ",
            (f"{counts['opened'] + counts['finished']} go on", "green"),
            f" ({counts['finished']} finished)",
            ("  decided" if self.decided else "", "bold"),
        )  # fmt: skip
        return Group(head, self._table(), self._waiting())

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        ranked = sorted(self.clusters.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        for cluster, members in ranked[:SHOWN]:
            marks = Text.assemble(*(MARKS[self.kinds[t]] for t in members))
            table.add_row(f"cluster {cluster + 1}", f"{len(members)}", marks)
        return table

    def _waiting(self) -> Text:
        out = [t for t, kind in sorted(self.kinds.items()) if kind in ("started", "reached")]
        return Text.assemble("running  ", *(MARKS[self.kinds[t]] for t in out))


def summary(result: PrunedAnswer) -> RenderableType:
    """Return the account of a question: votes, clusters, tokens."""
    votes = Table(title="votes", title_justify="left", box=None, pad_edge=False)
    for name in ("answer", "weight", "traces"):
        votes.add_column(name, overflow="fold")
    for ballot in result.ballots:
        votes.add_row(
            Text(visible(ballot.answer)), f"{ballot.weight:g}", ", ".join(map(str, ballot.traces))
        )
    states = Counter(trace.state for trace in result.traces)
    told = ", ".join(f"{states[s]} {s.value}" for s in TraceState if states[s])
    in_clusters = f" in {len(result.clusters)} clusters" if result.clusters else ""
    lines = [
        f"{len(result.traces)} traces{in_clusters}: {told}",
        f"{result.ledger.generated:,} tokens generated, {result.ledger.judge:,} read by the judge, "
        f"{result.seconds:.1f} s ({result.judge_seconds:.1f} s judging)",
    ]
    phrases = sum(
        found is not None and found.how == "phrase"
        for found in (find_answer(trace.text) for trace in result.finished)
    )
    if phrases:
        lines.append(
            f"{phrases} answers were read by a phrase such as 'The answer is', not in a box"
        )
    if tie := tie_told([asdict(ballot) for ballot in result.ballots]):
        lines.append(tie.strip(" ()"))
    if result.finished and result.expected_baseline:
        lines.append(
            f"all traces in full would take about {result.expected_baseline:,.0f} tokens: "
            f"{result.saved():.0%} saved, {result.saved(1.0):.0%} with the judge's tokens counted "
            "in full"
        )
    return Group(votes, Text("\n".join(lines)))
