"""Sample rollouts: from a prefix its own reasoner goes on, many times, and each end is kept.

``python -m replication.make_rollouts --profile FILE`` samples what the profile's
file of rollouts lacks, one cut after the other, as the traces themselves were sampled: same
prompt, same temperature. A killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from deepprune_core.answers import extract_answer
from deepprune_core.engines.sampler import SamplingJob, remove_work, sample_traces
from deepprune_core.formats.files import whole_file
from deepprune_core.traces import Question, TraceSet
from replication.rollouts import (
    Prefixed,
    keys_of,
    prefixes_of,
    read_rollouts,
    rolled_traces,
    rollouts_settings,
)
from replication.run import Run
from replication.workflow.collect import engine_options, open_local_engine, sampling_job
from replication.workflow.profile import ROOT, load_profile


def main(arguments: list[str] | None = None) -> int:
    """Sample the rollouts of a profile that are not there yet."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.make_rollouts", description=main.__doc__,
        parents=[engine_options()],
    )  # fmt: skip
    parser.add_argument("--profile", type=Path, required=True, help="a YAML file")
    options = parser.parse_args(arguments)
    try:
        profile = load_profile(options.profile)
        roll_all(Run(profile, ROOT, ROOT), options)
    except (OSError, ValueError, ImportError) as error:
        print(f"rollouts: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def roll_all(run: Run, options: argparse.Namespace) -> None:
    """Sample every cut's rollouts that the file lacks, and add them to it cut by cut."""
    settings, plan = rollouts_settings(run), run.profile.collect
    assert plan is not None
    for name, cuts in settings.jobs.items():
        job, traces, target = plan.jobs[name], rolled_traces(run, name), ROOT / settings.file
        engine: Any = None
        try:
            for tokens in cuts:
                if keys_of(traces, tokens) <= set(read_rollouts(target)):
                    print(f"{target}: {name}, {tokens} tokens are there")
                    continue
                engine = engine or open_local_engine(plan.reasoners[job.reasoner], options)
                prefixes = prefixes_of(traces, tokens, engine.tokenizer)
                questions = traces.traces.questions
                asked = sampling_job(run.profile, plan, job, questions, engine.tokenizer)
                rolled = rolling_job(asked, prefixes, settings.continuations)
                work = target.with_name(f"{target.name}.{name}.{tokens}.work")
                ends = sample_traces(
                    engine, engine.tokenizer, rolled, work, parallel=options.parallel
                )
                add_rollouts(target, prefixes, ends)
                remove_work(work)
                print(f"{target}: {name}, {tokens} tokens, {len(prefixes)} prefixes", flush=True)
        finally:
            if engine is not None:
                engine.close()


def rolling_job(job: SamplingJob, prefixes: list[Prefixed], continuations: int) -> SamplingJob:
    """Return the job that goes on from prefixes, each under a name of its own."""
    asked: Callable[[Question], str] = job.prompt_of
    begun = {prefix.key: asked(prefix.question) + prefix.text for prefix in prefixes}
    return replace(
        job,
        questions=tuple(replace(p.question, question_id=p.key) for p in prefixes),
        num_traces=continuations,
        config=replace(job.config, confidences=False),
        prompt_of=lambda question: begun[question.question_id],
    )


def add_rollouts(target: Path, prefixes: list[Prefixed], ends: TraceSet) -> None:
    """Add the answers of prefixes' continuations to a file, whole or not at all."""
    known = pq.read_table(target).to_pylist() if target.is_file() else []
    new = [
        {
            "question_id": prefix.question.question_id, "trace": prefix.trace,
            "tokens": prefix.tokens, "prefix": prefix.digest,
            "answers": [extract_answer(prefix.text + end.text) for end in group],
            "num_tokens": sum(end.num_tokens for end in group),
        }
        for prefix, group in zip(prefixes, ends.traces, strict=True)
    ]  # fmt: skip
    with whole_file(target) as fresh:
        pq.write_table(pa.Table.from_pylist([*known, *new], SCHEMA), fresh, compression="zstd")


SCHEMA = pa.schema({
    "question_id": pa.string(), "trace": pa.int32(), "tokens": pa.int32(),
    "prefix": pa.string(), "answers": pa.list_(pa.string()), "num_tokens": pa.int32(),
})  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
