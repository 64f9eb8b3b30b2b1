"""Options that several commands share, and how a user's words become settings."""

from __future__ import annotations

import re
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.pruner import PruningConfig
from deepprune_core.reporting.visible import visible
from deepprune_core.truncation import Truncation

ADAPTIVE_RULE = "adaptive"  # prunes nothing
SYSTEM = "Think step by step. End with the final answer inside \\boxed{}."
ENGINE_FAULT, PARTIAL, BAD_INPUT = 3, 4, 2

N = Annotated[int, typer.Option("--n", "-n", min=1, help="traces a question")]
Cut = Annotated[
    str, typer.Option(help="where a trace is judged: '25 words' (reasoning words) or '500 tokens'")
]
JudgeName = Annotated[
    str,
    typer.Option(
        "--judge",
        help="embedding, numbers, same_text, the folder of a trained judge, or the address of a "
        "vLLM server that serves one, such as http://localhost:8001/v1#name",
    ),
]
JudgeBase = Annotated[
    str | None, typer.Option(help="folder or hub name of the model that a judge's adapter is for")
]
Tau = Annotated[
    float | None,
    typer.Option(
        min=0, max=1,
        help="similarity above which a trace joins a cluster (default: what suits the judge, "
        "told by a trained one, 0.95 for embedding, else 0.5)",
    ),
]  # fmt: skip
Paper = Annotated[
    bool,
    typer.Option(
        "--paper/--fast",
        help="the paper's rule (largest, ten representatives), or one that asks the judge little "
        "(weighted, one representative); --rule and --representatives go before",
    ),
]
Rule = Annotated[
    str | None,
    typer.Option(
        help="who finishes and how they vote: weighted (one trace a cluster, with the weight of "
        "its cluster), survivors (one trace a cluster, one vote each), largest (K2 traces of the "
        "largest cluster, as in the paper); or adaptive: no trace is pruned and no judge asked, "
        "but traces start one after another until the vote is sure (adaptive consistency)"
    ),
]
Clusters = Annotated[
    int,
    typer.Option(min=1, help="K: clusters at most; a trace that matches none counts for itself"),
]
Representatives = Annotated[
    int | None, typer.Option(min=1, help="K1: members of a cluster that a trace is compared with")
]
Finishers = Annotated[int, typer.Option(min=1, help="K2, K3: traces that finish under 'largest'")]
Url = Annotated[
    list[str] | None,
    typer.Option(
        "--url", "-u", envvar="DEEPPRUNE_URL",
        help="OpenAI-compatible endpoint, up to /v1; give several to share the load",
    ),
]  # fmt: skip
Model = Annotated[str | None, typer.Option(help="model to ask for (default: the one served)")]
TokenizerName = Annotated[
    str | None, typer.Option("--tokenizer", help="folder or hub name of the model's tokenizer")
]
KeyName = Annotated[
    str, typer.Option(help="environment variable that holds the API key (the key is never shown)")
]
Without = Annotated[
    list[str] | None,
    typer.Option(
        help="a field that the server refuses, such as seed or return_token_ids; may be repeated "
        "(max_tokens is then sent as max_completion_tokens)"
    ),
]
Completion = Annotated[
    bool, typer.Option("--completion", help="send questions as they are, without a chat")
]
System = Annotated[str, typer.Option(help="system message of the chat")]
Temperature = Annotated[float, typer.Option(min=0)]
TopP = Annotated[float, typer.Option(min=0.01, max=1)]
MaxTokens = Annotated[int, typer.Option(min=1, help="tokens a trace at most")]
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]

err = Console(stderr=True)


def require_url(urls: list[str] | None) -> list[str]:
    """Return the endpoints that a user named; leave if there is none."""
    if not urls:
        fail("no endpoint; give --url http://localhost:8000/v1 or set DEEPPRUNE_URL")
    return [url if "://" in url else f"http://{url}" for url in urls]


def fail(message: str, code: int = BAD_INPUT) -> NoReturn:
    """Print one line on standard error and leave with a code that scripts can tell apart."""
    told = f"deepprune: {visible(message)}"
    err.print(told, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def parse_cut(text: str) -> Truncation:
    """Return the truncation that a user wrote: ``25 words``, ``500 tokens``."""
    match = re.fullmatch(r"\s*(\d+)\s*(words?|tokens?)\s*", text)
    if not match or int(match[1]) < 1:
        fail(f"--cut {text!r}: expected such as '25 words' or '500 tokens'")
    kind = "tokens" if match[2].startswith("token") else "reasoning_words"
    return Truncation(kind, int(match[1]))  # type: ignore[arg-type]


def parse_rule(
    name: str | None, clusters: int, representatives: int | None, k: int, *, paper: bool = False
) -> PruningConfig:
    """Return the pruning settings that a user chose; the threshold is set later.

    ``paper``: what is not named is the paper's choice, and not the one that asks least.

    One representative is a cluster's first trace; several are drawn by chance, as in the paper.
    A trace that matches none of K clusters counts for itself: it is never added to another's vote.
    """
    name = name or ("largest" if paper else "weighted")
    representatives = representatives or (ClusteringConfig().max_representatives if paper else 1)
    clustering = ClusteringConfig(
        max_clusters=clusters, max_representatives=representatives, overflow="keep_alone",
        choice="first" if representatives == 1 else "random",
    )  # fmt: skip
    rules = {
        "weighted": PruningConfig(clustering, "survivors", "cluster_weighted", k, k),
        "survivors": PruningConfig(clustering, "survivors", "majority", k, k),
        "largest": PruningConfig(clustering, "largest_cluster", "majority", k, k),
    }
    if name not in rules:
        fail(f"--rule {name!r}: expected one of {', '.join((*rules, ADAPTIVE_RULE))}")
    return rules[name]
