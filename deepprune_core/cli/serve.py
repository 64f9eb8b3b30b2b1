"""`deepprune serve`: an OpenAI-compatible server in front of another one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from deepprune_core.cli import options as o
from deepprune_core.cli.opening import open_endpoint, open_reader, told_in_one_line
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.live.config import OnlineConfig


def serve(
    upstream: Annotated[
        list[str], typer.Option("--upstream", "-u", help="endpoint to sample from, up to /v1")
    ],
    n: o.N = 64,
    cut: o.Cut = "25 words",
    judge: o.JudgeName = "embedding",
    judge_base: o.JudgeBase = None,
    tau: o.Tau = None,
    paper: o.Paper = False,
    rule: o.Rule = None,
    clusters: o.Clusters = 32,
    representatives: o.Representatives = None,
    k: o.Finishers = 20,
    model: o.Model = None,
    tokenizer: o.TokenizerName = None,
    without: o.Without = None,
    temperature: o.Temperature = 0.6,
    top_p: o.TopP = 0.95,
    max_tokens: o.MaxTokens = 8192,
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8100,
    key: o.KeyName = "OPENAI_API_KEY",
    server_key: Annotated[
        str, typer.Option(help="environment variable with the key that clients must send")
    ] = "DEEPPRUNE_SERVER_KEY",
    at_once: Annotated[int, typer.Option(min=1, help="questions in work at most")] = 64,
    body_seconds: Annotated[float, typer.Option(min=0.1, help="to send a request")] = 30.0,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="let everybody ask who reaches the address")
    ] = False,
) -> None:
    """Serve chat completions that are pruned votes; watch them at http://HOST:PORT/.

    \b
      deepprune serve --upstream http://localhost:8000/v1 --n 64 --judge ./judge
      curl http://localhost:8100/v1/chat/completions -H "Content-Type: application/json" \\
        -d '{"model": "any", "messages": [{"role": "user", "content": "What is 6 times 7?"}]}'

    Every answer carries the account in the field "deepprune". An address that other machines
    reach needs a key (then watch at /?key=KEY), or --without-key. Exit codes: 2 wrong options, 3
    the upstream does not answer.
    """
    try:
        import uvicorn

        from deepprune_core.serving.app import PruningServer, build_app
        from deepprune_core.serving.limits import Limits, is_loopback
    except ImportError as error:
        o.fail(f"{error}; pip install 'deepprune-replicated[serve]'")
    limits = Limits(os.environ.get(server_key) or None, body_seconds=body_seconds, at_once=at_once)
    if limits.key is None and not is_loopback(host) and not without_key:
        o.fail(f"{host} is reached by others; set {server_key} to a key, or add --without-key")
    sampling = SamplingConfig(temperature, top_p, max_tokens=max_tokens)
    config, pruning = OnlineConfig(o.parse_cut(cut), sampling=sampling), None
    if rule != o.ADAPTIVE_RULE:
        pruning = o.parse_rule(rule, clusters, representatives, k, paper=paper)
    with told_in_one_line():
        there = open_endpoint(o.require_url(upstream), model, tokenizer, key, without=without)
        reader, config = open_reader(config, pruning, judge, judge_base, tau)
    server = PruningServer(there.engine, reader, config, there.model, n, limits)
    # Addresses may hold the key, so a server with one keeps no log of them.
    uvicorn.run(
        build_app(server, there.engine.close), host=host, port=port, log_level="info",
        access_log=limits.key is None,
    )  # fmt: skip
