"""`deepprune sample`: collect whole traces from a server into a trace file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepprune_core.cli import options as o
from deepprune_core.cli.opening import open_endpoint, told_in_one_line
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.sampler import SamplingJob, remove_work, sample_traces
from deepprune_core.formats.question_files import read_questions
from deepprune_core.formats.trace_files import write_parquet


def sample(
    questions: Annotated[
        Path, typer.Argument(help="JSON lines with question, and question_id and gold if known")
    ],
    out: Annotated[Path, typer.Option(help="trace file to write (Parquet)")],
    url: o.Url = None,
    n: o.N = 16,
    model: o.Model = None,
    tokenizer: o.TokenizerName = None,
    completion: o.Completion = False,
    system: o.System = o.SYSTEM,
    without: o.Without = None,
    temperature: o.Temperature = 0.6,
    top_p: o.TopP = 0.95,
    max_tokens: o.MaxTokens = 8192,
    parallel: Annotated[int, typer.Option(min=1, help="requests at once")] = 64,
    confidences: Annotated[
        bool, typer.Option("--confidences", help="keep token confidences, for DeepConf")
    ] = False,
    seed: int = 0,
    key: o.KeyName = "OPENAI_API_KEY",
) -> None:
    """Sample N whole traces of every question; a killed run goes on where it was.

    \b
      deepprune sample questions.jsonl --out traces.parquet -u http://localhost:8000/v1 -n 16
      deepprune prune traces.parquet

    Exit codes: 0 done, 2 wrong options, 3 the server failed (finished traces are kept).
    """
    urls = o.require_url(url)
    if out.exists():
        o.fail(f"{out}: is there already; move it or name another file")
    config = SamplingConfig(temperature, top_p, max_tokens=max_tokens, confidences=confidences)
    work = out.with_name(out.name + ".work")
    with told_in_one_line(f"; what is finished is kept in {work}"):
        asked = read_questions(questions)
        there = open_endpoint(
            urls, model, tokenizer, key, chat=not completion, system=system, without=without
        )
        job = SamplingJob(there.model, asked, n, config, seed, lambda question: question.text)
        traces = sample_traces(there.engine, there.engine.tokenizer, job, work, parallel=parallel)
    write_parquet(traces, out)
    remove_work(work)
    typer.echo(f"{out}: {traces.num_traces} traces of {len(asked)} questions")
