"""Notebook 03: all judges of a run, trained one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from deepprune_core.reporting.tables import Table
from deepprune_core.training.start import work_folder
from deepprune_core.training.state import OtherRunError
from replication.judges import (
    JudgeSpec,
    is_trained,
    leaky_spec,
    online_spec,
    sweep_specs,
    table1_specs,
    train,
)
from replication.reporting.plots import History
from replication.run import Run
from replication.table1 import ROW_NAMES
from replication.text import count

if TYPE_CHECKING:
    from deepprune_core.training.state import TrainResult


@dataclass(frozen=True)
class Trained:
    """A spec and what its training gave."""

    spec: JudgeSpec
    result: TrainResult


def all_specs(run: Run) -> tuple[JudgeSpec, ...]:
    """Return every judge of Table 1, the leakage test and Figure 4, each once."""
    leaky = () if run.profile.traces.leaky is None else (leaky_spec(run),)
    specs = (*table1_specs(run), *leaky, *sweep_specs(run))
    return tuple({spec.name: spec for spec in specs}.values())


def train_all(run: Run) -> list[Trained]:
    """Return all judges, trained; those that are finished are taken as they are.

    Where the profile ships judges, only those that are there: `make judges` trains the others.
    """
    specs = all_specs(run)
    if run.profile.judge.adapters is not None:
        specs = tuple(spec for spec in specs if is_trained(run, spec))
    return [Trained(spec, train(run, spec)) for spec in tqdm(specs, desc="judges", unit="judge")]


def train_shown(run: Run) -> Trained | None:
    """Return a short training of the online judge's row, run now; None if all are run anyway.

    One that is there from other data or settings takes a minute, and is trained again.
    """
    if run.profile.judge.adapters is None:
        return None
    spec, count = online_spec(run), run.profile.judge.shown_pairs
    out = run.work / "judges" / f"shown-{count}"
    try:
        return Trained(spec, train(run, spec, out=out, pairs=count))
    except OtherRunError:
        for folder in (out, work_folder(out)):
            shutil.rmtree(folder, ignore_errors=True)
        return Trained(spec, train(run, spec, out=out, pairs=count))


def training_panels(
    run: Run, trained: Sequence[Trained], shown: Trained | None = None
) -> dict[str, list[History]]:
    """Return the curves of Table 1's judges and of the short run, one column a way to cut."""
    panels: dict[str, list[History]] = {}
    wanted = {spec.name for spec in table1_specs(run)}
    for one in [*(t for t in trained if t.spec.name in wanted), *([shown] if shown else [])]:
        rows = one.result.history
        panels.setdefault(f"First {one.spec.truncation.label}", []).append(
            History(
                ROW_NAMES[one.spec.row] if one is not shown else "this run, shorter",
                np.array([row.pairs for row in rows]),
                np.array([row.loss for row in rows]),
                np.array([row.validation_auroc for row in rows]),
            )
        )
    return panels


def training_table(run: Run, trained: Sequence[Trained]) -> Table:
    """Return one row a judge."""
    return Table(
        "training",
        f"Training of the judges. {run.profile.caption}",
        ("truncation", "training", "questions", "steps", "pairs read", "loss (last 50 steps)",
         "validation AUROC"),
        tuple(
            (
                one.spec.truncation.label, ROW_NAMES[one.spec.row],
                "its own" if one.spec.source == "train" else "the tests'",
                str(one.result.steps), count(one.result.pairs), f"{one.result.loss:.4f}",
                f"{one.result.validation_auroc:.3f}",
            )
            for one in trained
        ),
        ("Losses with focal weighting are not comparable with those without. Validation pairs: "
         f"at most {run.profile.judge.validation_pairs} from questions of no training.",),
    )  # fmt: skip


def training_words(run: Run, trained: Sequence[Trained], shown: Trained | None = None) -> str:
    """Return what training gave, in words."""
    if shown is not None and not trained:
        return run.note("03", "No judge is shipped yet; `make judges` trains them.")
    own = [one for one in trained if one.spec.source == "train"]
    best = max(own, key=lambda one: one.result.validation_auroc)
    firsts = [one.result.history[0].loss for one in own]
    lasts = [one.result.loss for one in own]
    fell = sum(last < first for first, last in zip(firsts, lasts, strict=True))
    return run.note(
        "03",
        f"{len(trained)} judge{'s' * (len(trained) > 1)} trained with LoRA, on "
        f"{count(run.profile.judge.train_pairs)} pairs; the loss fell for {fell} of {len(own)}.",
        f"The best validation AUROC is {best.result.validation_auroc:.3f} "
        f"({best.spec.truncation.label}, {ROW_NAMES[best.spec.row]}).",
        *(
            [
                f"The short run on {count(shown.result.pairs)} pairs, made here, reaches "
                f"{shown.result.validation_auroc:.3f}."
            ]
            if shown
            else []
        ),
        "The paper gives no learning rate, batch, epochs or focal α and γ; ours are settings of "
        "the profile.",
    )
