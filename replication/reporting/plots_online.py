"""The figures of the online experiments: cost against accuracy, thresholds, one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepprune_core.metrics import Interval
from deepprune_core.reporting.plots import GREY, PALETTE, figure, styled
from replication.reporting.plots import legend_of_all

# Marker and colour of a method; the first that its name begins with counts.
LOOKS = {
    "cons": ("s", 7),
    "DeepConf-high": ("^", 1),
    "DeepConf-low": ("v", 1),
    "adaptive consistency": ("P", 2),
    "early stopping": ("X", 2),
    "ReASC": ("<", 2),
    "Slim-SC": ("p", 5),
    "DeepPrune, oracle": ("*", 4),
    "DeepPrune, random": ("d", 4),
    "DeepPrune, survivors": ("D", 3),
    "DeepPrune": ("o", 0),
}


@dataclass(frozen=True)
class Point:
    """A method's cost (share of cons@N's tokens) and its gain, with intervals.

    ``gain``: accuracy minus that of a plain vote of the same tokens. ``counted``: the judge's
    tokens are part of the cost.
    """

    method: str
    cost: Interval
    gain: Interval
    counted: bool = False


@styled
def gain_panels(panels: Mapping[str, Sequence[Point]]) -> Figure:
    """Return tokens against the gain over a plain vote of the same tokens, a panel a reasoner."""
    points = [point for found in panels.values() for point in found]
    alone = (7.0, 4.4 if len(points) < 11 else 5.2)  # its legend has two columns
    drawn = figure(len(panels), size=alone if len(panels) == 1 else (4.6, 4.2))
    low, high = (100 * f(v for p in points for v in (p.gain.low, p.gain.high)) for f in (min, max))
    left, right = 100 * min(p.cost.low for p in points), 100 * max(p.cost.high for p in points)
    for axes, (title, found) in zip(drawn.axes, panels.items(), strict=True):
        axes.axhline(0, color=GREY, lw=1.5)
        for point in found:
            _gain(axes, point)
        axes.set_xscale("log")
        ticks = [t for t in (2, 5, 10, 20, 50, 100, 200, 500) if 0.8 * left <= t <= 1.3 * right]
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.minorticks_off()
        axes.set(title=title, xlim=(0.85 * left, 1.18 * right), ylim=(low - 1, high + 1),
                 xlabel="tokens, % of cons@N (log scale)")  # fmt: skip
    drawn.axes[0].set_ylabel("accuracy minus that of a plain vote\nof the same tokens (points)")
    legend_of_all(drawn, ncols=2 if len(panels) == 1 else 4)
    return drawn


def _gain(axes: Axes, point: Point) -> None:
    marker, colour = next(look for name, look in LOOKS.items() if point.method.startswith(name))
    axes.errorbar(
        100 * point.cost.value, 100 * point.gain.value,
        xerr=_bars(point.cost), yerr=_bars(point.gain),
        fmt=marker, color=PALETTE[colour], ms=9, capsize=2, elinewidth=1, alpha=0.95,
        mfc="white" if point.counted else PALETTE[colour],
        label=f"{point.method}, judge counted" if point.counted else point.method,
    )  # fmt: skip


def _bars(found: Interval) -> np.ndarray:
    """Return an interval in percent as error bars: (2, 1)."""
    return 100 * np.array([[found.value - found.low], [found.high - found.value]]).clip(min=0)


@dataclass(frozen=True)
class ThresholdLine:
    """One rule over thresholds ``tau`` (t,): its cost, a share of cons@N's tokens, and a rate."""

    label: str
    tau: Sequence[float]
    cost: Sequence[Interval]
    values: Sequence[Interval]


@styled
def threshold_lines(panels: Mapping[str, Sequence[ThresholdLine]]) -> Figure:
    """Return tokens against rates, a panel a benchmark; the thresholds stand at the points."""
    drawn = figure(len(panels), size=(6.4, 4.2) if len(panels) == 1 else (4.8, 4.0))
    for axes, (title, lines) in zip(drawn.axes, panels.items(), strict=True):
        for i, line in enumerate(lines):
            x = np.array([100 * v.value for v in line.cost])
            y = np.array([100 * v.value for v in line.values])
            axes.errorbar(
                x, y, yerr=np.hstack([_bars(v) for v in line.values]), fmt="o-", lw=2, ms=6,
                capsize=3, color=PALETTE[i], label=line.label,
            )  # fmt: skip
        axes.set(title=title, xlabel="tokens, % of cons@N")
        axes.margins(x=0.15)
        _name_thresholds(axes, lines)
    drawn.axes[0].set_ylabel("%")
    legend_of_all(drawn, ncols=2)
    return drawn


def _name_thresholds(axes: Axes, lines: Sequence[ThresholdLine]) -> None:
    """Write each point's thresholds beside it, moved up where another name stands."""
    wide, high = (np.ptp(limits) for limits in (axes.get_xlim(), axes.get_ylim()))
    names = sorted(
        (100 * line.values[place].value, 100 * line.cost[place].value, taus, i)
        for i, line in enumerate(lines) for place, taus in _same_places(line).items()
    )  # fmt: skip
    taken: list[tuple[float, float]] = []
    for y, x, taus, i in names:
        told = "τ " + (f"{taus[0]:g}" if len(taus) == 1 else f"{taus[0]:g}–{taus[-1]:g}")
        while any(abs(x - a) < 0.15 * wide and abs(y - b) < 0.045 * high for a, b in taken):
            y += 0.01 * high
        taken.append((x, y))
        axes.annotate(told, (x, y), xytext=(6, -7), textcoords="offset points", fontsize=8,
                      va="center", color=PALETTE[i])  # fmt: skip


def _same_places(line: ThresholdLine) -> dict[int, list[float]]:
    """Return the thresholds that give one and the same point, by the index of the first."""
    found: dict[int, list[float]] = {}
    places: dict[tuple[float, float], int] = {}
    for i, (tau, cost, value) in enumerate(zip(line.tau, line.cost, line.values, strict=True)):
        place = places.setdefault((round(cost.value, 3), round(value.value, 3)), i)
        found.setdefault(place, []).append(tau)
    return found


AVERAGE = "judge, average"


@dataclass(frozen=True)
class Lengths:
    """AUROC over truncation lengths ``k``: a reasoner, the average, or a ``dotted`` rule."""

    label: str
    k: Sequence[int]
    values: Sequence[Interval]
    dotted: bool = False


@styled
def truncation_lines(
    panels: Mapping[str, Sequence[Lengths]], paper: Mapping[str, Mapping[int, float]]
) -> Figure:
    """Return Figure 4: lengths against AUROC, with the paper's line.

    As many lengths as the paper has stand by rank, the paper's below ours; others stand where
    they are, on a logarithmic axis.
    """
    drawn = figure(len(panels), size=(5.4, 4.2) if len(panels) > 1 else (8.0, 4.8))
    for axes, (title, lines) in zip(drawn.axes, panels.items(), strict=True):
        reported = paper[title]
        by_rank = all(len(line.k) == len(reported) for line in lines)
        for i, line in enumerate(lines):
            shift = i - (len(lines) - 1) / 2
            k = np.array(line.k, dtype=np.float64)
            at = np.arange(len(k)) + 0.05 * shift if by_rank else k * 1.015**shift
            _draw_lengths(axes, line, at, PALETTE[i % len(PALETTE)])
        axes.plot(
            range(len(reported)) if by_rank else list(reported), list(reported.values()), "D--",
            mfc="white", color=GREY, label="paper, average",
        )  # fmt: skip
        ours = lines[0].k if by_rank else sorted({k for line in lines for k in line.k})
        _name_lengths(axes, title, ours, list(reported), by_rank)
    drawn.axes[0].set_ylabel("AUROC")
    legend_of_all(drawn, ncols=5 if len(panels) > 1 else 2)
    return drawn


def _draw_lengths(axes: Axes, line: Lengths, at: np.ndarray, colour: str) -> None:
    middle = np.array([v.value for v in line.values])
    if line.dotted:
        axes.plot(np.round(at), middle, "k:", lw=1.4, label=line.label)
        return
    average = line.label == AVERAGE
    low = middle - np.array([v.low for v in line.values])
    high = np.array([v.high for v in line.values]) - middle
    axes.errorbar(
        at, middle, yerr=np.array([low, high]), fmt="o-", capsize=3, lw=3 if average else 1.4,
        ms=7 if average else 4, color="black" if average else colour, label=line.label,
    )  # fmt: skip


def _name_lengths(
    axes: Axes, title: str, ours: Sequence[int], theirs: Sequence[int], by_rank: bool
) -> None:
    if by_rank:
        labels = [f"{a}\n({b})" for a, b in zip(ours, theirs, strict=True)]
        axes.set_xticks(range(len(theirs)), labels)
        axes.set(xlabel=f"{title} kept: ours (paper)", xlim=(-0.4, len(theirs) - 0.6))
    else:
        ticks = sorted({*ours, *theirs})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.set_xlabel(f"{title} kept")
    axes.set_title(title)


@dataclass(frozen=True)
class Shares:
    """A reader's AUROC within questions, by the share of a trace that it reads."""

    label: str
    share: list[float]
    values: list[Interval]


ONE_CUT = 8.0  # percent: shares that lie closer are one place on a wider axis


@styled
def share_lines(panels: Mapping[str, Sequence[Shares]]) -> Figure:
    """Return how well readers rank pairs, from the first words to the last that are read.

    ``panels``: the readers' lines by title; the last reader's line is drawn as the ceiling.
    """
    drawn = figure(len(panels), size=(7.4 if len(panels) == 1 else 5.6, 4.8))
    lowest = min(v.low for lines in panels.values() for line in lines for v in line.values)
    labels = dict.fromkeys(line.label for lines in panels.values() for line in lines)
    colours = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}
    for axes, (title, lines) in zip(drawn.axes, panels.items(), strict=True):
        _share_panel(axes, lines, colours, min(0.4, lowest))
        axes.set_title(title)
    drawn.axes[-1].text(1.01, 0.5, "chance", color=GREY, va="center", fontsize=9,
                        transform=drawn.axes[-1].get_yaxis_transform())  # fmt: skip
    drawn.axes[0].set_ylabel("AUROC within questions")
    legend_of_all(drawn, ncols=2)
    return drawn


def _share_panel(
    axes: Axes, lines: Sequence[Shares], colours: Mapping[str, Any], lowest: float
) -> None:
    shares = [100 * share for line in lines for share in line.share]
    for i, line in enumerate(lines):
        at = 100 * np.array(line.share) + 0.4 * (i - (len(lines) - 1) / 2)
        middle = np.array([v.value for v in line.values])
        low = middle - np.array([v.low for v in line.values])
        high = np.array([v.high for v in line.values]) - middle
        top = i == len(lines) - 1
        axes.errorbar(
            at, middle, yerr=np.array([low, high]), fmt="D-" if top else "o-", capsize=3,
            lw=2.4 if top else 1.6, color="black" if top else colours[line.label], label=line.label,
        )  # fmt: skip
    axes.axhline(0.5, color=GREY, lw=1, ls=":")
    if max(shares) - min(shares) < ONE_CUT:
        axes.set_xlim(max(0, min(shares) - ONE_CUT), max(shares) + ONE_CUT)
    axes.set(xlabel="share of a trace that is read (%)", ylim=(lowest, 1.02))
