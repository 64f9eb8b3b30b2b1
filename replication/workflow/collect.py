"""Collect the traces that a profile's ``collect`` section names, or take the authors' own.

``python -m replication.workflow.collect --profile FILE`` writes one Parquet file a job. Every
finished trace is kept, so a killed run goes on where it was. ``--shard i/k`` samples every k-th
question only: several engines or machines that share the folder share a job, and whichever
finishes last writes the file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.openai import EndpointError
from deepprune_core.engines.sampler import (
    MissingTraces,
    SamplingJob,
    gathered,
    remove_work,
    sample_shard,
)
from deepprune_core.engines.sync import run_async
from deepprune_core.formats.trace_files import ReadReport, read_traces, write_parquet
from deepprune_core.traces import Question, TraceSet
from replication.miniature.benchmarks import SETS
from replication.miniature.benchmarks import questions_of as miniature_questions
from replication.workflow.benchmarks import BenchmarkError, load_benchmark
from replication.workflow.collection import Collection, Job, Reasoner
from replication.workflow.profile import ROOT, Profile, ProfileError, load_profile, model_place
from replication.workflow.questions import stored_questions
from replication.workflow.released import ReleasedError, read_released

OpenEngine = Callable[[Reasoner, argparse.Namespace], Any]


class CollectError(ValueError):
    """Traces that cannot be collected; one line with the job, the fault and the fix."""


def questions_of(job: Job, seed: int, limit: int | None = None) -> tuple[Question, ...]:
    """Return a job's questions, the first ``limit`` of what it takes of each benchmark.

    A name such as ``words:test`` is a split of the stored questions of ``data/small``; a set of
    the miniature world is drawn anew.

    Raises:
        BenchmarkError, QuestionsError: a benchmark cannot be had.
    """

    def load(name: str) -> tuple[Question, ...]:
        if name in SETS:
            return miniature_questions((name,))
        return stored_questions(name) if ":" in name else load_benchmark(name, seed=seed)

    return tuple(q for name in job.benchmarks for q in load(name)[:: job.every][:limit])


def prompt_of(plan: Collection, reasoner: Reasoner, tokenizer: Any) -> Callable[[Question], str]:
    """Return how a question becomes a prompt: its text, the instruction, the chat template.

    A model without a chat template has its prompt in the profile.
    """
    if (plain := reasoner.prompt) is not None:
        return lambda question: plain.replace("{question}", question.text)

    def prompt(question: Question) -> str:
        choice = question.benchmark in plan.choice_benchmarks
        asked = f"{question.text}\n\n{plan.choice_instruction if choice else plan.instruction}"
        found: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True,
            **reasoner.template,
        )  # fmt: skip
        return found

    return prompt


def sampling_job(
    profile: Profile, plan: Collection, job: Job, questions: Sequence[Question], tokenizer: Any
) -> SamplingJob:
    """Return what a job samples; its seeds depend on the profile's, the model and the question."""
    reasoner = plan.reasoners[job.reasoner]
    config = SamplingConfig(
        reasoner.temperature, reasoner.top_p, reasoner.top_k, reasoner.max_tokens,
        confidences=job.confidences, whole=True,
    )  # fmt: skip
    return SamplingJob(
        job.reasoner, tuple(questions), job.traces, config, profile.seed,
        prompt_of(plan, reasoner, tokenizer),
    )  # fmt: skip


def collect(
    profile: Profile, names: Sequence[str], options: argparse.Namespace, open_engine: OpenEngine
) -> None:
    """Write the files of the named jobs that are not there.

    One engine serves all jobs of one reasoner.

    Raises:
        BenchmarkError, EndpointError, OSError, ValueError: in one line, with the fix.
    """
    plan = profile.collect
    assert plan is not None
    todo = [name for name in names if not (ROOT / plan.file(name)).is_file()]
    # All benchmarks are had before any model is loaded.
    asked = {name: questions_of(plan.jobs[name], profile.seed, options.limit) for name in todo}
    for reasoner in dict.fromkeys(plan.jobs[name].reasoner for name in todo):
        engine = open_engine(plan.reasoners[reasoner], options)
        try:
            for name in (name for name in todo if plan.jobs[name].reasoner == reasoner):
                job = sampling_job(profile, plan, plan.jobs[name], asked[name], engine.tokenizer)
                known = first_traces(plan, plan.jobs[name])
                sample(job, ROOT / plan.file(name), engine, options, known)
        finally:
            if iscoroutinefunction(engine.close):  # connections close on the loop they belong to
                run_async(engine.close)
            else:
                engine.close()


def first_traces(plan: Collection, job: Job) -> TraceSet | None:
    """Return the traces that a job goes on from, if it continues another that is done."""
    if job.continues is None or not (ROOT / plan.file(job.continues)).is_file():
        return None
    return read_traces(ROOT / plan.file(job.continues))


def sample(
    job: SamplingJob,
    target: Path,
    engine: Any,
    options: argparse.Namespace,
    known: TraceSet | None = None,
) -> None:
    """Sample this run's shard of a job; write its file if nothing is missing any more.

    ``known``: traces of the same seeds, which are taken over.
    """
    work = target.with_name(target.name + ".work")
    sample_shard(
        engine, engine.tokenizer, job, work, parallel=options.parallel, shard=options.shard,
        known=known,
    )  # fmt: skip
    try:
        traces = gathered(job, work)
    except MissingTraces as error:
        print(f"{target.name}: {error.count} traces are left to other shards", flush=True)
        return
    write_parquet(traces, target)
    remove_work(work)
    print(f"{target}: {len(job.questions)} questions x {job.num_traces} traces", flush=True)


def take_released(plan: Collection, names: Sequence[str]) -> None:
    """Write the named jobs' files from the authors' data set.

    Raises:
        CollectError: it does not hold what a job needs; lists what it holds.
        ReleasedError: it cannot be read.
    """
    sets = {found.model: found for found in read_released(released_folder(plan)).traces}
    for name in names:
        job, target = plan.jobs[name], ROOT / plan.file(name)
        wanted = plan.reasoners[job.reasoner].released_as or job.reasoner
        if wanted not in sets:
            raise CollectError(
                f"{name}: no traces of {wanted!r} in {plan.released}; it has {', '.join(sets)}. "
                f"Set collect.reasoners.{job.reasoner}.released_as"
            )
        traces = replace(sets[wanted].first(job.traces), model=job.reasoner)
        write_parquet(traces, target)
        print(ReadReport("released data").line(target, traces), flush=True)


def released_folder(plan: Collection) -> Path:
    """Return where the authors' data set lies: a folder, or its copy in the hub's cache."""
    if (ROOT / plan.released).is_dir():
        return ROOT / plan.released
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(plan.released, repo_type="dataset", revision=plan.released_revision)
        )
    except (HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise CollectError(
            f"{plan.released}: cannot be had ({reason}); check the network, or name a folder in "
            "collect.released"
        ) from None


def open_server_engine(reasoner: Reasoner, options: argparse.Namespace) -> Any:
    """Return the endpoints given by --url as an engine; prompts are rendered here."""
    from transformers import AutoTokenizer

    from deepprune_core.engines.discovery import served_model
    from deepprune_core.engines.openai import EndpointSettings, open_openai

    key = os.environ.get("OPENAI_API_KEY") or None
    served = served_model(options.url[0], key, options.served_name)
    tokenizer = AutoTokenizer.from_pretrained(reasoner.model, revision=reasoner.revision)
    settings = EndpointSettings(tuple(options.url), served.model, key, False, None, token_ids=True)
    return open_openai(settings, tokenizer)


def open_local_engine(reasoner: Reasoner, options: argparse.Namespace) -> Any:
    """Return vLLM on this machine's devices (or its Ray cluster's), or plain transformers."""
    model = model_place(reasoner.model)
    if options.engine == "transformers":
        from deepprune_core.engines.transformers import open_transformers

        return open_transformers(Path(model), options.parallel)
    import torch

    from deepprune_core.engines.vllm import VllmSettings, open_vllm

    # Without a GPU a worker process would compute on one core while the engine's spins on another.
    alone = not torch.cuda.is_available()
    return open_vllm(model, VllmSettings(
        max_parallel=options.parallel, max_tokens=reasoner.max_tokens + 2048,
        tensor_parallel=options.tensor_parallel, pipeline_parallel=options.pipeline_parallel,
        data_parallel=options.data_parallel, backend=options.backend, revision=reasoner.revision,
        in_process=alone, eager=options.eager or alone, memory_gib=8 if alone else 2,
    ))  # fmt: skip


def shard_of(text: str) -> tuple[int, int]:
    """Return (i, k) of ``i/k``, i from 0."""
    place, _, count = text.partition("/")
    if not (place.isdecimal() and count.isdecimal() and int(place) < int(count)):
        raise argparse.ArgumentTypeError(f"expected i/k with 0 <= i < k, got {text!r}")
    return int(place), int(count)


def engine_options() -> argparse.ArgumentParser:
    """Return the options of :func:`open_local_engine`, a parent of parsers."""
    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    add("--engine", choices=("vllm", "transformers"), default="vllm", help="without --url")
    add("--parallel", type=int, default=256, help="traces at once")
    add("--tensor-parallel", type=int, default=1, help="GPUs that share each layer")
    add("--pipeline-parallel", type=int, default=1, help="groups of GPUs that share the layers")
    add("--data-parallel", type=int, default=1, help="copies of the model")
    add("--backend", choices=("mp", "ray"), help="how vLLM starts its workers")
    add("--eager", action="store_true", help="no CUDA graphs: starts faster, runs slower")
    return parser


def options_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.collect", description=main.__doc__,
        parents=[engine_options()], formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Two machines with one folder:  --shard 0/2  and  --shard 1/2\n"
        "Two servers that run already:  --url http://a:8000/v1 --url http://b:8000/v1\n"
        "Eight GPUs of one machine:     --tensor-parallel 4 --data-parallel 2\n"
        "A Ray cluster:                 --tensor-parallel 8 --pipeline-parallel 2 --backend ray",
    )  # fmt: skip
    add = parser.add_argument
    add("jobs", nargs="*", help="which jobs (default: all)")
    add("--profile", type=Path, required=True, help="a YAML file with a section collect")
    add("--list", action="store_true", help="name the jobs and stop")
    add("--shard", type=shard_of, default=(0, 1), metavar="I/K", help="every K-th question")
    add("--url", action="append", help="address of an OpenAI-compatible server; may be repeated")
    add("--served-name", help="the model's name there (default: the first it serves)")
    add("--limit", type=int, help="only the first questions of each benchmark, to try it out")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Collect the traces of a profile's jobs that are not there yet."""
    parser = options_parser()
    options = parser.parse_args(arguments)
    try:
        profile = load_profile(options.profile)
        if profile.collect is None:
            raise CollectError(f"{options.profile}: has no section collect, nothing to do")
        jobs = profile.collect.jobs
        if unknown := sorted(set(options.jobs) - set(jobs)):
            raise CollectError(f"no job {', '.join(unknown)}; there are {', '.join(jobs)}")
        if options.list:
            print("\n".join(jobs))
            return 0
        names = options.jobs or list(jobs)
        if profile.collect.source == "released":
            take_released(profile.collect, names)
        else:
            opened = open_server_engine if options.url else open_local_engine
            collect(profile, names, options, opened)
    except (BenchmarkError, CollectError, ReleasedError, ProfileError, EndpointError, ImportError,
            OSError, ValueError) as error:  # fmt: skip
        print(f"collect: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
