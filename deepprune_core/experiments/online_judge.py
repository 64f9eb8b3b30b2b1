"""Train the online judge and score what it will be asked.

``python -m deepprune_core.experiments.online_judge --profile FILE`` does both.

The online judge is notebook 03's best row, trained on more pairs. It is shipped with the scores
of all pairs that Tables 2 and 3 may ask about, so that a laptop need not compute them.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from deepprune_core.experiments.judges import JudgeSpec, open_judge, train
from deepprune_core.experiments.online import stored_questions
from deepprune_core.experiments.run import Run
from deepprune_core.experiments.untrained import judge_tokenizer
from deepprune_core.workflow.profile import ROOT, load_profile


def main(arguments: list[str] | None = None) -> None:
    """Train the online judge if it is not there, then score what is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m deepprune_core.experiments.online_judge", description=main.__doc__,
        epilog="Both steps go on where a killed run stopped.",
    )  # fmt: skip
    parser.add_argument("--profile", type=Path, required=True, help="a YAML file")
    parser.add_argument("--pairs", type=int, default=4000, help="training pairs (default 4000)")
    parser.add_argument("--only-train", action="store_true", help="leave the scores out")
    options = parser.parse_args(arguments)
    profile = load_profile(options.profile)
    adapter, scores = profile.judge.adapter, profile.judge.scores
    if adapter is None or scores is None:
        parser.error(f"{options.profile}: expected judge.adapter and judge.scores; add them")
    work = ROOT / "build" / "online-judge"
    run = Run(profile, work, work)
    spec = JudgeSpec(run.cuts.table1()[1], focal=True, oversampling=True)
    if not (ROOT / adapter / "manifest.json").is_file():
        result = train(run, spec, out=work / "judge", pairs=options.pairs)
        publish(work / "judge", ROOT / adapter)
        print(f"{adapter}: validation AUROC {result.validation_auroc:.3f}")
    if not options.only_train:
        score(run, ROOT / adapter, ROOT / scores)


def publish(made: Path, target: Path) -> None:
    """Copy a trained adapter to where it ships, readable by all, without the base's tokenizer."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_model.safetensors", "adapter_config.json", "history.csv",
                 "manifest.json"):  # fmt: skip
        shutil.copyfile(made / name, target / name)


def score(run: Run, adapter: Path, scores: Path) -> None:
    """Score all pairs of the online traces that ``scores`` lacks, saving as it goes."""
    judge, tokenizer = open_judge(run, adapter, scores), judge_tokenizer(run)
    cut = run.cuts.table1()[1]
    for traces in tqdm(run.online, desc="scores", unit="reasoner"):
        for i in tqdm(range(len(traces.traces.questions)), desc=traces.model, leave=False):
            one = traces.traces.questions[i].question_id
            part = replace(traces, traces=traces.traces.select([one]), graded=(traces.graded[i],))
            stored_questions(part, judge, cut, tokenizer)
        judge.save()
    print(f"{scores}: {judge.num_misses} scores computed, {judge.num_hits} were there")


if __name__ == "__main__":
    main()
