"""Training and testing the judges of Table 1, Figure 4 and the leakage test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.formats.files import MANIFEST
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.judging.score_cache import CachedJudge, ScoreCache, folder_fingerprint
from deepprune_core.pairs import PairSet, oversample_minority, sample_per_question
from deepprune_core.truncation import Truncation
from replication.run import GradedTraces, Run
from replication.workflow.profile import ROOT, model_place

SCORES = "pairs.parquet"  # a shipped judge's scores of the test pairs
BF16_TOLERANCE = 0.05  # between two machines' bf16
# Pairs that are scored afresh where scores ship: another judge's scores would be far off, and
# their prefixes take the 0.5B some seconds.
CHECKED = 12

if TYPE_CHECKING:
    import torch

    from deepprune_core.judge import CausalLMJudge
    from deepprune_core.judging.prompts import JudgePrompt
    from deepprune_core.training.plan import TrainConfig
    from deepprune_core.training.state import HistoryRow, LabelledPairs, TrainResult


@dataclass(frozen=True)
class JudgeSpec:
    """One judge to train: what it reads, and Table 1's two switches.

    ``source`` is ``train`` (questions of its own) or ``leaky`` (the benchmarks' questions).
    """

    truncation: Truncation
    focal: bool
    oversampling: bool
    source: str = "train"

    @property
    def row(self) -> str:
        """The row's key in Table 1: plain, focal, oversampling or both."""
        keys = {(False, False): "plain", (True, False): "focal", (False, True): "oversampling"}
        return keys.get((self.focal, self.oversampling), "both")

    @property
    def name(self) -> str:
        return f"{self.truncation.k}-{self.truncation.kind}-{self.row}-{self.source}"


def table1_specs(run: Run) -> tuple[JudgeSpec, ...]:
    """Return the judges of Table 1: eight, or those rows of it that the profile names."""
    switches = ((False, False), (True, False), (False, True), (True, True))
    specs = (JudgeSpec(cut, *pair) for cut in run.cuts.table1() for pair in switches)
    return tuple(spec for spec in specs if spec.row in run.profile.judge.rows)


def online_spec(run: Run) -> JudgeSpec:
    """Return the judge of Tables 2 and 3: reasoning words, both switches, as in the paper."""
    return JudgeSpec(run.cuts.online(), True, True)


def leaky_spec(run: Run) -> JudgeSpec:
    """Return the online judge's twin, trained on the questions that judges are tested on."""
    return JudgeSpec(run.cuts.online(), True, True, "leaky")


def sweep_specs(run: Run) -> tuple[JudgeSpec, ...]:
    """Return Figure 4's judges: focal loss and oversampling at every length."""
    cuts = run.cuts
    lengths = [Truncation("tokens", k) for k in cuts.sweep_tokens]
    lengths += [Truncation("reasoning_words", k) for k in cuts.sweep_words]
    return tuple(JudgeSpec(cut, True, True) for cut in lengths)


def base_model(run: Run) -> str | Path:
    """Return the judge's base: a folder of the repository, or a hub name."""
    return model_place(run.profile.judge.base or "")


def judge_prompt(run: Run, tokenizer: object) -> JudgePrompt:
    """Return the profile's prompt."""
    from deepprune_core.judging.prompts import chat_prompt, plain_prompt

    build = plain_prompt if run.profile.judge.prompt == "plain" else chat_prompt
    return build(tokenizer, with_question=run.profile.judge.with_question)


def shipped_folder(run: Run, spec: JudgeSpec) -> Path | None:
    """Return where a judge of the profile's adapters ships; None if the profile ships none."""
    adapters = run.profile.judge.adapters
    return None if adapters is None else ROOT / adapters / spec.name


def adapter_folder(run: Run, spec: JudgeSpec) -> Path:
    """Return the folder of a trained judge: the shipped one, else the run's own."""
    shipped = shipped_folder(run, spec)
    if shipped is not None and (shipped / MANIFEST).is_file():
        return shipped
    return run.work / "judges" / spec.name


def is_trained(run: Run, spec: JudgeSpec) -> bool:
    """Return whether a judge is there to be used: trained, and scored where it ships.

    `make judges` does both; scoring alone takes the 0.5B twenty minutes.
    """
    folder = adapter_folder(run, spec)
    scored = folder != shipped_folder(run, spec) or (folder / SCORES).is_file()
    return (folder / MANIFEST).is_file() and scored


def training_pairs(run: Run, spec: JudgeSpec, limit: int) -> tuple[GradedTraces, PairSet]:
    """Return the source's traces and at most ``limit`` pairs, oversampled if the spec says so.

    Every question gives the same number of pairs, so that no question is learned by heart.
    """
    source = run.teaching("train" if spec.source == "train" else "leaky")
    rng = run.rng("training pairs", spec.source)
    per_question = max(1, -(-limit // len(source.traces.questions)))
    pairs = sample_per_question(source.pairs, per_question, rng)
    pairs = pairs.take(np.sort(rng.permutation(len(pairs))[:limit]))
    factor = run.profile.judge.oversampling
    return source, oversample_minority(pairs, factor) if spec.oversampling else pairs


def labelled(data: JudgeData) -> LabelledPairs:
    """Return the pairs in the form that training reads."""
    from deepprune_core.training.state import LabelledPairs

    return LabelledPairs(data.inputs, data.same, data.groups)


def validation_data(
    run: Run, truncation: Truncation, tokenizer: object, most: int | None = None
) -> JudgeData:
    """Return the pairs that validate judges in training, ``most`` of them at most."""
    dev = run.teaching("development")
    rng = run.rng("validation pairs")
    rows = rng.permutation(len(dev.pairs))[: run.profile.judge.validation_pairs][:most]
    return judge_data(dev.traces, dev.pairs.take(np.sort(rows)), truncation, tokenizer)  # type: ignore[arg-type]


def train_config(run: Run, *, focal: bool, seed: int = 0) -> TrainConfig:
    """Return how the profile trains a judge of pairs; ``seed`` is added to the profile's."""
    from deepprune_core.training.plan import TrainConfig

    settings = run.profile.judge
    return TrainConfig(
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batch_tokens=settings.train_batch_tokens,
        max_tokens=settings.max_tokens,
        gamma=settings.gamma if focal else 0.0,
        alpha=settings.alpha if focal else None,
        lora_rank=settings.lora_rank,
        lora_alpha=2 * (settings.lora_rank or 0),
        micro_tokens=settings.micro_tokens,
        gradient_checkpointing=settings.gradient_checkpointing,
        share_heads=settings.share_heads,
        autocast=settings.train_autocast,
        evaluate_every=settings.evaluate_every,
        checkpoint_every=settings.checkpoint_every,
        seed=run.profile.seed + seed,
    )


def train(
    run: Run,
    spec: JudgeSpec,
    *,
    out: Path | None = None,
    pairs: int | None = None,
    on_step: Callable[[HistoryRow], None] | None = None,
    compiled: bool = False,
    sharded: bool = False,
) -> TrainResult:
    """Return the trained judge of a spec; one that is already trained is not trained again.

    ``pairs``: a shorter training than the profile's, validated on twice as many pairs.
    ``compiled``, ``sharded``: see :func:`train_judge`.
    """
    from deepprune_core.judging.loading import load_causal_lm
    from deepprune_core.training.loop import train_judge

    settings = run.profile.judge
    model, tokenizer = load_causal_lm(base_model(run), dtype=dtype_of(settings.dtype))
    source, chosen = training_pairs(run, spec, pairs or settings.train_pairs)
    data = judge_data(source.traces, chosen, spec.truncation, tokenizer)
    held_out = validation_data(run, spec.truncation, tokenizer, 2 * pairs if pairs else None)
    config = train_config(run, focal=spec.focal)
    return train_judge(
        config, model, tokenizer, prompt=judge_prompt(run, tokenizer), train=labelled(data),
        validation=labelled(held_out), out=out or adapter_folder(run, spec), on_step=on_step,
        compiled=compiled, sharded=sharded,
    )  # fmt: skip


def dtype_of(name: str) -> torch.dtype:
    """Return torch's type of that name."""
    import torch

    found: torch.dtype = getattr(torch, name)
    return found


def best_device() -> str:
    """Return where judges score: a GPU if there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def open_judge(
    run: Run, adapter: Path | None, scores: Path, *, autocast: bool = False, compiled: bool = False
) -> CachedJudge:
    """Return a judge whose scores are kept in ``scores``; without adapter the zero-shot base.

    The model is loaded at the first pair that the file does not hold. ``autocast``: score in
    bf16, which is faster where the processor has it and moves a score by up to 0.02.
    """
    from deepprune_core.judging.loading import load_judge, load_tokenizer, saved_prompt

    base, settings = base_model(run), run.profile.judge
    trained = saved_prompt(adapter) if adapter else None
    symmetric = settings.symmetric or (adapter is None and settings.zero_shot_symmetric)
    what = (trained, settings.max_tokens, symmetric, settings.with_question, autocast,
            *([settings.dtype] if settings.dtype != "float32" else []))  # fmt: skip
    if adapter is not None and not (adapter / "adapter_config.json").is_file():
        base, adapter = adapter, None  # a judge whose weights were all trained
    folders = [Path(base), *([adapter] if adapter else [])]
    fingerprint = folder_fingerprint(
        [f for f in folders if f.is_dir()], ("" if Path(base).is_dir() else str(base), *what)
    )

    def load() -> CausalLMJudge:
        prompt = None if trained else judge_prompt(run, load_tokenizer(base))
        return load_judge(
            base, adapter, prompt=prompt, max_tokens=settings.max_tokens,
            dtype=dtype_of(settings.dtype), device=best_device(),
            symmetric=symmetric, batch_tokens=settings.batch_tokens,
            autocast=autocast, packed=settings.packed or best_device() == "cuda",
            compiled=compiled,
        )  # fmt: skip

    return CachedJudge(load, ScoreCache(fingerprint, scores))


def score_afresh(
    judge: CachedJudge,
    inputs: Sequence[JudgeInput],
    stored: np.ndarray,
    tolerance: float,
    what: str,
) -> float:
    """Return the largest difference between ``stored`` scores (n,) and scores computed now.

    Raises:
        ValueError: it exceeds ``tolerance``: scores and weights do not belong together.
    """
    anew = CachedJudge(judge.factory, ScoreCache(judge.cache.fingerprint)).score(inputs)
    return refuse_difference(stored, anew, tolerance, what)


def refuse_difference(stored: np.ndarray, anew: np.ndarray, tolerance: float, what: str) -> float:
    """Return the largest difference of two sets of scores (n,); ``what`` holds the stored ones.

    Raises:
        ValueError: it exceeds ``tolerance``.
    """
    worst = float(np.abs(stored - anew).max(initial=0.0))
    if worst > tolerance:
        raise ValueError(
            f"expected stored scores within {tolerance}, got a difference of {worst:.4f}; delete "
            f"{what} and run again"
        )
    return worst


def test_data(run: Run, truncation: Truncation, tokenizer: object) -> tuple[JudgeData, ...]:
    """Return the test pairs of every unseen reasoner, all gradable pairs of its few traces."""
    return tuple(
        judge_data(unseen.traces, unseen.pairs, truncation, tokenizer)  # type: ignore[arg-type]
        for unseen in run.unseen
    )
