"""The paper's claims against our runs: ``python -m replication.reporting.findings``.

Every line of ``docs/findings.md`` is computed from the tables of a run and the paper's reported
numbers. A claim *holds here* when our whole interval agrees with it, *fails here* when the whole
interval disagrees, else it is *not decidable*.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting.tables import NOTHING, Table
from replication.reporting.evidence import (
    CONFIRMED,
    OPEN,
    REFUTED,
    WEAK,
    Evidence,
    RunTables,
    control,
    counted_once,
    differs,
    diverse,
    knowing,
    reaches,
    redundant,
    saved,
    shortest,
    untrained,
    within,
)
from replication.reporting.reference import Reference, load_reference

UNASKED = "not measured"


@dataclass(frozen=True)
class Claim:
    """One claim: in words, the paper's number, and how a run's tables are asked."""

    text: str
    paper: str
    check: Callable[[RunTables], list[Evidence]]
    brief: bool = False  # whether it stands in the README


def claims(paper: Reference) -> tuple[Claim, ...]:
    """Return the paper's claims, and what it leaves out, in the order of its sections."""
    tables, bars = paper.table1, paper.figure2a.values()
    both, plain = (tables["words"][row]["average"][0] for row in ("both", "plain"))
    token_both = tables["tokens"]["both"]["average"][0]
    v1, v2 = both, paper.table1_v2_auroc
    saving, by_tokens = paper.table2_v2.saved_percent, paper.figure4["tokens"]
    peak = max(by_tokens, key=lambda k: by_tokens[k])
    aime = paper.table3["AIME25"]
    weak = f"(AUROC under {WEAK})"
    return (
        Claim("Over 80 % of pairs of traces reach the same answer",
              f"{100 * paper.figure2a_average:.1f} %; {100 * min(bars):.1f} to "
              f"{100 * max(bars):.1f} by reasoner", redundant, brief=True),
        Claim(f"Surface similarity hardly tells {weak}",
              f"{paper.figure2bc['sentence_bert'].auroc:.2f}", untrained("SentenceBERT"),
              brief=True),
        Claim(f"An untrained judge hardly tells {weak}",
              f"{paper.figure2bc['zero_shot'].auroc:.2f}", untrained("Zero-shot")),
        Claim("Training makes the judge better than the untrained one",
              f"{v1:.3f} against {paper.figure2bc['zero_shot'].auroc:.2f}",
              differs(ends="− untrained")),
        Claim(f"The judge exceeds AUROC {v1:.2f} on unseen reasoners (v1)", f"{v1:.3f}",
              reaches(v1), brief=True),
        Claim(f"It exceeds {v2:.2f} without shared questions (v2)", f"{v2:.3f}", reaches(v2)),
        Claim("It tells pairs of one question apart", UNASKED, within, brief=True),
        Claim("Focal loss with oversampling beats plain training",
              f"{both:.3f} against {plain:.3f} (words)",
              differs(ends="focal + oversampling − plain")),
        Claim("Reasoning words cut better than tokens", f"{both:.3f} against {token_both:.3f}",
              differs(ends="focal + oversampling: words − tokens")),
        Claim("Knowing the test questions explains v1's lead over v2", f"{v1:.3f} against {v2:.3f}",
              knowing),
        Claim("A prefix of middle length is best (tokens)",
              f"{peak} tokens {by_tokens[peak]:.3f}, {max(by_tokens)} tokens "
              f"{by_tokens[max(by_tokens)]:.3f}", shortest),
        Claim("Over 80 % of the generated tokens are saved (512 traces)",
              f"{saving[0]:.1f} to {saving[1]:.1f} % (v2)", saved, brief=True),
        Claim("At equal generated tokens it beats a plain vote",
              UNASKED, control("DeepPrune", "same tokens"), brief=True),
        Claim("The same with the judge's own tokens counted",
              UNASKED, control("DeepPrune", "same tokens net"), brief=True),
        Claim("The same with a judge that reads each prefix once (ours)", UNASKED, counted_once),
        Claim("A higher τ keeps more different answers (pass@k, lowest to highest τ)",
              f"AIME25: {aime[min(aime)].clustering[1]:.1f} to "
              f"{aime[max(aime)].clustering[1]:.1f} %", diverse, brief=True),
    )  # fmt: skip


def of_itself(paper: Reference) -> list[tuple[str, ...]]:
    """Return what the paper's own numbers say of its claims, as rows of the table."""
    worst = min(
        accuracy - methods["cons@512"][benchmark][1]
        for methods in paper.table2.values()
        for benchmark, (_, accuracy) in methods["DeepPrune"].items()
    )
    in_table, in_figure = paper.table1["tokens"]["both"]["average"][0], paper.figure4["tokens"][500]
    facts = (
        ("Accuracy stays within 3 points", "within 3 points",
         f"the worst cell loses {-worst:.1f} points", worst >= -3),
        ("Figure 4 and Table 1 agree at 500 tokens", f"{in_table:.3f} (Table 1)",
         f"{in_figure:.3f} (Figure 4)", abs(in_figure - in_table) < 0.002),
    )  # fmt: skip
    shown = "`make findings`, data/paper_reference.yaml"
    return [
        (
            claim,
            theirs,
            f"its own numbers: {found}",
            NOTHING,
            "agrees" if holds else "disagrees",
            shown,
        )
        for claim, theirs, found, holds in facts
    ]


def findings(runs: list[RunTables]) -> Table:
    """Return every claim beside what each run says of it, a line a run and verdict."""
    rows = of_itself(load_reference())
    for claim in claims(load_reference()):
        found = [(run, claim.check(run)) for run in runs]
        for run, every in found:
            for verdict in dict.fromkeys(one.verdict for one in every):
                mine = [one for one in every if one.verdict == verdict]
                nums = dict.fromkeys(one.num for one in mine)
                num = next(iter(nums)) if len(nums) == 1 else f"of {len(mine)} reasoners"
                rows.append(
                    (claim.text, claim.paper, "; ".join(one.ours for one in mine), num,
                     told(run, verdict), f"`{run.name}`, {mine[0].table}.csv")
                )  # fmt: skip
        if not any(every for _, every in found):
            rows.append((claim.text, claim.paper, NOTHING, NOTHING, OPEN, NOTHING))
    return Table(
        "findings", "What the paper claims, and what our runs say.",
        ("claim", "paper", "ours", "N", "verdict", "shown by"), tuple(rows),
    )  # fmt: skip


def told(run: RunTables, verdict: str) -> str:
    """Return a verdict in the words that fit the run."""
    return OWN_WORLD.get(verdict, verdict) if run.is_made_up else verdict


def brief(runs: list[RunTables]) -> str:
    """Return the main claims beside what some runs say of them, a line a claim, as Markdown."""
    rows = []
    for claim in (one for one in claims(load_reference()) if one.brief):
        cells = [cell for run in runs for cell in in_short(run, claim.check(run))]
        rows.append((claim.text, claim.paper, *cells))
    columns = [cell for run in runs for cell in (f"`{run.name}`", "verdict")]
    return Table(
        "brief", "What the paper claims, and what came out here.", ("claim", "paper", *columns),
        tuple(rows),
    ).to_markdown()  # fmt: skip


def own_claims(run: RunTables) -> Table:
    """Return the main claims that a run says something of, a line a claim."""
    rows = [
        (claim.text, claim.paper, *in_short(run, found))
        for claim in claims(load_reference())
        if claim.brief and (found := claim.check(run))
    ]
    return Table(
        "claims", "What the paper claims, and what came out here.",
        ("claim", "paper", "ours", "verdict"), tuple(rows),
    )  # fmt: skip


def in_short(run: RunTables, found: list[Evidence]) -> tuple[str, str]:
    """Return our number, or the range of several, and the verdict; of how many, if they differ."""
    if not found:
        return NOTHING, NOTHING
    cells = [cell for one in found for cell in one.cells]
    ours = "; ".join(one.ours for one in found)
    if cells:
        values = sorted((cell.partition(" ")[0] for cell in cells), key=float)
        shown = cells[0] if len(cells) == 1 else f"{values[0]} to {values[-1]}"
        ours = f"{shown}{found[0].unit}"
    verdicts = [told(run, one.verdict) for one in found]
    holds = told(run, CONFIRMED)
    if len(set(verdicts)) == 1:
        return ours, verdicts[0]
    return ours, f"{holds} for {verdicts.count(holds)} of {len(found)}"


OWN_WORLD = {CONFIRMED: "so in our world", REFUTED: "not so in our world"}

ABOUT = """# Findings

Each line is one claim of the paper on one of our runs. *Holds here*: our whole 95 % interval \
agrees with the claim. *Fails here*: our whole interval disagrees. *Not decidable*: the interval \
holds both, or no reader in that run can tell what the claim is about. `make findings` writes this \
file from the committed tables.

Read the verdicts with their setting in mind. `small` is a real model of 1.5 billion parameters on \
school arithmetic; `real` means public answers of larger models, with a judge of 135 million \
parameters; `mini` is a world of our own making, which shows what the method does and decides \
nothing about language models. None is the paper's setting: 512 long thinking traces and a judge \
of four billion parameters.

"""


def main(arguments: list[str] | None = None) -> None:
    """Write the findings of the committed runs."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.reporting.findings", description=main.__doc__
    )
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        default=[Path("figures") / name for name in ("small", "real", "mini")],
    )
    parser.add_argument("--out", type=Path, default=Path("docs/findings.md"))
    parser.add_argument(
        "--of", type=Path, metavar="RUN", help="only this run's, printed and kept for its report"
    )
    parser.add_argument(
        "--name", default="", help="the run's profile, if its folder is not named so"
    )
    options = parser.parse_args(arguments)
    if options.of:
        told = own_claims(RunTables(options.of, options.name))
        if told.rows:
            write_atomically(options.of / "headlines" / "claims.csv", told.to_csv())
        for claim, paper, ours, verdict in told.rows:
            print(f"{verdict:>19}  {claim}: {ours} (paper: {paper})")
        return
    write_atomically(options.out, rendered([RunTables(folder) for folder in options.runs]))


def rendered(runs: list[RunTables]) -> str:
    """Return the whole page."""
    return ABOUT + findings(runs).to_markdown() + "\n"


if __name__ == "__main__":
    main()
