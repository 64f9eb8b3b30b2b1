"""Sample traces with any engine: resumable, one request a trace, one seed a trace."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm

from deepprune_core.answers import extract_answer
from deepprune_core.engines.base import Chunk, Engine, Request, SamplingConfig, trace_seed
from deepprune_core.engines.sync import run_async
from deepprune_core.engines.trace_log import TraceLog, sole_writer
from deepprune_core.formats.files import write_atomically
from deepprune_core.traces import Question, Trace, TraceSet
from deepprune_core.truncation import Tokenizer

LONGEST_NAME = 200  # of a file, in bytes, before its ending


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

    Every finished trace is kept in ``work``: a killed run goes on where it was, with the seeds
    it would have had. The caller removes ``work`` when the result is safe.

    Raises:
        BlockingIOError: another run works in ``work``.
        ValueError: ``work`` belongs to another job; names the keys that differ.
    """
    sample_shard(engine, tokenizer, job, work, parallel=parallel)
    return gathered(job, work)


def sample_shard(
    engine: Engine,
    tokenizer: Tokenizer,
    job: SamplingJob,
    work: Path,
    *,
    parallel: int = 128,
    shard: tuple[int, int] = (0, 1),
    known: TraceSet | None = None,
) -> None:
    """Sample what ``work`` lacks of every k-th question, from the i-th on: ``shard`` is (i, k).

    Several engines, on several machines with one folder, can so share a job. ``known``: traces
    of the same model, settings and seed, which are taken over instead of sampled again.

    Raises:
        BlockingIOError: another run works on this shard in ``work``.
        ValueError: ``work`` belongs to another job, or there is no such shard.
    """
    place, count = shard
    if not 0 <= place < count:
        raise ValueError(f"expected a shard i/k with 0 <= i < k, got {place}/{count}")
    with sole_writer(work / f".lock-{place}-of-{count}"):
        _claim(work, job)
        if known is not None:
            _take_over(work, job, known, job.questions[place::count])
        run_async(lambda: _sample(engine, tokenizer, job, work, parallel, shard))


class MissingTraces(ValueError):  # noqa: N818 - no fault: other shards have them
    """A job that is not finished: ``count`` of its traces are missing."""

    def __init__(self, work: Path, count: int) -> None:
        super().__init__(f"{work}: {count} traces are missing; run the other shards, or again")
        self.count = count


def gathered(job: SamplingJob, work: Path) -> TraceSet:
    """Return all traces of a finished job.

    Raises:
        MissingTraces: some are missing.
    """
    groups = [_kept(work, job, question) for question in job.questions]
    if lacking := len(groups) * job.num_traces - sum(map(len, groups)):
        raise MissingTraces(work, lacking)
    traces = tuple(tuple(group[i] for i in range(job.num_traces)) for group in groups)
    return TraceSet(job.model, job.questions, traces)


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
    write_atomically(path, json.dumps(mine))


def _take_over(
    work: Path, job: SamplingJob, known: TraceSet, questions: tuple[Question, ...]
) -> None:
    """Keep a smaller job's traces as the first ones of this job.

    Raises:
        ValueError: they are another model's.
    """
    if known.model != job.model:
        raise ValueError(f"{work}: expected traces of {job.model}, got {known.model}'s")
    groups = dict(zip(known.questions, known.traces, strict=True))
    for question in questions:
        kept, log = _kept(work, job, question), _log(work, question)
        for index, trace in enumerate(groups.get(question, ())[: job.num_traces]):
            if index not in kept:
                log.append(index, trace)


async def _sample(
    engine: Engine,
    tokenizer: Tokenizer,
    job: SamplingJob,
    work: Path,
    parallel: int,
    shard: tuple[int, int],
) -> None:
    gate, mine = asyncio.Semaphore(parallel), job.questions[shard[0] :: shard[1]]
    kept = [_kept(work, job, question) for question in mine]
    wanted = len(mine) * job.num_traces
    bar = tqdm(total=wanted, initial=sum(map(len, kept)), desc=job.model, unit="trace", delay=5)

    async def one(question: Question, index: int) -> None:
        async with gate:
            trace = await sample_trace(engine, tokenizer, job, question, index)
        _log(work, question).append(index, trace)
        bar.update()

    # Every question's first trace, then the second ones: by then the engine has each prompt read.
    await asyncio.gather(
        *(
            one(question, index)
            for index in range(job.num_traces)
            for question, found in zip(mine, kept, strict=True)
            if index not in found
        )
    )
    bar.close()


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
    text = chunk.text if chunk.counted is not None else None
    if text is None:
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


def _log(work: Path, question: Question) -> TraceLog:
    name = quote(question.question_id, safe=" ")
    if len(name) > LONGEST_NAME:
        digest = sha256(question.question_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name[:LONGEST_NAME]}-{digest}"
    return TraceLog(work / f"{name}.traces", question.question_id)


def _kept(work: Path, job: SamplingJob, question: Question) -> dict[int, Trace]:
    found = _log(work, question).read()
    return {index: trace for index, trace in found.items() if index < job.num_traces}


def remove_work(work: Path) -> None:
    """Remove the kept questions of a finished job."""
    shutil.rmtree(work, ignore_errors=True)
