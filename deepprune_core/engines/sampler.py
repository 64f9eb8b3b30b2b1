"""Sample traces with any engine: resumable, one request a trace, one seed a trace."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from deepprune_core.answers import extract_answer
from deepprune_core.engines.base import Chunk, Engine, Request, SamplingConfig, trace_seed
from deepprune_core.formats.trace_files import read_parquet, write_parquet
from deepprune_core.traces import Question, Trace, TraceSet
from deepprune_core.truncation import Tokenizer


@dataclass(frozen=True)
class SamplingJob:
    """``num_traces`` traces of every question from one model, whose prompt is ``prompt_of``."""

    model: str
    questions: tuple[Question, ...]
    num_traces: int
    config: SamplingConfig
    seed: int
    prompt_of: Callable[[Question], str]


def sample_traces(
    engine: Engine, tokenizer: Tokenizer, job: SamplingJob, work: Path, *, parallel: int = 128
) -> TraceSet:
    """Return the traces of a job, in order of questions and trace indices.

    Every finished question is kept in ``work``: a killed run goes on where it was, with the
    seeds it would have had. The caller removes ``work`` when the result is safe.

    Raises:
        ValueError: ``work`` belongs to another job; names the keys that differ.
    """
    _claim(work, job)
    return asyncio.run(_sample(engine, tokenizer, job, work, parallel))


def _claim(work: Path, job: SamplingJob) -> None:
    """Refuse to continue another job's work."""
    mine = {
        "model": job.model,
        "num_traces": job.num_traces,
        "config": asdict(job.config),
        "seed": job.seed,
        "questions": [q.question_id for q in job.questions],
    }
    path = work / "job.json"
    if path.exists():
        theirs = json.loads(path.read_text())
        differing = sorted(key for key in mine if mine[key] != theirs.get(key))
        if differing:
            raise ValueError(f"{work}: holds another job's work ({differing} differ); remove it")
    work.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(mine))
    fresh.replace(path)


async def _sample(
    engine: Engine, tokenizer: Tokenizer, job: SamplingJob, work: Path, parallel: int
) -> TraceSet:
    gate = asyncio.Semaphore(parallel)
    groups: list[tuple[Trace, ...] | None] = [_kept(work, q) for q in job.questions]
    todo = [i for i, group in enumerate(groups) if group is None]
    bar = tqdm(total=len(todo) * job.num_traces, desc=job.model, unit="trace", delay=5)

    async def one(question: Question, index: int) -> Trace:
        async with gate:
            trace = await sample_trace(engine, tokenizer, job, question, index)
        bar.update()
        return trace

    async def group(position: int) -> None:
        question = job.questions[position]
        traces = tuple(
            await asyncio.gather(*(one(question, index) for index in range(job.num_traces)))
        )
        path = _shard(work, question)
        write_parquet(TraceSet(job.model, (question,), (traces,)), path)
        groups[position] = traces

    await asyncio.gather(*(group(position) for position in todo))
    bar.close()
    return TraceSet(job.model, job.questions, tuple(g for g in groups if g is not None))


async def sample_trace(
    engine: Engine, tokenizer: Tokenizer, job: SamplingJob, question: Question, index: int
) -> Trace:
    """Return one whole trace."""
    request = Request(
        f"{job.model}/{question.question_id}/{index}",
        job.prompt_of(question),
        trace_seed(job.seed, f"{job.model}/{question.question_id}", index),
    )
    chunk = await last_chunk(engine.stream(request, job.config))
    if chunk is None:
        raise RuntimeError(f"{request.request_id}: the engine returned nothing; check its log")
    text = tokenizer.decode(list(chunk.token_ids), skip_special_tokens=True)
    return Trace(
        question_id=question.question_id,
        trace_id=str(index),
        text=text,
        num_tokens=chunk.num_tokens,
        answer=extract_answer(text),
        finish_reason=chunk.finish_reason,
        confidences=chunk.confidences,
    )


async def last_chunk(chunks: AsyncIterator[Chunk]) -> Chunk | None:
    """Return a stream's last chunk, or None if it gave none."""
    last = None
    async for chunk in chunks:
        last = chunk
    return last


def _shard(work: Path, question: Question) -> Path:
    return work / f"{question.question_id.replace('/', '_')}.parquet"


def _kept(work: Path, question: Question) -> tuple[Trace, ...] | None:
    path = _shard(work, question)
    return read_parquet(path).traces[0] if path.exists() else None


def remove_work(work: Path) -> None:
    """Remove the kept questions of a finished job."""
    shutil.rmtree(work, ignore_errors=True)
