"""What a profile will cost before anything runs: ``python -m replication.workflow.plan``.

Tokens follow from questions, traces and the mean lengths in the profile. GPU-hours rest on two
rates that the command line can set: tokens a second in sampling, and operations a second in the
judge's passes. They are assumptions, and printed as such.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepprune_core.reporting.tables import NOTHING, Table
from replication.workflow.benchmarks import BENCHMARKS
from replication.workflow.collection import Collection, Reasoner
from replication.workflow.profile import ROOT, Profile, ProfileError, load_profile

BYTES_A_PARAMETER = 2  # bf16
TEXT_BYTES_A_TOKEN = 1.5  # compressed
QUESTION_TOKENS = 200  # question and template in a judge's prompt
WORD_CUT_TOKENS = 25  # a reasoning word stands in a part of a sentence of this length
OVERHEAD = 1.25  # memory beside the weights: caches, activations
JUDGE_BILLIONS = 4.0


@dataclass(frozen=True)
class Rates:
    """``sampling``: tokens a second on one GPU of a model with a billion (active) parameters;
    ``tflops``: what a GPU does in the judge's passes; ``gpu_gib``: a GPU's memory.
    """

    sampling: float
    tflops: float
    gpu_gib: float

    def sampling_hours(self, tokens: float, reasoner: Reasoner) -> float:
        """Return the GPU-hours of sampling ``tokens``."""
        return tokens * (reasoner.active or reasoner.billions) / self.sampling / 3600

    def judge_hours(self, tokens: float, passes: int) -> float:
        """Return the GPU-hours of reading ``tokens``; a forward pass counts 1, training 3."""
        return tokens * passes * 2 * JUDGE_BILLIONS * 1e9 / (self.tflops * 1e12) / 3600

    def gpus(self, billions: float) -> int:
        """Return how many GPUs hold a model."""
        need = BYTES_A_PARAMETER * billions * 1e9 * OVERHEAD / 2**30
        return max(1, math.ceil(need / (0.9 * self.gpu_gib)))


def num_questions(names: Sequence[str], every: int = 1) -> int:
    """Return how many questions some benchmarks have, or every so-manyth of them."""
    return sum(math.ceil(BENCHMARKS[name].count / every) for name in names)


def sampling_table(plan: Collection, rates: Rates) -> Table:
    """Return what each job samples and what it needs."""
    rows, tokens_of, hours_of, disk_of = [], 0.0, 0.0, 0.0
    for name, job in plan.jobs.items():
        reasoner = plan.reasoners[job.reasoner]
        traces = num_questions(job.benchmarks, job.every) * job.traces
        tokens = traces * reasoner.mean_tokens
        hours = rates.sampling_hours(tokens, reasoner)
        disk = tokens * (TEXT_BYTES_A_TOKEN + 2 * job.confidences) / 1e9
        there = "done" if (ROOT / plan.file(name)).is_file() else ""
        rows.append((name, f"{traces:,}", f"{tokens / 1e6:,.0f}", f"{hours:,.0f}",
                     f"{disk:.1f}", str(rates.gpus(reasoner.billions)), there))  # fmt: skip
        tokens_of, hours_of, disk_of = tokens_of + tokens, hours_of + hours, disk_of + disk
    rows.append(("all", NOTHING, f"{tokens_of / 1e6:,.0f}", f"{hours_of:,.0f}", f"{disk_of:.1f}",
                 NOTHING, ""))  # fmt: skip
    return Table(
        "sampling", "Traces to sample.",
        ("job", "traces", "million tokens", "GPU-hours", "disk (GB)", "GPUs that hold the model",
         "state"), tuple(rows),
        (f"Assumed: {rates.sampling:,.0f} tokens a second on one GPU for a model with a billion "
         f"active parameters, {rates.gpu_gib:.0f} GiB a GPU.",),
    )  # fmt: skip


def downloads_table(plan: Collection) -> Table:
    """Return what is fetched from the hub, in GB."""
    used = {job.reasoner for job in plan.jobs.values()}
    sizes = {
        r.model: BYTES_A_PARAMETER * r.billions for n, r in plan.reasoners.items() if n in used
    }
    sizes["the judge's base"] = BYTES_A_PARAMETER * JUDGE_BILLIONS
    rows = [(name, f"{size:.0f}") for name, size in sizes.items()]
    rows.append(("all", f"{sum(sizes.values()):.0f}"))
    return Table("downloads", "Weights to fetch, in bf16.", ("model", "GB"), tuple(rows))


def pairs(n: int) -> int:
    """Return the number of pairs of n traces."""
    return n * (n - 1) // 2


def judge_table(profile: Profile, plan: Collection, rates: Rates) -> Table:
    """Return what the judges read, per notebook that needs it."""
    section, traces = profile.judge, profile.traces
    prefix = max(profile.cuts.tokens, profile.cuts.words * WORD_CUT_TOKENS)
    whole, tail = 2 * prefix + QUESTION_TOKENS, prefix + QUESTION_TOKENS / 4
    jobs = {str(plan.file(name)): job for name, job in plan.jobs.items()}

    def read(files: Sequence[Path], limit: int, of: Callable[[int], int] = pairs) -> int:
        known = [jobs[str(f)] for f in files if str(f) in jobs]
        return sum(num_questions(j.benchmarks, j.every) * of(min(limit, j.traces)) for j in known)

    tests = read(traces.unseen, traces.test_per_question)
    online = read(traces.online, traces.online_per_question)
    judges = (
        2 * len(section.rows) + 1 + len(profile.cuts.sweep_tokens + profile.cuts.sweep_words) - 2
    )
    train = section.train_pairs * section.epochs * judges
    rows = [
        ("02", "zero-shot judge", tests, tests * tail, 1),
        ("03", f"training {judges} judges", train, train * whole, 3),
        ("04, 07", f"testing {judges} judges", tests * judges, tests * judges * tail, 1),
        ("05, 06", "all pairs of the traces to prune", online, online * tail, 1),
    ]
    if section.encode_once is not None:
        once = read(traces.online, section.encode_once.traces, of=int)
        rows.append(("08", "the same, each prefix once", once, once * (whole - prefix), 1))
    return Table(
        "judge", "What the judges read.",
        ("notebook", "what", "pairs (08: prefixes)", "million tokens", "GPU-hours"),
        tuple(
            (number, what, f"{count:,}", f"{tokens / 1e6:,.0f}",
             f"{rates.judge_hours(tokens, passes):,.0f}")
            for number, what, count, tokens, passes in rows
        ),
        (f"Assumed: {JUDGE_BILLIONS:.0f} billion parameters, {rates.tflops:.0f} TFLOP/s; the first "
         "prefix and the question are read once for all their pairs in scoring.",),
    )  # fmt: skip


def gpus_seen() -> list[tuple[str, float]]:
    """Return (name, GiB) of the GPUs of this machine."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return [(one.name, one.total_memory / 2**30) for one in found]


def main(arguments: list[str] | None = None) -> int:
    """Print what a profile will download, sample, train and score."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.plan", description=main.__doc__
    )
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--tokens-per-second", type=float, default=40_000, metavar="T",
                        help="of a model with a billion active parameters on one GPU")  # fmt: skip
    parser.add_argument("--tflops", type=float, default=300, help="of a GPU in the judge's passes")
    parser.add_argument(
        "--gpu-gib", type=float, help="memory of a GPU (default: those seen, or 80)"
    )
    options = parser.parse_args(arguments)
    try:
        profile = load_profile(options.profile)
    except ProfileError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    if profile.collect is None:
        print(f"{options.profile}: samples nothing; `make reproduce` takes minutes on a laptop")
        return 0
    seen = gpus_seen()
    memory = options.gpu_gib or (min(gib for _, gib in seen) if seen else 80.0)
    if min(options.tokens_per_second, options.tflops, memory) <= 0:
        parser.error("expected rates and memory above 0")
    rates = Rates(options.tokens_per_second, options.tflops, memory)
    found = ", ".join(f"{name} ({gib:.0f} GiB)" for name, gib in seen) or "none"
    print(f"GPUs seen: {found}\n")
    for table in (
        downloads_table(profile.collect),
        sampling_table(profile.collect, rates),
        judge_table(profile, profile.collect, rates),
    ):
        print(table.to_markdown() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
