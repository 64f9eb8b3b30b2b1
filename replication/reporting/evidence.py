"""What a run's tables say on the paper's claims; see :mod:`replication.reporting.findings`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deepprune_core.metrics import Interval
from deepprune_core.reporting.tables import Estimate, read_cells

Row = dict[str, str]
CONFIRMED, REFUTED, OPEN = "holds here", "fails here", "not decidable"
# Names that tables carry and verdicts look for.
CEILING, RESERVED = "ceiling: the reasoner's own rollouts", "†"
WEAK = 0.7  # an AUROC below this is "little better than chance", as the paper says of 0.66


@dataclass(frozen=True)
class Evidence:
    """What a run says on a claim: our number as shown, the verdict, and what they rest on.

    ``cells``: the numbers in ``ours``, all of one ``unit``, where they can be put in short.
    """

    ours: str
    verdict: str
    table: str
    num: str = ""
    cells: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class RunTables:
    """The tables of one run, as rows of cells; ``called``: where its folder has another name."""

    folder: Path
    called: str = ""

    @property
    def name(self) -> str:
        return self.called or self.folder.name

    @property
    def is_made_up(self) -> bool:
        """Whether the run's traces come from a world of our own."""
        return self.name in ("mini", "ci")

    def rows(self, table: str) -> list[Row]:
        """Return a table's rows by column; none where the run has no such table."""
        path = self.folder / f"{table}.csv"
        if not path.is_file():
            return []
        columns, rows = read_cells(path)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def num(self, table: str) -> str:
        """Return what a table's first ``N:`` note says, up to its first full stop."""
        path = self.folder / f"{table}.md"
        found = re.search(r"^N: ([^.;\n]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        return found[1] if found else ""

    @cached_property
    def judged(self) -> dict[tuple[str, str], Row]:
        """Table 1's rows by (kind of cut, training): ``("tokens", "plain")``."""
        rows = [r for r in self.rows("table1") if re.match(r"\d", r["truncation"])]
        return {(r["truncation"].split()[-1], r["training"]): r for r in rows}


def interval(cell: str) -> Interval:
    """Return a cell's interval.

    Raises:
        ValueError: the cell holds none.
    """
    if not isinstance(cell, Estimate):
        raise ValueError(f"expected a number with its interval, got {cell!r}")
    value, low, high = map(float, cell.parts)
    return Interval(value, low, high, num_questions=0)


def above(found: Interval, bound: float) -> str:
    """Return the verdict on "more than ``bound``"."""
    return CONFIRMED if found.low > bound else REFUTED if found.high < bound else OPEN


def unlike(first: Interval, second: Interval) -> str:
    """Return the verdict on "the first is higher", where no paired difference is at hand.

    Intervals that do not overlap decide; others decide nothing, which is more careful than a
    paired difference would be.
    """
    if first.low > second.high:
        return CONFIRMED
    return REFUTED if first.high < second.low else OPEN


def redundant(run: RunTables) -> list[Evidence]:
    """Over 80 % of pairs agree: every reasoner of Figure 2a."""
    rows = [r for r in run.rows("redundancy") if r["source"] == "ours" and r["benchmark"] == "all"]
    rows = rows or [r for r in run.rows("redundancy") if r["source"] == "ours"]
    return [
        Evidence(
            f"{r['reasoner']}: {r['same answer, pairs']} %",
            OPEN if RESERVED in r["reasoner"] else above(interval(r["same answer, pairs"]), 80),
            "redundancy", r["N"], (r["same answer, pairs"],), " %",
        )
        for r in rows
    ]  # fmt: skip


def untrained(name: str) -> Callable[[RunTables], list[Evidence]]:
    """Return the check that a judge without training is weak where another reader is not.

    Where no reader at all is better than weak, a weak one shows nothing about itself.
    """

    def check(run: RunTables) -> list[Evidence]:
        rows = [r for r in run.rows("similarity") if r["judge"].startswith(name)]
        asked = {CONFIRMED: REFUTED, REFUTED: CONFIRMED, OPEN: OPEN}
        verdicts = asked if can_be_told(run) else asked | {REFUTED: OPEN}
        return [
            Evidence(r["AUROC ours"], verdicts[above(interval(r["AUROC ours"]), WEAK)],
                     "similarity", run.num("similarity"), (r["AUROC ours"],))
            for r in rows
        ]  # fmt: skip

    return check


def can_be_told(run: RunTables) -> bool:
    """Return whether a trained judge or the ceiling shows that the pairs can be told apart."""
    skills = [row["AUROC ours"] for row in run.judged.values()]
    skills += [row["AUROC pooled"] for row in run.rows("known") if row["reader"] == CEILING]
    return any(above(interval(skill), WEAK) == CONFIRMED for skill in skills)


def _table1(run: RunTables, ours: str, verdict: str) -> list[Evidence]:
    return [Evidence(ours, verdict, "table1", run.num("table1"), (ours,))]


def best(run: RunTables) -> Row | None:
    """Return Table 1's best row."""
    return max(run.judged.values(), key=lambda r: interval(r["AUROC ours"]).value, default=None)


def differs(*, ends: str) -> Callable[[RunTables], list[Evidence]]:
    """Return the check of those paired differences of Table 1 whose name ends so."""

    def check(run: RunTables) -> list[Evidence]:
        return [
            Evidence(
                f"{row['comparison']}: {row['difference in AUROC']}",
                above(interval(row["difference in AUROC"]), 0)
                if row["differs (Holm, 5 %)"] == "yes" else OPEN,
                "table1_paired", run.num("table1_paired"),
            )
            for row in run.rows("table1_paired") if row["comparison"].endswith(ends)
        ]  # fmt: skip

    return check


def reaches(bound: float) -> Callable[[RunTables], list[Evidence]]:
    """Return the check that the best judge reaches an AUROC."""

    def check(run: RunTables) -> list[Evidence]:
        row = best(run)
        if row is None:
            return []
        return _table1(run, row["AUROC ours"], above(interval(row["AUROC ours"]), bound))

    return check


def within(run: RunTables) -> list[Evidence]:
    """The judge also tells the pairs of one question apart."""
    row = best(run)
    if row is None:
        return []
    return _table1(run, row["within question"], above(interval(row["within question"]), 0.5))


def knowing(run: RunTables) -> list[Evidence]:
    """A judge that knows the test questions is better: where it was asked, all else equal."""
    crossed = [
        row for row in run.rows("leak_crossed")
        if (row["reasoner"], row["questions"]) == ("unseen", "seen − unseen")
    ]  # fmt: skip
    if crossed:
        (row,) = crossed
        seeds = [float(value) for value in row["AUROC by seed"].split(", ")]
        agree = min(seeds) > 0 or max(seeds) < 0  # the interval does not hold a training's luck
        verdict = above(interval(row["AUROC"]), 0) if agree else OPEN
        told = f"all else equal: {row['AUROC']}; by seed {row['AUROC by seed']}"
        return [Evidence(told, verdict, "leak_crossed", run.num("leak_crossed"))]
    rows = run.rows("leakage")
    if not rows:
        return []
    clean, leaky = rows[0]["AUROC ours"], rows[1]["AUROC ours"]
    verdict = unlike(interval(leaky), interval(clean))
    return [Evidence(f"{leaky} against {clean}", verdict, "leakage", run.num("leakage"))]


def saved(run: RunTables) -> list[Evidence]:
    """Over 80 % of tokens are saved, on every reasoner and benchmark."""
    shares = [
        interval(r["% of cons@N, gross"])
        for r in run.rows("table2") if r["method"] == "DeepPrune"
    ]  # fmt: skip
    if not shares:
        return []
    low, high = (f(100 - s.value for s in shares) for f in (min, max))
    # With fewer traces the ones that finish weigh more, so a smaller saving refutes nothing.
    verdict = CONFIRMED if all(s.high < 20 for s in shares) else OPEN
    return [Evidence(f"{low:.1f} to {high:.1f} %", verdict, "table2", run.num("table2"))]


def control(rule: str, what: str) -> Callable[[RunTables], list[Evidence]]:
    """Return the check that DeepPrune beats a plain vote of the same cost."""

    def check(run: RunTables) -> list[Evidence]:
        rows = [
            r for r in run.rows("control") if r["method"] == rule and r["plain vote at"] == what
        ]
        return [
            Evidence(f"{r['reasoner']}: {r['difference (points)']} points",
                     above(interval(r["difference (points)"]), 0), "control", run.num("table2"),
                     (r["difference (points)"],), " points")
            for r in rows
        ]  # fmt: skip

    return check


def counted_once(run: RunTables) -> list[Evidence]:
    """With a judge that reads each prefix once, counted, it beats a vote of the same cost."""
    column = "against a vote of equal net cost (points)"
    rows = [r for r in run.rows("judge_costs") if r["judge"].startswith("encode once, τ")]
    return [
        Evidence(f"{r['reasoner']}: {r[column]} points", above(interval(r[column]), 0),
                 "judge_costs", run.num("table2"))
        for r in rows
    ]  # fmt: skip


def shortest(run: RunTables) -> list[Evidence]:
    """A middle or short prefix beats the longest (tokens): the first reader of three lengths."""
    readers: dict[str, list[Row]] = {}
    for row in run.rows("truncation"):
        length, _, reader = row["ours"].partition(", ")
        if length.endswith("tokens"):
            readers.setdefault(reader, []).append(row)
    rows = next((mine for mine in readers.values() if len(mine) >= 3), [])
    if not rows:
        return []
    cells = [(int(r["ours"].split()[0]), r["AUROC ours"]) for r in rows]
    longest = max(cells)
    top = max(cells[:-1], key=lambda cell: interval(cell[1]).value)
    verdict = unlike(interval(top[1]), interval(longest[1]))
    text = f"{top[0]} tokens {top[1]}, {longest[0]} tokens {longest[1]}"
    return [Evidence(text, verdict, "truncation", run.num("truncation"))]


def diverse(run: RunTables) -> list[Evidence]:
    """Pass@k of the kept traces grows with τ; nothing is decided where all form one cluster."""
    rows = run.rows("table3")
    found = []
    for benchmark in dict.fromkeys(r["benchmark"] for r in rows):
        mine = sorted((r for r in rows if r["benchmark"] == benchmark), key=lambda r: float(r["τ"]))
        low, high = (r["pass@k (%)"] for r in (mine[0], mine[-1]))
        text = f"{benchmark}: {low} to {high} %"
        verdict = unlike(interval(high), interval(low))
        if len({r["retained only"] for r in mine}) < len(mine):  # some τ change nothing
            text, verdict = f"{text}; some τ give one cluster", OPEN
        num = run.num("table3")
        found.append(Evidence(text, verdict, "table3", num, (low, high), " %"))
    return found
