"""A profile is data: everything that differs between a laptop, a trace file and a cluster.

Profiles are YAML files, checked on load. An unknown key is an error that names the nearest
known one. Paths are relative to the repository's root.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.peers.slim_sc import SlimConfig
from deepprune_core.pruner import PruningConfig
from deepprune_core.truncation import Truncation
from replication.workflow.collection import Collection
from replication.workflow.sections import (
    EncodeOnceSection,
    OwnStatesSection,
    RolloutsSection,
    Section,
)

ROOT = Path(__file__).parents[2]
TRACES_VARIABLE = "DEEPPRUNE_TRACES"
JUDGE_VARIABLE = "DEEPPRUNE_JUDGE"


class ProfileError(ValueError):
    """A profile that cannot be used; one line with file, key and fix."""


def model_place(name: str) -> Path | str:
    """Return a model's folder below the repository's root; what is none there is a hub name.

    Raises:
        ProfileError: it is one of those that ``make models`` fetches, and is not there yet.
    """
    if (ROOT / name).is_dir():
        return ROOT / name
    folder, _, model = name.rpartition("/")
    if folder == "build/models":
        raise ProfileError(f"{name}: no such model yet; run `make models MODELS={model}`")
    return name


class Split(Section):
    """Shares of the questions that teach and validate judges; the others test them.

    A question belongs to the same share in every file: its name decides.
    """

    train: float = Field(0.4, gt=0, lt=1)
    development: float = Field(0.1, gt=0, lt=1)


class Traces(Section):
    """Which trace files serve which artifact; ``train`` and ``leaky`` teach the judge.

    ``train``: traces of the judge's source on questions of its own. ``leaky``: the same source
    on the benchmarks' questions, to measure what knowing the question is worth. ``held_out``: the
    share of the training questions that teaches no judge and validates them, where ``development``
    is the same file as ``train``. ``reservations``: by model, why its traces are no fair sample.
    """

    redundancy: tuple[Path, ...] = Field(min_length=1)
    reservations: dict[str, str] = Field(default_factory=dict)
    unseen: tuple[Path, ...] = ()
    online: tuple[Path, ...] = ()
    train: Path | None = None
    development: Path | None = None
    leaky: Path | None = None
    split: Split | None = None
    held_out: float | None = Field(None, gt=0, lt=1)
    redundancy_per_question: int = Field(16, ge=2)
    test_per_question: int = Field(4, ge=2)
    online_per_question: int = Field(64, ge=2)


class Cuts(Section):
    """Truncation points: Table 1's two, and Figure 4's lengths.

    ``share``: cut Table 1's no later than at this share of the median trace, for files whose
    traces are much shorter than the paper's. ``pruning_by``: which of the two prunes.
    ``embedding_tokens``: lengths at which a logistic regression on embeddings stands beside
    Figure 4's judges.
    """

    share: float | None = Field(None, gt=0, lt=1)
    tokens: int = Field(500, ge=1)
    words: int = Field(25, ge=1)
    sweep_tokens: tuple[int, ...] = (300, 500, 700)
    sweep_words: tuple[int, ...] = (15, 25, 35)
    embedding_tokens: tuple[int, ...] = ()
    pruning_by: Literal["reasoning_words", "tokens"] = "reasoning_words"

    def table1(self) -> tuple[Truncation, Truncation]:
        """Return Table 1's truncations: tokens, reasoning words."""
        return Truncation("tokens", self.tokens), Truncation("reasoning_words", self.words)

    def online(self) -> Truncation:
        """Return the truncation of the online judge; reasoning words are the paper's best row."""
        by_tokens, by_words = self.table1()
        return by_tokens if self.pruning_by == "tokens" else by_words


class JudgeSection(Section):
    """The judge: ``base`` is a folder or hub name; ``adapter`` the shipped online judge.

    ``given``: instead of them, a trained judge as :func:`open_named_judge` takes it; pruning is
    replayed with it, nothing is trained.

    ``adapters`` is the folder of all shipped judges, one folder a spec; ``scores`` holds the
    online judge's scores of all stored pairs. ``autocast``: judges score in bf16;
    ``train_autocast``: they train in it. ``share_heads``: see :class:`TrainConfig`; ``packed``:
    see :class:`CausalLMJudge` (a GPU always packs); ``compiled``: `make judges` compiles long
    trainings, which takes a minute for a judge of a few layers and many for a deep one.
    ``shown_pairs``: pairs of the short training that notebook 03 shows live. ``rows``: which
    rows of Table 1 are trained. ``zero_shot_symmetric``: the untrained judge reads both orders of
    a pair, and its scores are averaged; ``zero_shot_scores`` holds them where they ship.
    ``leak_scores``: those of the twins of :mod:`replication.leak_study`. ``second``: a profile
    whose judges, on another base, stand beside Table 1 (:mod:`replication.second_base`).

    ``prunes``: which judge Tables 2 and 3 use: the trained one, the one that reads each prefix
    ``once``, a logistic regression on embeddings, or the reasoner's own states.

    ``pairs_per_question`` and ``train_pairs`` bound the training pairs; ``alpha`` and ``gamma``
    are the focal loss's, ``learning_rate`` LoRA's (``lora_rank`` null trains all weights;
    ``publish_rank``: adapters ship at this rank, see :mod:`training.compress`).
    ``sharded``: `make_judges` spreads all weights over its processes (FSDP).
    ``checkpoint_every``: steps that a kill can cost. ``micro_tokens`` bounds a training pass,
    ``batch_tokens`` a scoring pass; ``dtype`` is that of the base's weights.
    """

    given: str | None = None
    base: str | None = None
    adapter: Path | None = None
    adapters: Path | None = None
    scores: Path | None = None
    with_question: bool = True
    prompt: Literal["plain", "chat"] = "plain"
    symmetric: bool = False
    zero_shot_symmetric: bool = False
    zero_shot_scores: Path | None = None
    leak_scores: Path | None = None
    second: str | None = None
    prunes: Literal["trained", "once", "embeddings", "states"] = "trained"
    rows: tuple[Literal["plain", "focal", "oversampling", "both"], ...] = (
        "plain", "focal", "oversampling", "both",
    )  # fmt: skip
    max_tokens: int = Field(1024, ge=32)
    pairs_per_question: int = Field(2, ge=1)
    train_pairs: int = Field(500, ge=2)
    shown_pairs: int = Field(1000, ge=2)
    evaluate_every: int = Field(15, ge=1)
    checkpoint_every: int = Field(200, ge=1)
    autocast: bool = False
    train_autocast: bool = True
    share_heads: bool = False
    packed: bool = False
    compiled: bool = True
    validation_pairs: int = Field(200, ge=2)
    epochs: int = Field(1, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    lora_rank: int | None = Field(16, ge=1)
    publish_rank: int | None = Field(None, ge=1)
    sharded: bool = False
    micro_tokens: int | None = Field(None, ge=1)
    gradient_checkpointing: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    encode_once: EncodeOnceSection | None = None
    own_states: OwnStatesSection | None = None
    batch_tokens: int = Field(8192, ge=1)
    train_batch_tokens: int = Field(6144, ge=1)
    gamma: float = Field(2.0, ge=0)
    alpha: float = Field(0.5, ge=0, le=1)
    oversampling: int = Field(2, ge=1)

    @field_validator("sharded")
    @classmethod
    def _whole_weights_only(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("lora_rank") is not None:
            raise ValueError("sharding is for judges with lora_rank null")
        return value

    @property
    def work(self) -> Path:
        """Where `make judges` keeps trainings in progress: a folder for each folder of adapters."""
        kept = self.adapters or (self.own_states.heads if self.own_states else "untrained")
        return ROOT / "build" / "judges" / str(kept).replace("/", "-")


class Pruning(Section):
    """The online rule; see :class:`ClusteringConfig` and :class:`PruningConfig`.

    ``judge_cost``: price of a prompt token of the judge in generated tokens of the reasoner;
    for dense models the ratio of their parameters. ``choose_tau``: the judge prunes with the τ
    that suits it best on the development questions.
    """

    tau: float = Field(0.5, ge=0, le=1)
    choose_tau: bool = False
    taus: tuple[float, ...] = (0.75, 0.63, 0.5, 0.25)
    max_clusters: int = Field(32, ge=1)
    max_representatives: int = Field(10, ge=1)
    overflow: Literal["join_best", "keep_alone", "stop"] = "join_best"
    similarity: Literal["mean", "vote"] = "mean"
    k2: int = Field(20, ge=1)
    k3: int = Field(20, ge=1)
    orders: int = Field(20, ge=1)
    control_draws: int = Field(200, ge=1)
    judge_cost: float = Field(1.0, ge=0)

    def config(
        self, *, tau: float | None = None, finish: str = "largest_cluster", vote: str = "majority"
    ) -> PruningConfig:
        """Return the pruning configuration with this section's settings."""
        clustering = ClusteringConfig(
            self.tau if tau is None else tau,
            self.max_clusters,
            self.max_representatives,
            self.overflow,
            self.similarity,
        )
        return PruningConfig(clustering, finish, vote, self.k2, self.k3)  # type: ignore[arg-type]


class SlimSection(Section):
    """Slim-SC's settings; see :class:`deepprune_core.peers.slim_sc.SlimConfig`."""

    tau: float = Field(0.95, ge=0, le=1)
    warmup: int = Field(64, ge=0)
    interval: int = Field(32, ge=1)

    def config(self) -> SlimConfig:
        """Return the rule's configuration."""
        return SlimConfig(self.tau, self.warmup, self.interval)


class DeepConfSection(Section):
    """DeepConf; ``window`` is scaled to the length of the traces (paper: 2048)."""

    warmup: int = Field(16, ge=1)
    window: int = Field(2048, ge=1)
    low: float = Field(10, gt=0, lt=100)
    high: float = Field(90, gt=0, lt=100)
    consensus: float = Field(0.95, gt=0, le=1)


class Live(Section):
    """The run on a live engine: ``questions`` of a benchmark, ``traces`` each.

    ``ways`` of pruning: ``pause`` and ``online`` with the judge of Table 2, ``once`` with the one
    that reads each prefix once, where the profile has it.
    """

    model: Path
    benchmark: str
    questions: int = Field(10, ge=1)
    traces: int = Field(32, ge=2)
    max_tokens: int = Field(1100, ge=1)
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    ways: tuple[Literal["pause", "online", "once"], ...] = ("pause", "online", "once")


class Profile(Section):
    """One profile. ``name`` also names the folders of figures and builds."""

    name: str
    caption: str
    seed: int = 20251009
    traces: Traces
    collect: Collection | None = None
    cuts: Cuts = Cuts()
    judge: JudgeSection = JudgeSection()
    pruning: Pruning = Pruning()
    deepconf: DeepConfSection = DeepConfSection()
    slim: SlimSection | None = None
    live: Live | None = None
    rollouts: RolloutsSection | None = None
    contradictions: bool = False  # whether the world knows what two prefixes contradict
    bootstrap_draws: int = Field(1000, ge=10)
    sentence_bert: str | None = None
    tokenizer: str | None = None


def load_profile(path: Path) -> Profile:
    """Return the profile in a YAML file.

    ``${DEEPPRUNE_TRACES}`` in the file stands for the trace file given to ``make``, and
    ``${DEEPPRUNE_JUDGE}`` for the judge, which may be left out. ``parent: mini`` takes over all
    that the profile beside it says and this one does not; null takes a key away.

    Raises:
        ProfileError: no such file, not YAML, an unknown key or a value of the wrong kind.
    """
    try:
        return Profile.model_validate(_content(path))
    except ValidationError as error:
        raise ProfileError(f"{path}: {_first_fault(error)}") from None


def _content(path: Path) -> Any:
    """Return what a profile's file says, its parent's included."""
    if not path.is_file():
        known = sorted(p.stem for p in (ROOT / "replication" / "profiles").glob("*.yaml"))
        raise ProfileError(f"{path}: no such profile; there are {', '.join(known)}")
    text = path.read_text(encoding="utf-8")
    if f"${{{TRACES_VARIABLE}}}" in text:
        traces = os.environ.get(TRACES_VARIABLE, "")
        if not Path(traces).is_file():
            raise ProfileError(
                f"{path}: expected a trace file, got TRACES={traces!r}; run "
                "`make reproduce PROFILE=replay TRACES=path/to/traces.jsonl`"
            )
        text = text.replace(f"${{{TRACES_VARIABLE}}}", traces)
    text = text.replace(f"${{{JUDGE_VARIABLE}}}", os.environ.get(JUDGE_VARIABLE, ""))
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProfileError(f"{path}: not YAML ({str(error).splitlines()[0]}); mend it") from None
    if not isinstance(data, dict) or "parent" not in data:
        return data
    parent = path.with_name(f"{data.pop('parent')}.yaml")
    if parent == path:
        raise ProfileError(f"{path}: expected another profile as parent, got itself; name another")
    return _laid_over(data, _content(parent))


def _laid_over(mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Return ``theirs`` with the values of ``mine``, section by section; None takes a key away."""
    found = dict(theirs)
    for key, value in mine.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            found[key] = _laid_over(value, found[key])
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = value
    return found


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] != "extra_forbidden":
        return f"{key}: {fault['msg'].lower()}, got {fault['input']!r}; change {key}"
    section: type[BaseModel] = Profile
    for part in fault["loc"][:-1]:
        annotation = section.model_fields[str(part)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        section = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    near = difflib.get_close_matches(str(fault["loc"][-1]), section.model_fields, n=1, cutoff=0)
    return f"unknown key {key!r}; did you mean {near[0]!r}?"
