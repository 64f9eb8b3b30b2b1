"""How figures look and are written, and the figure of one question's traces.

Colours are safe for the colour-blind, every estimate carries its interval, and files hold no
dates, so that the same numbers give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting import DRAWN_DPI
from deepprune_core.reporting.visible import shortened

PALETTE = sns.color_palette("colorblind")
GREY = "#666666"
STYLE: Any = {  # matplotlib wants its own literal keys
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": DRAWN_DPI,
    "pdf.fonttype": 42,
}


# Titles and legends take their style when they are made, so whole functions are drawn in it.
styled = mpl.rc_context(STYLE)


class Drawn(Figure):
    """A figure that notebooks show by themselves, whatever matplotlib's backend is."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=90, metadata={"Software": None})
        return buffer.getvalue()


@styled
def figure(columns: int, rows: int = 1, *, size: tuple[float, float] = (5.0, 3.8)) -> Figure:
    """Return an empty figure of the project's style; ``size`` in inches is that of one panel."""
    drawn = Drawn(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    drawn.subplots(rows, columns, squeeze=False)
    return drawn


def save(drawn: Figure, folder: Path, name: str) -> Figure:
    """Write ``name.png`` and ``name.pdf`` without dates; return the figure."""
    for suffix, metadata in (
        ("png", {"Software": None}),
        ("pdf", {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None}),
    ):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            drawn.savefig(buffer, format=suffix, dpi=DRAWN_DPI, metadata=metadata)
        write_atomically(folder / f"{name}.{suffix}", buffer.getvalue())
    return drawn


@dataclass(frozen=True)
class HeroTrace:
    """One trace of a question's figure, in tokens.

    ``answer`` is grey where the trace was stopped, and a dash where nobody knows it. ``right``:
    whether it gets the figure's mark.
    """

    cluster: int
    kept: bool
    tokens_used: int
    tokens_full: int
    answer: str
    right: bool


@styled
def hero(traces: Sequence[HeroTrace], title: str, marked: str = "right") -> Figure:
    """Return one question's traces as bars: finished ones run on, stopped ones end at their cut.

    ``marked``: what a tick says of a trace that finished.
    """
    order = sorted(range(len(traces)), key=lambda i: (traces[i].cluster, not traces[i].kept, i))
    drawn = figure(1, size=(9.0, 1.6 + 0.17 * len(traces)))
    axes = drawn.axes[0]
    for y, i in enumerate(order):
        trace = traces[i]
        colour = PALETTE[trace.cluster % len(PALETTE)]
        axes.barh(y, trace.tokens_full, color="#f0f0f0", height=0.72)
        axes.barh(y, trace.tokens_used, color=colour, height=0.72, alpha=1 if trace.kept else 0.55)
        told = shortened(trace.answer) + (" ✓" if trace.kept and trace.right else "")
        if trace.kept or trace.answer != "–":
            axes.annotate(told, (trace.tokens_full, y), xytext=(4, 0), textcoords="offset points",
                          va="center", fontsize=8, parse_math=False,
                          color="black" if trace.kept else "#a0a0a0")  # fmt: skip
    starts = [
        next(y for y, i in enumerate(order) if traces[i].cluster == c)
        for c in sorted({t.cluster for t in traces})
    ]
    axes.set_yticks(starts, [f"cluster {n + 1}" for n in range(len(starts))])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set(xlabel=f"tokens (pale: not generated; ✓: {marked})", title=title)
    return drawn
