"""One run of the notebooks: the profile, the folders, the random streams and the trace sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from deepprune_core.answers import GradedQuestion, grade_all
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.pairs import PairSet, all_pairs
from deepprune_core.reporting.tables import write_atomically
from deepprune_core.traces import TraceSet
from deepprune_core.truncation import count_reasoning_words
from deepprune_core.workflow.profile import ROOT, Cuts, Profile, load_profile


@dataclass(frozen=True)
class GradedTraces:
    """A trace set with its answer classes and all its gradable pairs."""

    traces: TraceSet
    graded: tuple[GradedQuestion, ...]
    pairs: PairSet

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
    return GradedTraces(traces, graded, all_pairs(graded))


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

    def load(self, paths: Sequence[Path], limit: int | None) -> tuple[GradedTraces, ...]:
        """Return the graded traces of several files; paths are relative to the repository."""
        return tuple(graded_traces(ROOT / path, limit) for path in paths)

    @cached_property
    def redundancy(self) -> tuple[GradedTraces, ...]:
        """The reasoners of Figure 2a."""
        traces = self.profile.traces
        return self.load(traces.redundancy, traces.redundancy_per_question)

    @cached_property
    def unseen(self) -> tuple[GradedTraces, ...]:
        """The reasoners that test the judge, with a few traces a question."""
        traces = self.profile.traces
        return self.load(traces.unseen, traces.test_per_question)

    @cached_property
    def online(self) -> tuple[GradedTraces, ...]:
        """The reasoners of Table 2."""
        traces = self.profile.traces
        return self.load(traces.online, traces.online_per_question)

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

    def missing(self, notebook: str) -> str | None:
        """Return why the profile cannot give a notebook's artifact, or None if it can."""
        profile = self.profile
        if notebook in ("03", "04", "07"):
            if profile.judge.base is None or profile.traces.train is None:
                return "the profile names no base model for the judge, or no training traces"
            if profile.traces.development is None or profile.traces.leaky is None:
                return "the profile names no development traces, or none for the leakage test"
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
