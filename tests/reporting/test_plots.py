from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from deepprune_core.metrics import Interval
from deepprune_core.reporting.plots import HeroTrace, hero, save
from replication.reporting.plots import (
    Compared,
    Curve,
    Dot,
    History,
    auroc_rows,
    judge_curves,
    redundancy_dots,
    training_curves,
)
from replication.reporting.plots_online import (
    AVERAGE,
    Lengths,
    Point,
    ThresholdLine,
    gain_panels,
    threshold_lines,
    truncation_lines,
)
from replication.reporting.reference import load_reference


def near(value: float, width: float = 0.04) -> Interval:
    return Interval(value, value - width, value + width, 40)


def bars() -> Figure:
    names = ("teacher", "small", "medium", "wide")
    ours = [
        Dot(f"{n}, 60 questions", v, v - 0.05, v + 0.04, hollow=v > 0.9)
        for n, v in zip(names, (0.8, 0.7, 0.9, 0.93), strict=True)
    ]
    return redundancy_dots({"paper": [Dot(n, 0.9) for n in names], "maths": ours, "law": ours[:2]})


def curves() -> Figure:
    x = np.linspace(0, 1, 40)
    names = ("SentenceBERT", "zero-shot judge", "trained judge")
    found = [Curve(n, x, x**p, near(0.7)) for n, p in zip(names, (0.8, 0.6, 0.2), strict=True)]
    return judge_curves({"similarity": found[:1], "judges": found})


def training() -> Figure:
    steps = np.arange(40)
    auroc = np.where(steps % 10 == 9, 0.6 + steps / 200, np.nan)
    names = ("plain", "focal loss", "oversampling", "focal + oversampling")
    runs = [History(n, steps * 16, np.exp(-steps / 20) + 0.1 * i, auroc + 0.01 * i)
            for i, n in enumerate(names)]  # fmt: skip
    return training_curves({"first 500 tokens": runs, "first 25 words": runs})


def training_of_one_cut() -> Figure:
    names = ("plain", "focal + oversampling", "this run, shorter")
    values = np.linspace(0.1, 0.9, 9)
    return training_curves({"first 500 tokens": [History(n, values, values, values)
                                                 for n in names]})  # fmt: skip


def judges() -> Figure:
    names = ("plain", "focal loss", "oversampling", "focal + oversampling")
    rows = [Compared(n, near(0.7 + 0.02 * i), 0.85) for i, n in enumerate(names)]
    return auroc_rows({"First 500 tokens": rows, "First 25 words": rows})


def gains() -> Figure:
    methods = ("cons@64", "DeepConf-high", "adaptive consistency", "DeepPrune",
               "DeepPrune, oracle judge")  # fmt: skip
    points = [
        Point(m, near(c, 0.05 * c), near(0.01 * i)) for i, (m, c) in
        enumerate(zip(methods, (1.0, 0.7, 0.3, 0.2, 0.25), strict=True))
    ]  # fmt: skip
    net = Point("DeepPrune", near(0.5), near(-0.02), counted=True)
    return gain_panels({name: [*points, net] for name in ("small", "medium", "wide")})


def thresholds() -> Figure:
    taus = (0.25, 0.5, 0.63, 0.75)
    cost = [near(v, 0.01) for v in (0.2, 0.2, 0.35, 0.5)]
    lines = [ThresholdLine(n, taus, cost, [near(v + i) for v in (0.3, 0.3, 0.35, 0.4)])
             for n, i in (("accuracy", 0.0), ("pass@k", 0.3))]  # fmt: skip
    return threshold_lines({"sums": lines, "chains": lines})


def truncation() -> Figure:
    paper = {"tokens": {300: 0.83, 500: 0.88, 700: 0.85}, "words": {15: 0.88, 25: 0.87, 35: 0.83}}
    names = ("reasoner-a", "reasoner-b", "reasoner-c", AVERAGE)
    panels = {
        kind: [Lengths(n, k, [near(0.7 + 0.02 * i)] * 3) for i, n in enumerate(names)]
        for kind, k in (("tokens", (30, 50, 70)), ("words", (3, 5, 7)))
    }
    return truncation_lines(panels, paper)


def lengths_of_our_own() -> Figure:
    paper = {"tokens": {300: 0.83, 500: 0.88, 700: 0.85}, "words": {15: 0.88, 25: 0.87, 35: 0.83}}
    names = ("reasoner-a", "reasoner-b", "reasoner-c", AVERAGE)
    panels = {
        kind: [Lengths(n, k, [near(0.6 + 0.02 * i)] * len(k)) for i, n in enumerate(names)]
        for kind, k in (("tokens", (50, 100, 200, 400)), ("words", (25,)))
    }
    return truncation_lines(panels, paper)


def traces() -> Figure:
    found = [HeroTrace(c, j == 0, 300 + 9 * c if j == 0 else 50, 300 + 9 * c, "137", c != 2)
             for c, size in enumerate((14, 6, 3, 1)) for j in range(size)]  # fmt: skip
    return hero(found, "sums/0012: 24 traces, 71 % of the tokens never generated")


FIGURES = (
    bars, curves, training, training_of_one_cut, judges, gains, thresholds, truncation,
    lengths_of_our_own, traces,
)  # fmt: skip
drawings = pytest.mark.parametrize("draw", FIGURES, ids=lambda draw: draw.__name__)


def texts_of(axes: Axes) -> list[Text]:
    """Return what is written in and around one panel, its legend apart."""
    x, y = axes.xaxis, axes.yaxis
    # Ticks beyond the limits are made but not drawn.
    ticks = [
        tick.label1
        for axis, (low, high) in ((x, sorted(axes.get_xlim())), (y, sorted(axes.get_ylim())))
        for tick in axis.get_major_ticks()
        if low - 1e-9 <= tick.get_loc() <= high + 1e-9
    ]
    return [*ticks, *axes.texts, axes.title, x.label, y.label]


def overlaps(drawn: Figure) -> list[tuple[str, str]]:
    """Return pairs of texts whose boxes meet: all text of each axes, a pixel of slack."""
    renderer = FigureCanvasAgg(drawn).get_renderer()
    drawn.draw(renderer)
    found = []
    for axes in drawn.axes:
        legend = axes.get_legend()
        texts = [*texts_of(axes), *(legend.get_texts() if legend else [])]
        boxes = [(t.get_text(), t.get_window_extent(renderer).padded(-1))
                 for t in texts if t.get_text() and t.get_visible()]  # fmt: skip
        found += [(a, b) for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)]
    return found


@drawings
def test_no_two_texts_overlap(draw: Callable[[], Figure]) -> None:
    assert overlaps(draw()) == []


@drawings
def test_no_text_leaves_the_page(draw: Callable[[], Figure]) -> None:
    drawn = draw()
    renderer = FigureCanvasAgg(drawn).get_renderer()
    drawn.draw(renderer)
    texts = [text for axes in drawn.axes for text in texts_of(axes) if text.get_text()]
    page, parts = drawn.bbox.padded(1), [*texts, *drawn.legends]
    boxes = [(str(part), part.get_window_extent(renderer)) for part in parts]
    assert [name for name, box in boxes if box.x0 < page.x0 or page.x1 < box.x1] == []


def test_the_check_for_overlaps_sees_one() -> None:
    drawn = bars()
    for text in ("one", "two"):
        drawn.axes[0].text(50, 2, text)
    assert ("one", "two") in overlaps(drawn)


@drawings
def test_axes_are_labelled_and_files_are_the_same_bytes_twice(
    draw: Callable[[], Figure], tmp_path: Path
) -> None:
    drawn = draw()
    assert any(axes.get_xlabel() or axes.get_ylabel() for axes in drawn.axes)
    save(drawn, tmp_path / "first", "x")
    save(draw(), tmp_path / "second", "x")
    for name in ("x.png", "x.pdf"):
        first, second = ((tmp_path / f / name).read_bytes() for f in ("first", "second"))
        assert first == second
        assert b"CreationDate" not in first
        assert b"Software" not in first


def test_paper_values_are_drawn_beside_ours() -> None:
    axes = judges().axes[0]
    hollow = [line for line in axes.lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in hollow] == [0.85] * 4


def test_the_marker_on_a_curve_stands_at_the_paper_s_false_negative_rate() -> None:
    axes = curves().axes[1]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in marks] == [0.2] * 3
    assert [float(line.get_ydata()[0]) for line in marks] == pytest.approx(
        [0.2**p for p in (0.8, 0.6, 0.2)], abs=0.01
    )


def test_a_stopped_trace_is_drawn_to_its_cut_over_its_full_length() -> None:
    axes = traces().axes[0]
    widths = [round(bar.get_width()) for bar in axes.patches]
    assert widths[:4] == [300, 300, 300, 50]
    assert len(widths) == 2 * 24


def test_long_names_of_reasoners_do_not_overlap() -> None:
    paper = [Dot(name, share) for name, share in load_reference().figure2a.items()]
    assert overlaps(redundancy_dots({"paper": paper, "GPQA Diamond": paper})) == []


def test_the_legend_gathers_methods_from_every_panel_and_no_two_look_alike() -> None:
    names = ["cons@64", "DeepPrune", "DeepPrune, survivors", "DeepPrune, oracle judge"]
    points = [Point(name, near(0.5), near(0.5)) for name in names]
    net = Point("DeepPrune", near(0.5), near(0.5), counted=True)
    drawn = gain_panels({"a": points[:1], "b": [*points, net]})
    shown = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert shown == {*names, "DeepPrune, judge counted"}
    looks = [(line.get_marker(), line.get_markerfacecolor()) for line in drawn.axes[1].lines
             if line.get_marker() in "sDo*"]  # fmt: skip
    assert len(set(looks)) == len(names) + 1
