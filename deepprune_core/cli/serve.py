"""`deepprune serve`: an OpenAI-compatible server in front of another one."""

from __future__ import annotations

from typing import Annotated

import typer

from deepprune_core.baselines.named_judges import open_named_judge
from deepprune_core.cli import options as o
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.discovery import served_model, tokenizer_of
from deepprune_core.engines.openai import EndpointError, EndpointSettings, open_openai
from deepprune_core.online.config import OnlineConfig
from deepprune_core.serving.app import PruningServer, build_app


def serve(
    upstream: Annotated[
        list[str], typer.Option("--upstream", "-u", help="endpoint to sample from, up to /v1")
    ],
    n: o.N = 64,
    cut: o.Cut = "25 words",
    judge: o.JudgeName = "embedding",
    judge_base: o.JudgeBase = None,
    tau: o.Tau = None,
    rule: o.Rule = "weighted",
    clusters: o.Clusters = 32,
    representatives: o.Representatives = 10,
    k: o.Finishers = 20,
    model: o.Model = None,
    tokenizer: o.TokenizerName = None,
    temperature: Annotated[float, typer.Option(min=0)] = 0.6,
    top_p: Annotated[float, typer.Option(min=0.01, max=1)] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1, help="tokens a trace at most")] = 8192,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8100,
    key: o.KeyName = "OPENAI_API_KEY",
) -> None:
    """Serve chat completions that are pruned votes; watch them at http://HOST:PORT/.

    \b
      deepprune serve --upstream http://localhost:8000/v1 --n 64 --judge ./judge
      curl http://localhost:8100/v1/chat/completions -H "Content-Type: application/json" \\
        -d '{"model": "any", "messages": [{"role": "user", "content": "What is 6 times 7?"}]}'

    Every answer carries the account in the field "deepprune". Exit codes: 2 wrong options, 3 the
    upstream does not answer.
    """
    import uvicorn

    truncation, secret = o.parse_cut(cut), o.api_key(key)
    pruning = o.parse_rule(rule, clusters, representatives, k)
    try:
        served = served_model(upstream[0], secret, model)
        words, own = tokenizer_of(tokenizer, served)
        named = open_named_judge(judge, judge_base)
        settings = EndpointSettings(tuple(upstream), served.model, secret, True, token_ids=own)
        engine = open_openai(settings, words)
    except EndpointError as error:
        o.fail(str(error), o.ENGINE_FAULT)
    except (OSError, ValueError) as error:
        o.fail(str(error))
    if named.caveat:
        o.err.print(f"note: {named.caveat}", style="yellow", highlight=False)
    config = OnlineConfig(
        truncation,
        o.with_tau(pruning, named.tau if tau is None else tau),
        SamplingConfig(temperature, top_p, max_tokens=max_tokens),
    )
    server = PruningServer(engine, named.judge, config, served.model, n)
    uvicorn.run(build_app(server, engine.close), host=host, port=port, log_level="info")
