"""The figure of a cascade of judges: what the dear one reads against how well both tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from deepprune_core.reporting.plots import GREY, PALETTE, figure, styled


@dataclass(frozen=True)
class CascadeLine:
    """One AUROC (``values``) at every cost (``tokens``, share of reading all pairs).

    ``chosen``: the place of the cascade that was chosen, None if none was.
    """

    label: str
    tokens: Sequence[float]
    values: Sequence[float]
    chosen: int | None = None


@styled
def cascade_lines(lines: Sequence[CascadeLine], ceilings: Sequence[float]) -> Figure:
    """Return tokens against AUROC, one line a kind of AUROC, with its ceiling dotted."""
    drawn = figure(1, size=(7.0, 4.4))
    axes = drawn.axes[0]
    for i, line in enumerate(lines):
        x = [100 * t for t in line.tokens]
        axes.plot(x, line.values, "o-", lw=2, ms=6, color=PALETTE[i], label=line.label)
        if line.chosen is not None:
            axes.plot(x[line.chosen], line.values[line.chosen], "o", ms=13, mfc="none", mew=2,
                      color=PALETTE[i])  # fmt: skip
    for i, top in enumerate(ceilings):
        axes.axhline(top, ls=":", lw=1.4, color=PALETTE[i])
        axes.text(
            0.99, top, "ceiling", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
            fontsize=9, color=PALETTE[i],
        )  # fmt: skip
    first = lines[0]
    for place, word, side in ((0, "each prefix once", "left"), (-1, "all pairs", "right")):
        axes.annotate(
            word, (100 * first.tokens[place], first.values[place]), xytext=(0, 12),
            textcoords="offset points", ha=side, fontsize=9, color=GREY,
        )  # fmt: skip
    axes.set(xlabel="judges' tokens, % of reading all pairs", ylabel="AUROC")
    axes.margins(x=0.08, y=0.18)
    axes.legend(fontsize=9)
    return drawn
