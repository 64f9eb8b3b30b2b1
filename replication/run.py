"""One run of the notebooks: the profile, the folders, the random streams and the trace sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from deepprune_core.answers import GradedQuestion, grade_all
from deepprune_core.formats.files import write_atomically
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.pairs import PairSet, all_pairs
from deepprune_core.traces import TraceSet
from deepprune_core.truncation import count_reasoning_words
from replication.workflow.profile import ROOT, Cuts, Profile, Split, load_profile

Share = Literal["train", "development", "test"]


@dataclass(frozen=True)
class GradedTraces:
    """A trace set with its answer classes, all its gradable pairs, and the files it is from."""

    traces: TraceSet
    graded: tuple[GradedQuestion, ...]
    pairs: PairSet
    files: tuple[Path, ...]

    @property
    def model(self) -> str:
        return self.traces.model

    @property
    def benchmark_of(self) -> np.ndarray:
        """The benchmark of each question: (q,) str."""
        return np.array([q.benchmark for q in self.traces.questions])


@cache
def graded_traces(path: Path, traces_per_question: int | None = None) -> GradedTraces:
    """Return the traces in a file (the first ``traces_per_question`` of each) with their pairs."""
    traces = read_traces(path)
    if traces_per_question is not None:
        traces = traces.first(traces_per_question)
    graded = grade_all(traces)
    return GradedTraces(traces, graded, all_pairs(graded), (path,))


def part_of(traces: GradedTraces, questions: np.ndarray) -> GradedTraces:
    """Return the graded traces of some questions (indices, ascending)."""
    graded = tuple(traces.graded[i] for i in questions)
    names = [traces.traces.questions[i].question_id for i in questions]
    return GradedTraces(traces.traces.select(names), graded, all_pairs(graded), traces.files)


def joined(parts: Sequence[GradedTraces]) -> tuple[GradedTraces, ...]:
    """Return one set a model: the files of one reasoner follow each other, question by question."""
    by_model: dict[str, list[GradedTraces]] = {}
    for part in parts:
        by_model.setdefault(part.model, []).append(part)
    return tuple(same[0] if len(same) == 1 else _one_set(same) for same in by_model.values())


def _one_set(parts: Sequence[GradedTraces]) -> GradedTraces:
    traces = replace(
        parts[0].traces,
        questions=tuple(q for part in parts for q in part.traces.questions),
        traces=tuple(group for part in parts for group in part.traces.traces),
        counts_are_words=any(part.traces.counts_are_words for part in parts),
    )
    graded = tuple(one for part in parts for one in part.graded)
    files = tuple(file for part in parts for file in part.files)
    return GradedTraces(traces, graded, all_pairs(graded), files)


def share_of(question_id: str, split: Split) -> Share:
    """Return which share of a split a question belongs to; its name decides, evenly."""
    at = int.from_bytes(sha256(question_id.encode()).digest()[:8], "little") / 2**64
    if at < split.train:
        return "train"
    return "development" if at < split.train + split.development else "test"


@dataclass(frozen=True)
class Run:
    """A profile and where its results go: ``out`` for what is shown, ``work`` for what is kept."""

    profile: Profile
    out: Path
    work: Path

    def rng(self, *component: str | int) -> np.random.Generator:
        """Return the random stream of one component: the profile's seed split by name."""
        word = int.from_bytes(sha256(repr(component).encode()).digest()[:4], "little")
        return np.random.default_rng([self.profile.seed, word])

    def load(
        self, paths: Sequence[Path], limit: int | None, share: Share | None = None
    ) -> tuple[GradedTraces, ...]:
        """Return the graded traces of several files, one set a reasoner.

        ``paths`` are relative to the repository. ``share``: only the questions of that share,
        where the profile splits them.
        """
        split = self.profile.traces.split
        found = [graded_traces(ROOT / path, limit) for path in paths]
        if split is None or share is None:
            return joined(found)
        return joined([
            part_of(
                one,
                np.flatnonzero(
                    [share_of(q.question_id, split) == share for q in one.traces.questions]
                ),
            )
            for one in found
        ])  # fmt: skip

    def teaching(self, source: Literal["train", "leaky", "development"]) -> GradedTraces:
        """Return the traces that teach judges (or leak), or those that validate them.

        Raises:
            ValueError: the profile names none.
        """
        path = getattr(self.profile.traces, source)
        if path is None:
            raise ValueError(f"{self.profile.name}: expected traces.{source}, got none")
        share: Share = "test" if source == "leaky" else source
        found = self.load([path], None, share)[0]
        held_out = self.profile.traces.held_out
        if held_out is None or source == "leaky":
            return found
        known = Split(train=1 - held_out, development=held_out * (1 - 1e-9))
        mine = [share_of(q.question_id, known) == source for q in found.traces.questions]
        return part_of(found, np.flatnonzero(mine))

    @cached_property
    def redundancy(self) -> tuple[GradedTraces, ...]:
        """The reasoners of Figure 2a."""
        traces = self.profile.traces
        return self.load(traces.redundancy, traces.redundancy_per_question)

    @cached_property
    def unseen(self) -> tuple[GradedTraces, ...]:
        """The reasoners that test the judge, with a few traces a question."""
        traces = self.profile.traces
        return self.load(traces.unseen, traces.test_per_question, "test")

    @cached_property
    def online(self) -> tuple[GradedTraces, ...]:
        """The reasoners of Table 2."""
        traces = self.profile.traces
        return self.load(traces.online, traces.online_per_question, "test")

    @cached_property
    def cuts(self) -> Cuts:
        """The profile's truncation points, no later than its share of the median trace."""
        cuts = self.profile.cuts
        if cuts.share is None:
            return cuts
        traces = [t for one in self.redundancy for group in one.traces.traces for t in group]
        tokens = int(cuts.share * np.median([t.num_tokens for t in traces]))
        words = int(cuts.share * np.median([count_reasoning_words(t.text) for t in traces]))
        fitted = {
            "tokens": min(cuts.tokens, max(1, tokens)),
            "words": min(cuts.words, max(1, words)),
        }
        return cuts.model_copy(update=fitted)

    @property
    def has_judges(self) -> bool:
        """Whether judges of pairs that a profile ships are there; True where it trains its own."""
        adapters = self.profile.judge.adapters
        if adapters is None:
            return True
        shipped = (ROOT / adapters).glob("*/manifest.json")
        return any(not manifest.parent.name.endswith("-once") for manifest in shipped)

    def missing(self, notebook: str) -> str | None:
        """Return why the profile cannot give a notebook's artifact, or None if it can."""
        profile = self.profile
        if notebook in ("03", "04", "07"):
            if profile.judge.base is None or profile.traces.train is None:
                return "the profile names no base model for the judge, or no training traces"
            if profile.traces.development is None:
                return "the profile names no development traces"
            regressions = notebook == "07" and profile.cuts.embedding_tokens
            if not (self.has_judges or regressions):
                return f"no judge is trained yet; run `make judges PROFILE={profile.name}`"
        if notebook == "08" and profile.judge.encode_once is None:
            return "the profile has no judge that reads each prefix once (judge.encode_once)"
        if notebook == "08" and not any((ROOT / str(profile.judge.adapters)).glob("*-once")):
            return f"that judge is not trained yet; run `make judges PROFILE={profile.name}`"
        if notebook in ("02", "04", "07") and not profile.traces.unseen:
            return "the profile names no traces to test judges on"
        trainable = profile.judge.base is None or profile.judge.adapter is not None
        if notebook in ("05", "06") and not (profile.traces.online and trainable):
            return "the profile names no traces to prune, or no trained judge"
        return None

    def note(self, number: str, *sentences: str) -> str:
        """Keep a notebook's closing sentences for the report; return them as one paragraph."""
        text = " ".join(sentences)
        write_atomically(self.out / "notes" / f"{number}.md", text + "\n")
        return text

    def headline(self, number: str, *rows: tuple[str, str, str]) -> None:
        """Keep a notebook's (finding, paper, ours) rows for the report's first screen."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomically(self.out / "headlines" / f"{number}.jsonl", text)


class LeftOut(Exception):  # noqa: N818 - no error: the run goes on without this notebook
    """A notebook whose artifact the profile cannot give; the report says why."""


def open_run(profile: str, out: str, notebook: str) -> Run:
    """Return the run that notebook NN works in; ``profile`` and ``out`` are paths as strings.

    Raises:
        LeftOut: the profile lacks what this notebook needs; the reason is kept as its note.
    """
    path, folder = Path(profile), Path(out)
    loaded = load_profile(path if path.is_absolute() else ROOT / path)
    folder = folder if folder.is_absolute() else ROOT / folder
    folder.mkdir(parents=True, exist_ok=True)
    work = ROOT / "build" / folder.name / "work"
    work.mkdir(parents=True, exist_ok=True)
    run = Run(loaded, folder, work)
    about = f"Profile {loaded.name}, seed {loaded.seed}. {loaded.caption}"
    write_atomically(folder / "headlines" / "about.txt", about + "\n")
    if reason := run.missing(notebook):
        run.note(notebook, f"Left out: {reason}.")
        raise LeftOut(f"{reason}; see {path}")
    return run
