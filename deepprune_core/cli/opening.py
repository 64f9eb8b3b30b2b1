"""What commands open before they work: an endpoint and a judge, or one line that says why not."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from deepprune_core.cli import options as o
from deepprune_core.engines.discovery import served_model, tokenizer_of
from deepprune_core.engines.named_judges import open_named_judge
from deepprune_core.engines.openai import EndpointError, EndpointSettings, OpenAIEngine, open_openai
from deepprune_core.judging.inputs import Judge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.pruner import PruningConfig


@dataclass(frozen=True)
class Endpoint:
    """``engine``, the ``model`` it asks for, and whether its tokens are the model's own."""

    engine: OpenAIEngine
    model: str
    own_tokens: bool


@contextmanager
def told_in_one_line(kept: str = "") -> Iterator[None]:
    """Turn a fault of a server or of the input into one line and its exit code.

    ``kept`` says what is safe when the server fails.
    """
    try:
        yield
    except EndpointError as error:
        o.fail(f"{error}{kept}", o.ENGINE_FAULT)
    except (OSError, ValueError) as error:
        o.fail(str(error))


def open_endpoint(
    urls: Sequence[str],
    model: str | None,
    tokenizer: str | None,
    key: str,
    *,
    chat: bool = True,
    system: str = "",
    without: Sequence[str] | None = None,
) -> Endpoint:
    """Return the engine behind ``urls``; ``key`` names the variable that holds the API key.

    ``without``: fields that the server refuses.

    Raises:
        EndpointError: nobody answers, or there is no such model.
        ValueError: an address or the tokenizer is wrong.
    """
    secret = os.environ.get(key) or None
    served = served_model(urls[0], secret, model)
    words, own = tokenizer_of(tokenizer, served)
    settings = EndpointSettings(
        tuple(urls), served.model, secret, chat, system or None, token_ids=own,
        without=tuple(without or ()),
    )  # fmt: skip
    return Endpoint(open_openai(settings, words), served.model, own)


def open_reader(
    config: OnlineConfig,
    pruning: PruningConfig | None,
    judge: str,
    base: str | None,
    tau: float | None,
    *,
    quiet: bool = False,
) -> tuple[Judge | None, OnlineConfig]:
    """Return who reads and the settings with the threshold; nobody where nothing is pruned."""
    if pruning is None:
        return None, config
    reader, threshold = open_judge(judge, base, tau, quiet=quiet)
    return reader, replace(config, pruning=pruning.with_tau(threshold))


def open_judge(
    name: str, base: str | None, tau: float | None, *, quiet: bool = False
) -> tuple[Judge, float]:
    """Return (judge, threshold); say what a judge costs in quality unless ``quiet``."""
    named = open_named_judge(name, base)
    if named.caveat and not quiet:
        o.err.print(f"note: {named.caveat}", style="yellow", highlight=False)
    return named.judge, named.tau if tau is None else tau
