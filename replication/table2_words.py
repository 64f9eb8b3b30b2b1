"""What Table 2 says, in sentences: what was saved, why, at what price, and what does as well."""

from __future__ import annotations

from collections.abc import Sequence

from deepprune_core.metrics import Interval
from deepprune_core.pruner import PruningConfig
from replication.methods import CONTROL, CONTROL_NET, FAST, REASC, Online, named
from replication.online import Cell, difference
from replication.reporting.evidence import CONFIRMED, OPEN, REFUTED, above
from replication.reporting.reference import load_reference
from replication.run import Run
from replication.text import NOTHING, percent, rate, saving, span

PAPER_TRACES = 512
ADAPTIVE, SURVIVORS = "adaptive consistency", "DeepPrune, survivors"
Cells = Sequence[Cell]


def rule_saving(run: Run, pruned: Cell, num_traces: int) -> float:
    """Return the saving that the rule fixes whoever judges: ``1 - f - (K2/N)(1 - f)``.

    ``f``: what a stopped trace had cost, as a share of what it would have cost.
    """
    stopped = pruned.baseline.sum() - pruned.kept.mean(axis=0).sum()
    f = float((pruned.generated - pruned.kept).mean(axis=0).sum() / stopped)
    share = min(1.0, run.profile.pruning.k2 / num_traces)
    return 1 - f - share * (1 - f)


def break_even(pruned: Cell) -> float:
    """Return the price of a judge's token, in the reasoner's tokens, at which nothing is saved."""
    saved = pruned.baseline.sum() - pruned.generated.mean(axis=0).sum()
    read = pruned.judge.mean(axis=0).sum()
    return float(saved / read) if read else float("inf")


def table2_words(run: Run, results: Sequence[Online], judge_cost: float) -> str:
    """Return what agrees with the paper's Table 2 and what does not."""
    every = [online.on("all")[1] for online in results]
    models = [online.traces.model for online in results]
    pruned = [named(cells, "DeepPrune") for cells in every]
    v2 = load_reference().table2_v2
    gross, net = _saved(run, pruned), _saved(run, pruned, judge_cost)
    lost = _changed(every, "DeepPrune")
    beats = [difference(run, named(cells, "DeepPrune"), named(cells, CONTROL)) for cells in every]
    told = {CONFIRMED: "better", REFUTED: "worse", OPEN: "not distinguishable"}
    verdicts = [told[above(d, 0)] for d in beats]
    run.headline(
        "05",
        ("Tokens saved, gross", f"{v2.saved_percent[0]} to {v2.saved_percent[1]} %",
         gross),
        ("Tokens saved, the judge's own counted", NOTHING, net),
        ("The same with one fixed representative a cluster", NOTHING,
         _saved(run, [named(cells, FAST) for cells in every], judge_cost)),
        ("Accuracy against the vote of all traces (points)", f"within {v2.within_points}", lost),
        ("Accuracy against a vote of equal tokens (points)", NOTHING,
         span([f"{100 * d.value:+.1f}" for d in beats])),
        ("Adaptive consistency: tokens saved, accuracy (points)", NOTHING,
         f"{_saved(run, [named(cells, ADAPTIVE) for cells in every])}, "
         f"{_changed(every, ADAPTIVE)}"),
    )  # fmt: skip
    costs = run.note(
        "05",
        f"Traces are cut at {run.cuts.online().label} (paper: 25 reasoning words), and τ is "
        f"{run.profile.pruning.tau:g}. DeepPrune saves {gross} of the generated tokens (paper, "
        f"v2: {v2.saved_percent[0]} to {v2.saved_percent[1]} % of {PAPER_TRACES} traces).",
        _rule_words(run, results, every),
        f"With the judge's own tokens, each counted as {judge_cost:g} of a reasoner's, the saving "
        f"is {net}; the paper does not count them. At a price of "
        f"{span([f'{break_even(cell):.2g}' for cell in pruned])} nothing is saved.",
        f"Accuracy changes by {lost} points against cons@N (paper: within {v2.within_points}); "
        f"with the rule that each cluster's first trace votes by {_changed(every, SURVIVORS)}, "
        f"where even a perfect judge gives {_changed(every, f'{SURVIVORS}, oracle judge')}.",
    )
    votes = run.note(
        "05-votes",
        "Against a plain majority vote at the same number of generated tokens DeepPrune is "
        + ", ".join(
            f"{v} on {m} ({rate(d)} points)"
            for v, m, d in zip(verdicts, models, beats, strict=True)
        )
        + ".",
        "A judge that knows which pairs agree, in the place of ours, would win "
        f"{_gained(run, results, 'DeepPrune, oracle judge')}.",
        "Adaptive consistency, which only counts answers, saves "
        f"{_saved(run, [named(cells, ADAPTIVE) for cells in every])} and changes accuracy by "
        f"{_changed(every, ADAPTIVE)} points.",
        *_confident_votes(run, results, every),
        *_better_than_perfect(every, models),
    )
    return f"{costs} {votes}"


def many_words(run: Run, results: Sequence[Online], judge_cost: float) -> str:
    """Return what Table 2 says with as many traces as are stored, in the order one would ask."""
    every = [online.on("all")[1] for online in results]
    pruned = [named(cells, "DeepPrune") for cells in every]
    sizes = span([str(max(map(len, online.traces.traces.traces))) for online in results])
    questions = span([str(len(online.traces.traces.questions)) for online in results])
    lost = [difference(run, p, cells[0]) for p, cells in zip(pruned, every, strict=True)]
    net = [
        difference(run, p, named(cells, CONTROL_NET))
        for p, cells in zip(pruned, every, strict=True)
    ]
    models = [online.traces.model for online in results]

    def points(differences: Sequence[Interval]) -> str:
        told = zip(differences, models, strict=True)
        return ", ".join(f"{rate(one)} points on {model}" for one, model in told)

    return run.note(
        "08-many",
        f"With {sizes} traces of {questions} questions each DeepPrune saves {_saved(run, pruned)} "
        f"of the generated tokens, {_saved(run, pruned, judge_cost)} with the judge's counted.",
        f"Against all of them its accuracy changes by {points(lost)}; against a plain vote that "
        f"costs as much, the judge counted, by {points(net)}.",
        "A judge that knows which pairs agree, in the place of ours, differs from a plain vote of "
        f"its tokens by {_gained(run, results, 'DeepPrune, oracle judge')}.",
        f"Adaptive consistency saves {_saved(run, [named(cells, ADAPTIVE) for cells in every])} "
        f"and changes accuracy by {_changed(every, ADAPTIVE)} points.",
    )


def _rule_words(run: Run, results: Sequence[Online], every: Sequence[Cells]) -> str:
    """Return how much of the saving is the rule's, whoever judges."""
    sizes = [max(len(group) for group in online.traces.traces.traces) for online in results]
    fixed = saving([
        rule_saving(run, named(cells, "DeepPrune"), n)
        for cells, n in zip(every, sizes, strict=True)
    ])  # fmt: skip
    others = [
        _saved(run, [named(cells, f"DeepPrune, {judge} judge") for cells in every])
        for judge in ("oracle", "random")
    ]
    k2, paper = run.profile.pruning.k2, PruningConfig().k2
    return (
        f"Most of that is a setting: when K2 of N traces finish, the rule alone saves {fixed}; "
        f"a perfect judge saves {others[0]}, one that draws lots {others[1]}. K2/N is "
        f"{span([percent(k2 / n, 0) for n in sizes])} % here and "
        f"{percent(paper / PAPER_TRACES, 0)} % in the paper."
    )


def _gained(run: Run, results: Sequence[Online], method: str) -> str:
    """Return what a method wins over a plain vote of equal tokens, by reasoner."""
    return ", ".join(
        f"{rate(online.gain(run, named(online.cells, method)))} points on {online.traces.model}"
        for online in results
    )


def _confident_votes(run: Run, results: Sequence[Online], every: Sequence[Cells]) -> list[str]:
    """Return what ReASC gives, where traces hold confidences."""
    if any(REASC not in (cell.method for cell in cells) for cells in every):
        return []
    return [
        f"{REASC}, which also counts a confident answer for more, saves "
        f"{_saved(run, [named(cells, REASC) for cells in every])} and changes accuracy by "
        f"{_changed(every, REASC)} points; over a plain vote of as many tokens it wins "
        f"{_gained(run, results, REASC)}."
    ]


def _better_than_perfect(every: Sequence[Cells], models: Sequence[str]) -> list[str]:
    """Return where the judge does better than one that knows the answers: luck, not skill."""
    lucky = []
    for cells, model in zip(every, models, strict=True):
        mine, perfect = (
            named(cells, f"DeepPrune{suffix}").right.mean() for suffix in ("", ", oracle judge")
        )
        if mine > perfect:
            lucky.append(f"{model} ({100 * (mine - perfect):+.1f})")
    if not lucky:
        return []
    return [
        f"More than a perfect judge's accuracy, on {', '.join(lucky)}, is luck in which K2 traces "
        "finish and no detection of redundancy."
    ]


def _saved(run: Run, cells: Cells, judge_cost: float | None = None) -> str:
    return saving([1 - cell.total_share(run, judge_cost).value for cell in cells])


def _changed(every: Sequence[Cells], method: str) -> str:
    """Return a method's accuracy minus cons@N's, in points."""
    return span([
        f"{100 * (named(cells, method).right.mean() - cells[0].right.mean()):+.1f}"
        for cells in every
    ])  # fmt: skip
