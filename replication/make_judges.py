"""Train the judges that ship with a profile, and score what Tables 2 and 3 will ask.

``python -m replication.make_judges --profile FILE`` trains every judge that is
not in the profile's folder of adapters, the online judge first. A killed run goes on where it
was; each judge is published as it is done. Under ``accelerate launch`` all processes train
together, and the first one does the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from safetensors.torch import load_file, save_file

from deepprune_core.engines.trace_log import sole_writer
from deepprune_core.formats.files import MANIFEST, write_atomically
from deepprune_core.judging.encode_once import HEAD
from deepprune_core.judging.pair_scores import file_digest
from deepprune_core.training.compress import compress_adapter
from deepprune_core.training.sharding import part
from deepprune_core.training.state import HISTORY
from deepprune_core.truncation import Truncation
from replication.encode_once import (
    at_scale,
    choose_once_tau,
    has_once,
    once_folder,
    once_name,
    once_scores,
    once_settings,
    open_once,
    prunes_at_scale,
    train_once,
)
from replication.judges import (
    SCORES,
    JudgeSpec,
    online_spec,
    open_judge,
    shipped_folder,
    test_data,
    train,
)
from replication.leak_study import NAME as LEAK_STUDY
from replication.leak_study import train_twins
from replication.online import stored_questions
from replication.own_states import NAME as OWN_STATES
from replication.own_states import (
    head_file,
    open_states,
    states_judges,
    states_settings,
    texts_in,
    train_heads,
)
from replication.run import GradedTraces, Run
from replication.stored_scores import open_scores, score_everything
from replication.training import all_specs
from replication.untrained import judge_tokenizer, zero_shot
from replication.workflow.profile import ROOT, ProfileError, load_profile

WEIGHTS = "adapter_model.safetensors"
STATES = "own-states"
PARTS = (WEIGHTS, "adapter_config.json", HISTORY, MANIFEST)
MORE = (HEAD,)  # what some judges have besides


def main(arguments: list[str] | None = None) -> int:
    """Train the judges that are missing, then score the pairs of the online traces."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.make_judges", description=main.__doc__,
        epilog="Both steps go on where a killed run stopped.",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", help="which judges (default: all)")
    parser.add_argument("--profile", type=Path, required=True, help="a YAML file")
    parser.add_argument("--list", action="store_true", help="name the judges and stop")
    parser.add_argument("--no-scores", action="store_true", help="only train")
    options = parser.parse_args(arguments)
    try:
        profile = load_profile(options.profile)
    except ProfileError as error:
        print(f"judges: {error}", file=sys.stderr)
        return 1
    adapters, scores = profile.judge.adapters, profile.judge.scores
    work = profile.judge.work
    run = Run(profile, work, work)

    def wanted(name: str) -> bool:
        return not options.names or name in options.names

    with_study = profile.judge.leak_scores is not None and wanted(LEAK_STUDY)
    with_states = profile.judge.own_states is not None and wanted(STATES)
    others = {once_name(run), *([STATES] if with_states else []),
              *([LEAK_STUDY] if with_study else [])}  # fmt: skip
    named = [name for name in options.names if name not in others]
    with_pairwise = adapters is not None and scores is not None
    if not with_pairwise and (named or not (with_states or with_study)):
        parser.error(f"{options.profile}: expected judge.adapters and judge.scores; add them")
    specs = chosen(parser, run, named) if with_pairwise and (named or not options.names) else ()
    with_once = with_pairwise and profile.judge.encode_once is not None and wanted(once_name(run))
    if options.list:
        more = [once_name(run)] * with_once + [STATES] * with_states + [LEAK_STUDY] * with_study
        print("\n".join([*(spec.name for spec in specs), *more]))
        return 0
    try:
        if not is_first_process():
            train_together(run, specs, leads=False)
            return 0
        with sole_writer(work / ".lock"):
            if specs or with_once:
                make_and_score(run, specs, with_once=with_once, with_scores=not options.no_scores)
            if with_states:
                score_states(run)
            if with_study and (kept := profile.judge.leak_scores) is not None:
                train_twins(run, judge_tokenizer(run), ROOT / kept, work / "judges")
    except (OSError, ValueError) as error:
        print(f"judges: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def make_and_score(
    run: Run, specs: Sequence[JudgeSpec], *, with_once: bool, with_scores: bool
) -> None:
    """Train what is missing of some judges, then score what notebooks 02, 05 and 07 ask."""
    train_together(run, specs, leads=True)
    for spec in specs:
        score_tests(run, spec, published(run, spec))
    if with_once:
        make_once(run)
    if not with_scores:
        return
    if has_once(run):
        score_once(run)
    if not specs:
        return
    if run.profile.judge.zero_shot_scores is not None:
        zero_shot(run, judge_tokenizer(run))
    scores = run.profile.judge.scores
    if run.profile.judge.prunes == "trained" and scores is not None:  # else nobody asks for them
        score(run, published(run, online_spec(run)), ROOT / scores)


def is_first_process() -> bool:
    """Return whether this process is alone or the first of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def published(run: Run, spec: JudgeSpec) -> Path:
    """Return where a judge is published; the profile says where."""
    folder = shipped_folder(run, spec)
    assert folder is not None
    return folder


def train_together(run: Run, specs: Sequence[JudgeSpec], *, leads: bool) -> None:
    """Train what is missing, before anything is scored: processes that only help may then leave.

    ``leads``: whether this process publishes what comes of it.
    """
    for spec in specs:
        make(run, spec, leads=leads)
    part()


def make_once(run: Run) -> None:
    """Train the judge that reads each prefix once, unless it is there, and publish it."""
    target = once_folder(run)
    if has_once(run):
        print(f"{target.name}: already there")
        return
    made = run.work / "judges" / target.name
    result = train_once(run, made)
    publish(made, target)
    manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    manifest["tau"] = choose_once_tau(run, open_once(run))  # `--judge FOLDER` takes it from there
    write_atomically(target / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    print(f"{target.name}: validation AUROC {result.validation_auroc:.3f}", flush=True)


def score_states(run: Run) -> None:
    """Train the judges from the reasoner's own states and score the test pairs, cut by cut.

    At the cut that prunes, the pairs that Table 2 replays are scored as well. A cut whose scores
    are there is not read again.
    """
    tokenizer, opened = judge_tokenizer(run), cache(lambda: open_states(run))
    cuts = [Truncation("tokens", k) for k in states_settings(run).tokens]
    if not all(head_file(run, cut).is_file() for cut in cuts):
        train_heads(run, cuts, opened(), tokenizer)
    tests = {cut: test_data(run, cut, tokenizer) for cut in cuts}
    judges = {cut: states_judges(run, cut, opened) for cut in cuts}
    pairs = {cut: [pair for data in tests[cut] for pair in data.inputs] for cut in cuts}
    new = [
        pair for cut in cuts for pair in pairs[cut]
        if not all(judge.knows([pair]) for judge in judges[cut].values())
    ]  # fmt: skip
    if new:
        opened().vectors(texts_in(new))
    for cut in cuts:
        for name, judge in judges[cut].items():
            judge.score(pairs[cut])
            if name == OWN_STATES and cut == run.cuts.online():
                for traces in run.online:
                    stored_questions(traces, judge, cut, tokenizer)
            judge.save()
            print(f"{name}, {cut.label}: {judge.num_misses} scores computed", flush=True)


def score_once(run: Run) -> None:
    """Score all pairs of the tests, and of as many traces as notebook 08 replays."""
    asked, scores = at_scale(run) if prunes_at_scale(run) else run, once_settings(run).scores
    if scores is not None:
        once_scores(asked, open_once(run), (*asked.online, *unmet(run)), ROOT / scores)


def unmet(run: Run) -> list[GradedTraces]:
    """Return the reasoners that only test judges."""
    return [one for one in run.unseen if one.model not in {other.model for other in run.online}]


def chosen(parser: argparse.ArgumentParser, run: Run, names: list[str]) -> tuple[JudgeSpec, ...]:
    """Return the named judges, or all of them with the online judge first."""
    first = online_spec(run)
    specs = {spec.name: spec for spec in (first, *all_specs(run))}
    if unknown := sorted(set(names) - set(specs)):
        parser.error(f"no judge {', '.join(unknown)}; there are {', '.join(specs)}")
    return tuple(specs[name] for name in names or specs)


def make(run: Run, spec: JudgeSpec, *, leads: bool) -> None:
    """Train one judge, unless it is there; the process that leads publishes it."""
    settings, target = run.profile.judge, published(run, spec)
    there = (target / MANIFEST).is_file()
    if there and leads:
        print(f"{spec.name}: already there")
    if there:
        return
    made = run.work / "judges" / spec.name
    result = train(run, spec, out=made, compiled=settings.compiled, sharded=settings.sharded)
    if leads:
        publish(made, target, settings.publish_rank)
        print(f"{spec.name}: validation AUROC {result.validation_auroc:.3f}", flush=True)


def score_tests(run: Run, spec: JudgeSpec, adapter: Path) -> None:
    """Score the test pairs of Table 1 and keep the scores beside the adapter."""
    # A few thousand pairs do not pay for compiling.
    _score(run, adapter, spec.truncation, run.unseen, adapter / SCORES, compiled=False)


def publish(made: Path, target: Path, rank: int | None = None) -> None:
    """Copy a trained adapter to where it ships, in bf16, whole or not at all, no tokenizer.

    ``rank``: at that rank, if it is lower than the trained one. A judge whose weights were all
    trained is copied as it is.
    """
    fresh = target.with_name(target.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    if not (made / WEIGHTS).is_file():
        shutil.copytree(made, fresh)
        fresh.rename(target)
        return
    fresh.mkdir(parents=True)
    for name in PARTS:
        shutil.copyfile(made / name, fresh / name)
    more = [name for name in MORE if (made / name).is_file()]
    for name in more:
        shutil.copyfile(made / name, fresh / name)
    kept = 1.0 if rank is None else compress_adapter(fresh, rank)
    manifest = json.loads((fresh / MANIFEST).read_text(encoding="utf-8"))
    manifest["sha256"] = {}
    for weights in (fresh / name for name in (WEIGHTS, *more)):
        save_file({k: v.bfloat16() for k, v in load_file(weights).items()}, weights)
        weights.chmod(0o644)  # safetensors writes 0600
        manifest["sha256"][weights.name] = file_digest(weights)
    if kept < 1:
        manifest["published"] = {"lora_rank": rank, "kept_of_update": round(kept, 4)}
    write_atomically(fresh / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    fresh.rename(target)


def score(run: Run, adapter: Path, scores: Path) -> None:
    """Score all pairs of the online traces that ``scores`` lacks, saving as it goes."""
    compiled = run.profile.judge.compiled
    count = _score(run, adapter, run.cuts.online(), run.online, scores, compiled=compiled)
    print(f"{scores}: {count} scores computed")


def _score(
    run: Run,
    adapter: Path,
    cut: Truncation,
    traces: Sequence[GradedTraces],
    path: Path,
    *,
    compiled: bool,
) -> int:
    judge = open_judge(
        run, adapter, run.work / "unused", autocast=run.profile.judge.autocast, compiled=compiled
    )
    stored, model = open_scores(path, judge, traces), judge.factory()
    tokenizer = judge_tokenizer(run)
    return sum(score_everything(model, stored, one, cut, tokenizer, path) for one in traces)


if __name__ == "__main__":
    sys.exit(main())
