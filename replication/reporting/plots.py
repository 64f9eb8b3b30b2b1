"""The paper's figures on skill and redundancy: one function each, from plain arrays to a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepprune_core.metrics import Interval
from deepprune_core.reporting.plots import GREY, PALETTE, figure, styled


def legend_of_all(drawn: Figure, ncols: int) -> None:
    """Put one legend below all panels, in ``ncols`` columns or as many as the width holds.

    What is missing from some panels is gathered from the others.
    """
    pairs = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in drawn.axes]
    shown = {label: handle for panel in pairs for handle, label in panel}
    for columns in range(ncols, 0, -1):
        legend = drawn.legend(
            list(shown.values()), list(shown), loc="outside lower center", ncols=columns
        )
        if columns == 1 or legend.get_window_extent().width <= drawn.bbox.width:
            return
        legend.remove()


@dataclass(frozen=True)
class Dot:
    """One value with its interval (None where the source gives none).

    ``hollow``: drawn as a ring, for what comes with a reservation.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False


def _error(value: float, low: float | None, high: float | None) -> np.ndarray | None:
    if low is None or high is None or np.isnan(low):
        return None
    return np.array([[max(0.0, value - low)], [max(0.0, high - value)]])


@styled
def redundancy_dots(groups: Mapping[str, Sequence[Dot]]) -> Figure:
    """Return Figure 2a as dots, one block of rows a group; the first group is the paper's."""
    rows = sum(len(dots) + 1 for dots in groups.values())
    drawn = figure(1, size=(7.4, 0.9 + 0.27 * rows))
    axes, at = drawn.axes[0], 0
    names: list[tuple[int, str]] = []
    for i, (group, dots) in enumerate(groups.items()):
        colour = PALETTE[7] if i == 0 else PALETTE[0]
        axes.text(0.01, at, group, transform=axes.get_yaxis_transform(), va="center",
                  fontweight="bold", fontsize=9)  # fmt: skip
        for dot in dots:
            at += 1
            names.append((at, dot.label))
            error = _error(dot.value, dot.low, dot.high)
            axes.errorbar(
                100 * dot.value, at, xerr=None if error is None else 100 * error, fmt="o",
                color=colour, mfc="white" if dot.hollow else colour, capsize=3, ms=7,
            )  # fmt: skip
            shown = 100 * dot.value + (0 if error is None else 100 * error[1, 0])
            axes.text(shown + 1.2, at, f"{100 * dot.value:.1f}", va="center", fontsize=8)
        at += 1
    axes.set_yticks([y for y, _ in names], [name for _, name in names], fontsize=9)
    axes.set(xlim=(0, 105), ylim=(at - 0.4, -0.6), xlabel="pairs with the same answer (%)")
    axes.grid(False, axis="y")
    return drawn


@dataclass(frozen=True)
class Curve:
    """A ROC curve in the paper's axes, with its AUROC.

    ``paper``: AUROC, and the true negative rate at the marked false negative rate, as reported.
    """

    label: str
    fnr: np.ndarray
    tnr: np.ndarray
    auroc: Interval
    paper: tuple[float, float] | None = None


@styled
def judge_curves(panels: Mapping[str, Sequence[Curve]], *, fnr: float = 0.2) -> Figure:
    """Return Figure 2b and 2c: false negative rate against true negative rate, one panel each."""
    drawn = figure(len(panels), size=(5.0, 4.6))
    for axes, (title, curves) in zip(drawn.axes, panels.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        axes.axvline(fnr, color=GREY, lw=1, ls="--")
        for i, curve in enumerate(curves):
            a = curve.auroc
            label = f"{curve.label}: {a.value:.2f} [{a.low:.2f}, {a.high:.2f}]"
            axes.plot(curve.fnr, curve.tnr, color=PALETTE[i], lw=2, label=label)
            axes.plot(fnr, np.interp(fnr, curve.fnr, curve.tnr), "o", color=PALETTE[i], ms=6)
            if curve.paper:
                auroc, tnr = curve.paper
                axes.plot(fnr, tnr, "D", color=PALETTE[1], mfc="white", mew=2, ms=7,
                          label=f"paper: {auroc:.2f}")  # fmt: skip
        axes.set(title=title, xlim=(0, 1), ylim=(0, 1.01), xlabel="false negative rate")
        axes.set_aspect("equal")
        axes.legend(title="AUROC", loc="lower right", fontsize=9, title_fontsize=9)
    drawn.axes[0].set_ylabel("true negative rate")
    return drawn


@dataclass(frozen=True)
class History:
    """One training run: ``pairs`` seen and ``loss`` per step, AUROC where it was measured."""

    label: str
    pairs: np.ndarray
    loss: np.ndarray
    auroc: np.ndarray


@styled
def training_curves(groups: Mapping[str, Sequence[History]]) -> Figure:
    """Return losses (top) and validation AUROC (bottom), one column a group."""
    drawn = figure(len(groups), 2, size=(5.0, 3.0))
    grid = np.array(drawn.axes).reshape(2, len(groups))
    labels = dict.fromkeys(run.label for histories in groups.values() for run in histories)
    colours = {label: PALETTE[i] for i, label in enumerate(labels)}
    for column, (title, histories) in enumerate(groups.items()):
        top, bottom = grid[:, column]
        for run in histories:
            colour, seen = colours[run.label], ~np.isnan(run.auroc)
            top.plot(run.pairs, run.loss, color=colour, alpha=0.18, lw=1)
            top.plot(run.pairs, _smooth(run.loss), color=colour, lw=2, label=run.label)
            bottom.plot(run.pairs[seen], run.auroc[seen], "o-", color=colour, lw=2, ms=4)
        top.set(title=title, yscale="log")
        bottom.axhline(0.5, color=GREY, lw=1, ls=":")
        bottom.set(xlabel="training pairs read", xlim=top.get_xlim())
        bottom.xaxis.set_major_locator(MaxNLocator(4))
        top.xaxis.set_major_locator(MaxNLocator(4))
    legend_of_all(drawn, ncols=3)
    grid[0, 0].set_ylabel("loss (nats)")
    grid[1, 0].set_ylabel("validation AUROC")
    return drawn


def _smooth(values: np.ndarray, span: int = 9) -> np.ndarray:
    """Return a running mean that shortens at the ends."""
    return np.array(
        [values[max(0, i - span // 2) : i + span // 2 + 1].mean() for i in range(len(values))]
    )


@dataclass(frozen=True)
class Compared:
    """One row: ours with its interval and what the paper reports."""

    label: str
    ours: Interval
    paper: float | None


@styled
def auroc_rows(panels: Mapping[str, Sequence[Compared]], xlabel: str = "AUROC") -> Figure:
    """Return rows with ours (dot and interval) and the paper's value (hollow diamond)."""
    longest = max(len(rows) for rows in panels.values())
    drawn = figure(len(panels), size=(5.2, 1.5 + 0.5 * longest))
    for axes, (title, rows) in zip(drawn.axes, panels.items(), strict=True):
        for i, row in enumerate(rows):
            error = _error(row.ours.value, row.ours.low, row.ours.high)
            axes.errorbar(
                row.ours.value, i, xerr=error, fmt="o", color=PALETTE[0], capsize=4, ms=7,
                label="ours, 95 % interval" if not i else None,
            )  # fmt: skip
            if row.paper is not None:
                axes.plot(
                    row.paper, i, "D", mfc="white", mec=PALETTE[1], mew=1.8, ms=7,
                    label="paper" if not i else None,
                )  # fmt: skip
        axes.axvline(0.5, color=GREY, lw=1, ls=":")
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set(title=title, xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
        axes.set_xlim(0.4, 1.0)
    legend_of_all(drawn, ncols=2)
    return drawn
