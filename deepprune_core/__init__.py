"""DeepPrune (arXiv 2510.08483): prune parallel reasoning traces that will give the same answer.

The names below can be imported from here; each is loaded at its first use, so that importing
the package costs next to nothing. Everything else is imported from its module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from deepprune_core.answers import grade
    from deepprune_core.clustering import ClusteringConfig, greedy_cluster
    from deepprune_core.focal import focal_loss
    from deepprune_core.formats.trace_files import read_traces
    from deepprune_core.judge import CausalLMJudge
    from deepprune_core.judging.inputs import JudgeInput
    from deepprune_core.judging.loading import load_judge
    from deepprune_core.live.config import OnlineConfig
    from deepprune_core.live.deepprune import DeepPrune
    from deepprune_core.live.peers import AdaptiveConsistency
    from deepprune_core.pruner import PruningConfig, replay
    from deepprune_core.traces import Question, Trace, TraceSet
    from deepprune_core.truncation import Truncation
    from deepprune_core.voting import majority

HOMES = {
    "AdaptiveConsistency": "live.peers",
    "CausalLMJudge": "judge",
    "ClusteringConfig": "clustering",
    "DeepPrune": "live.deepprune",
    "JudgeInput": "judging.inputs",
    "OnlineConfig": "live.config",
    "PruningConfig": "pruner",
    "Question": "traces",
    "Trace": "traces",
    "TraceSet": "traces",
    "Truncation": "truncation",
    "focal_loss": "focal",
    "grade": "answers",
    "greedy_cluster": "clustering",
    "load_judge": "judging.loading",
    "majority": "voting",
    "read_traces": "formats.trace_files",
    "replay": "pruner",
}

__all__ = [
    "AdaptiveConsistency",
    "CausalLMJudge",
    "ClusteringConfig",
    "DeepPrune",
    "JudgeInput",
    "OnlineConfig",
    "PruningConfig",
    "Question",
    "Trace",
    "TraceSet",
    "Truncation",
    "focal_loss",
    "grade",
    "greedy_cluster",
    "load_judge",
    "majority",
    "read_traces",
    "replay",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
