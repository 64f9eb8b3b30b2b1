"""How a question is asked online, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.pruner import PruningConfig
from deepprune_core.truncation import Truncation


@dataclass(frozen=True)
class OnlineConfig:
    """How traces are cut, clustered, finished and voted on while they are being generated.

    ``mode``: a trace that reaches the truncation point goes on while it waits for its verdict
    (``online``; what it generates meanwhile is charged), or stops there and, if it may finish,
    goes on from its own tokens (``pause``). ``stop_when_decided``: end the whole question as
    soon as no trace that is still out can change the vote. ``seed`` splits by question, trace and
    purpose. By default a trace that matches none of K clusters counts for itself, so a judge that
    finds nothing the same changes no vote.
    """

    truncation: Truncation = field(default_factory=lambda: Truncation("reasoning_words", 25))
    pruning: PruningConfig = field(
        default_factory=lambda: PruningConfig(
            ClusteringConfig(overflow="keep_alone"), finish="survivors", vote="cluster_weighted"
        )
    )
    sampling: SamplingConfig = field(
        default_factory=lambda: SamplingConfig(temperature=0.6, top_p=0.95, max_tokens=8192)
    )
    mode: Literal["online", "pause"] = "online"
    stop_when_decided: bool = True
    seed: int = 0
