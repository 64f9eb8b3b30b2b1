"""`deepprune sample`: collect whole traces from a server into a trace file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepprune_core.cli import options as o
from deepprune_core.cli.ask import SYSTEM
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.discovery import served_model, tokenizer_of
from deepprune_core.engines.openai import EndpointError, EndpointSettings, open_openai
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
    completion: Annotated[
        bool, typer.Option("--completion", help="send questions as they are, without a chat")
    ] = False,
    system: Annotated[str, typer.Option(help="system message of the chat")] = SYSTEM,
    temperature: Annotated[float, typer.Option(min=0)] = 0.6,
    top_p: Annotated[float, typer.Option(min=0.01, max=1)] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1)] = 8192,
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

    Exit codes: 0 done, 2 wrong options, 3 the server failed (finished questions are kept).
    """
    if not url:
        o.fail("no endpoint; give --url http://localhost:8000/v1 or set DEEPPRUNE_URL")
    if out.exists():
        o.fail(f"{out}: is there already; move it or name another file")
    secret = o.api_key(key)
    config = SamplingConfig(temperature, top_p, max_tokens=max_tokens, confidences=confidences)
    work = out.with_name(out.name + ".work")
    try:
        asked = read_questions(questions)
        served = served_model(url[0], secret, model)
        words, own = tokenizer_of(tokenizer, served)
        settings = EndpointSettings(
            tuple(url), served.model, secret, not completion, system or None, token_ids=own
        )
        engine = open_openai(settings, words)
        job = SamplingJob(served.model, asked, n, config, seed, lambda question: question.text)
        traces = sample_traces(engine, words, job, work, parallel=parallel)
    except EndpointError as error:
        o.fail(f"{error}; what is finished is kept in {work}", o.ENGINE_FAULT)
    except (OSError, ValueError) as error:
        o.fail(str(error))
    write_parquet(traces, out)
    remove_work(work)
    typer.echo(f"{out}: {traces.num_traces} traces of {len(asked)} questions")
