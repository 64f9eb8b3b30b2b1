"""Leakage, crossed: test questions seen in training or not × reasoner seen or not.

Whether a judge gains from knowing the tests' questions is asked of twins that differ in nothing
else: as many questions of each kind, the same number of pairs each, plain training, and several
seeds. The seen reasoner's test pairs are of traces that no twin has read.

Twins are trained by `make judges ARGS=leak-study`, and only their scores are kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from deepprune_core.answers import grade_all
from deepprune_core.formats.files import whole_file
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.metrics import Interval, auroc, bootstrap
from deepprune_core.pairs import all_pairs
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Tokenizer
from replication.judges import (
    base_model,
    best_device,
    dtype_of,
    judge_prompt,
    labelled,
    train_config,
    validation_data,
)
from replication.run import GradedTraces, Run, part_of
from replication.skill import mean_over_reasoners, within_values
from replication.text import number
from replication.workflow.profile import ROOT

NAME = "leak-study"
SEEDS = 3
TAUGHT = 12  # traces of a question that teach; the seen reasoner's others test
KINDS = ("unseen", "seen")


@dataclass(frozen=True)
class Twin:
    """One training: whether its questions are those of the tests, and its seed."""

    questions: str
    seed: int


TWINS = tuple(Twin(kind, seed) for seed in range(SEEDS) for kind in KINDS)
Scored = dict[Twin, list[np.ndarray]]
"""Every twin's scores of the test sets, in their order."""


def taught(run: Run, twin: Twin) -> GradedTraces:
    """Return the traces that teach a twin: as many questions, traces and pairs for each.

    The questions that are not the tests' are drawn anew for every seed, and as many of them are
    multiple choice as of the tests'.
    """
    leaky, own = run.teaching("leaky"), run.teaching("train")
    if twin.questions == "seen":
        return _first(leaky, TAUGHT)
    rng, chosen = run.rng(NAME, twin.seed), []
    for choice in (False, True):
        wanted = sum(_is_choice(q.text) == choice for q in leaky.traces.questions)
        there = [i for i, q in enumerate(own.traces.questions) if _is_choice(q.text) == choice]
        chosen += rng.permutation(there)[:wanted].tolist()
    return _first(part_of(own, np.array(sorted(chosen))), TAUGHT)


def _is_choice(text: str) -> bool:
    return "Options:" in text


def _first(traces: GradedTraces, n: int, start: int = 0) -> GradedTraces:
    groups = tuple(group[start : start + n] for group in traces.traces.traces)
    some = replace(traces.traces, traces=groups)
    graded = grade_all(some)
    return GradedTraces(some, graded, all_pairs(graded), traces.files)


def test_sets(run: Run, tokenizer: Tokenizer) -> list[JudgeData]:
    """Return the seen reasoner's pairs on the tests' questions, then each unseen reasoner's."""
    seen = _first(run.teaching("leaky"), TAUGHT, start=TAUGHT)
    return [
        judge_data(one.traces, one.pairs, run.cuts.online(), tokenizer)
        for one in (seen, *run.unseen)
    ]


def digest_of(data: Sequence[JudgeData]) -> str:
    """Return a digest of what is asked, which stored scores belong to."""
    asked = [(p.question, p.first, p.second) for one in data for p in one.inputs]
    return sha256(repr(asked).encode()).hexdigest()


def train_twins(run: Run, tokenizer: Tokenizer, path: Path, work: Path) -> Scored:
    """Return all twins' scores; those that the file lacks are trained, scored and kept there."""
    from deepprune_core.judging.loading import load_causal_lm, load_judge
    from deepprune_core.training.loop import train_judge

    settings, data = run.profile.judge, test_sets(run, tokenizer)
    found = read_scores(path, data)
    for twin in (one for one in TWINS if one not in found):
        source = taught(run, twin)
        pairs = judge_data(source.traces, source.pairs, run.cuts.online(), tokenizer)
        config = train_config(run, focal=False, seed=twin.seed)
        model, words = load_causal_lm(base_model(run), dtype=dtype_of(settings.dtype))
        out = work / f"{NAME}-{twin.questions}-{twin.seed}"
        train_judge(
            config, model, words, prompt=judge_prompt(run, words), train=labelled(pairs),
            validation=labelled(validation_data(run, run.cuts.online(), tokenizer)), out=out,
            compiled=settings.compiled,
        )  # fmt: skip
        judge = load_judge(
            base_model(run),
            out,
            device=best_device(),
            batch_tokens=settings.batch_tokens,
            autocast=settings.autocast,
            packed=settings.packed,
        )
        found[twin] = [judge.score(one.inputs) for one in data]
        write_scores(path, data, found)
        print(f"{NAME}: {twin.questions} questions, seed {twin.seed} is done", flush=True)
    return found


def write_scores(path: Path, data: Sequence[JudgeData], found: Scored) -> None:
    """Write every twin's scores, whole or not at all."""
    rows = [
        {"questions": twin.questions, "seed": twin.seed,
         "scores": np.concatenate(scores).astype(np.float32).tolist()}
        for twin, scores in found.items()
    ]  # fmt: skip
    schema = pa.schema(
        {"questions": pa.string(), "seed": pa.int32(), "scores": pa.list_(pa.float32())},
        metadata={NAME: json.dumps({"asked": digest_of(data)})},
    )
    with whole_file(path) as fresh:
        pq.write_table(pa.Table.from_pylist(rows, schema), fresh, compression="zstd")


def read_scores(path: Path, data: Sequence[JudgeData]) -> Scored:
    """Return the scores in a file; none where there is no file.

    Raises:
        ValueError: they are of other pairs.
    """
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    told = json.loads((table.schema.metadata or {}).get(NAME.encode(), b"{}"))
    if told.get("asked") != digest_of(data):
        raise ValueError(f"{path}: scores of other pairs; delete it, and run `make judges`")
    ends = np.cumsum([len(one) for one in data])[:-1]
    return {
        Twin(row["questions"], row["seed"]): np.split(np.array(row["scores"]), ends)
        for row in table.to_pylist()
    }


def crossed_table(run: Run, data: Sequence[JudgeData], found: Scored) -> Table:
    """Return AUROC by what was seen, with what knowing the questions adds, paired by question."""
    rows: list[tuple[str, ...]] = []
    for reasoner, parts in (("seen", [0]), ("unseen", list(range(1, len(data))))):
        by_kind = {kind: [found[Twin(kind, seed)] for seed in range(SEEDS)] for kind in KINDS}
        for kind, scores in by_kind.items():
            rows.append(
                (reasoner, kind, number(_pooled(run, data, parts, scores)),
                 number(_within(run, data, parts, scores)), _each(data, parts, scores))
            )  # fmt: skip
        rows.append(
            (reasoner, "seen − unseen", *(
                number(ask(run, data, parts, by_kind["seen"], by_kind["unseen"]))
                for ask in (_pooled, _within)
            ), _each(data, parts, by_kind["seen"], by_kind["unseen"]))
        )  # fmt: skip
    counts = [len(one) for one in data]
    pairs = len(taught(run, TWINS[0]).pairs), len(taught(run, TWINS[1]).pairs)
    return Table(
        "leak_crossed",
        f"What knowing the tests' questions adds, everything else equal. {run.profile.caption}",
        ("reasoner", "questions", "AUROC", "within question", "AUROC by seed"),
        tuple(rows),
        (f"N: {counts[0]} pairs of the reasoner that taught (traces that did not teach), "
         f"{sum(counts[1:])} of others, {len(np.unique(data[1].groups))} questions.",
         f"Plain training on {pairs[0]} pairs of questions that are not the tests', or on "
         f"{pairs[1]} of the tests' own; {SEEDS} seeds each, which draw weights, order and the "
         "other questions. Differences are paired by question; intervals from resampling "
         "questions, seeds averaged: they do not hold the luck of a training, which the last "
         "column shows."),
    )  # fmt: skip


Seeds = Sequence[Sequence[np.ndarray]]
"""For every seed, the scores of every test set."""


def _pooled(
    run: Run, data: Sequence[JudgeData], parts: Sequence[int], one: Seeds, other: Seeds = ()
) -> Interval:
    """Return the AUROC, a mean over reasoners and seeds; minus that of ``other`` if given."""
    signed = [
        (sign / len(seeds), [scores[p] for p in parts])
        for sign, seeds in ((1, one), (-1, other)) for scores in seeds
    ]  # fmt: skip
    return mean_over_reasoners(run, [data[p] for p in parts], signed, NAME)


def _within(
    run: Run, data: Sequence[JudgeData], parts: Sequence[int], one: Seeds, other: Seeds = ()
) -> Interval:
    """Return the same of the AUROC within questions; a question counts once a reasoner."""
    rows, groups = [], []
    for p in parts:
        mean = sum(
            sign / len(seeds) * within_values(data[p], scores[p])
            for sign, seeds in ((1, one), (-1, other)) for scores in seeds
        )  # fmt: skip
        known = np.flatnonzero(~np.isnan(mean))
        rows.append(np.asarray(mean)[known])
        groups.append(known)
    values = np.concatenate(rows)
    return bootstrap(
        lambda drawn: float(values[drawn].mean()), np.concatenate(groups),
        rng=run.rng("bootstrap", NAME, "within"), draws=run.profile.bootstrap_draws,
    )  # fmt: skip


def _each(
    data: Sequence[JudgeData], parts: Sequence[int], seeds: Seeds, other: Seeds | None = None
) -> str:
    """Return every seed's mean AUROC; minus that of ``other`` if given."""

    def means(some: Seeds) -> np.ndarray:
        return np.array([
            np.mean([auroc(data[p].same, scores[p]) for p in parts]) for scores in some
        ])  # fmt: skip

    values = means(seeds) - (0 if other is None else means(other))
    return ", ".join(f"{value:.3f}" for value in values)


def crossed_leakage(run: Run, tokenizer: Tokenizer) -> Table | str:
    """Write and return the crossed table, or say why there is none."""
    kept = run.profile.judge.leak_scores
    if kept is None:
        return "Left out: the profile keeps no scores of a crossed leakage test."
    data = test_sets(run, tokenizer)
    found = read_scores(ROOT / kept, data)
    if set(found) != set(TWINS):
        return f"{kept}: {len(found)} of {len(TWINS)} twins; `make judges ARGS={NAME}` trains them."
    return write_table(crossed_table(run, data, found), run.out)
