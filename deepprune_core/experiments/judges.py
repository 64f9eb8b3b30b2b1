"""Training and testing the judges of Table 1, Figure 4 and the leakage test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.experiments.judge_data import JudgeData, judge_data
from deepprune_core.experiments.run import GradedTraces, Run, graded_traces
from deepprune_core.judging.score_cache import CachedJudge, ScoreCache, folder_fingerprint
from deepprune_core.metrics import Interval, auroc, bootstrap, tnr_at_fnr
from deepprune_core.pairs import PairSet, oversample_minority, sample_per_question
from deepprune_core.truncation import Truncation
from deepprune_core.workflow.profile import ROOT

if TYPE_CHECKING:
    from deepprune_core.judge import CausalLMJudge
    from deepprune_core.judging.prompts import JudgePrompt
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
    """Return the eight judges of Table 1."""
    switches = ((False, False), (True, False), (False, True), (True, True))
    return tuple(JudgeSpec(cut, *pair) for cut in run.cuts.table1() for pair in switches)


def leaky_spec(run: Run) -> JudgeSpec:
    """Return the best row's judge, but trained on the questions it is tested on."""
    return JudgeSpec(run.cuts.table1()[1], True, True, "leaky")


def sweep_specs(run: Run) -> tuple[JudgeSpec, ...]:
    """Return Figure 4's judges: focal loss and oversampling at every length."""
    cuts = run.cuts
    lengths = [Truncation("tokens", k) for k in cuts.sweep_tokens]
    lengths += [Truncation("reasoning_words", k) for k in cuts.sweep_words]
    return tuple(JudgeSpec(cut, True, True) for cut in lengths)


def base_model(run: Run) -> str | Path:
    """Return the judge's base: a folder of the repository, or a hub name."""
    base = run.profile.judge.base or ""
    return ROOT / base if (ROOT / base).is_dir() else base


def judge_prompt(run: Run, tokenizer: object) -> JudgePrompt:
    """Return the profile's prompt."""
    from deepprune_core.judging.prompts import chat_prompt, plain_prompt

    build = plain_prompt if run.profile.judge.prompt == "plain" else chat_prompt
    return build(tokenizer, with_question=run.profile.judge.with_question)


def training_pairs(run: Run, spec: JudgeSpec, limit: int) -> tuple[GradedTraces, PairSet]:
    """Return the source's traces and at most ``limit`` pairs, oversampled if the spec says so.

    Every question gives the same number of pairs, so that no question is learned by heart.
    """
    path = run.profile.traces.train if spec.source == "train" else run.profile.traces.leaky
    assert path is not None
    source = graded_traces(ROOT / path)
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


def train(
    run: Run,
    spec: JudgeSpec,
    *,
    out: Path | None = None,
    pairs: int | None = None,
    on_step: Callable[[HistoryRow], None] | None = None,
) -> TrainResult:
    """Return the trained judge of a spec; one that is already trained is not trained again."""
    from deepprune_core.judging.loading import load_causal_lm
    from deepprune_core.training.loop import TrainConfig, train_judge

    settings = run.profile.judge
    model, tokenizer = load_causal_lm(base_model(run))
    source, chosen = training_pairs(run, spec, pairs or settings.train_pairs)
    data = judge_data(source.traces, chosen, spec.truncation, tokenizer)
    assert run.profile.traces.development is not None
    dev = graded_traces(ROOT / run.profile.traces.development)
    rng = run.rng("validation pairs")
    rows = rng.permutation(len(dev.pairs))[: settings.validation_pairs]
    held_out = judge_data(dev.traces, dev.pairs.take(np.sort(rows)), spec.truncation, tokenizer)
    config = TrainConfig(
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        batch_tokens=settings.train_batch_tokens,
        max_tokens=settings.max_tokens,
        gamma=settings.gamma if spec.focal else 0.0,
        alpha=settings.alpha if spec.focal else None,
        lora_rank=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        evaluate_every=15,
        seed=run.profile.seed,
    )
    return train_judge(
        config, model, tokenizer, prompt=judge_prompt(run, tokenizer), train=labelled(data),
        validation=labelled(held_out), out=out or run.work / "judges" / spec.name, on_step=on_step,
    )  # fmt: skip


def open_judge(run: Run, adapter: Path | None, scores: Path) -> CachedJudge:
    """Return a judge whose scores are kept in ``scores``; without adapter the zero-shot base.

    The model is loaded at the first pair that the file does not hold.
    """
    from deepprune_core.judging.loading import load_causal_lm, load_judge, saved_prompt

    base, settings = base_model(run), run.profile.judge
    trained = saved_prompt(adapter) if adapter else None
    what = (trained, settings.max_tokens, settings.symmetric, settings.with_question)
    folders = [Path(base), *([adapter] if adapter else [])]
    fingerprint = folder_fingerprint(
        [f for f in folders if f.is_dir()], ("" if Path(base).is_dir() else str(base), *what)
    )

    def load() -> CausalLMJudge:
        prompt = None if adapter else judge_prompt(run, load_causal_lm(base)[1])
        return load_judge(
            base, adapter, prompt=prompt, max_tokens=settings.max_tokens,
            symmetric=settings.symmetric, batch_tokens=settings.batch_tokens,
        )  # fmt: skip

    return CachedJudge(load, ScoreCache(fingerprint, scores))


def test_data(run: Run, truncation: Truncation, tokenizer: object) -> tuple[JudgeData, ...]:
    """Return the test pairs of every unseen reasoner, all gradable pairs of its few traces."""
    return tuple(
        judge_data(unseen.traces, unseen.pairs, truncation, tokenizer)  # type: ignore[arg-type]
        for unseen in run.unseen
    )


@dataclass(frozen=True)
class Tested:
    """A judge's scores on one reasoner's pairs, with intervals over questions."""

    data: JudgeData
    scores: np.ndarray
    auroc: Interval
    tnr: Interval

    @property
    def model(self) -> str:
        return self.data.model


def tested(run: Run, data: JudgeData, scores: np.ndarray) -> Tested:
    """Return AUROC and TNR@FNR=0.2 of scores, with bootstrap intervals over questions."""

    def interval(statistic: Callable[[np.ndarray, np.ndarray], float]) -> Interval:
        return bootstrap(
            lambda rows: statistic(data.same[rows], scores[rows]),
            data.groups,
            rng=run.rng("bootstrap", data.model),
            draws=run.profile.bootstrap_draws,
        )

    return Tested(data, scores, interval(auroc), interval(tnr_at_fnr))


def average(run: Run, parts: tuple[Tested, ...]) -> tuple[Interval, Interval]:
    """Return the mean AUROC and TNR over reasoners; all share a question's fate in a draw."""

    def mean_of(name: str) -> Interval:
        statistic = auroc if name == "auroc" else tnr_at_fnr
        owner = np.concatenate([np.full(len(p.data), i) for i, p in enumerate(parts)])
        same = np.concatenate([p.data.same for p in parts])
        scores = np.concatenate([p.scores for p in parts])
        groups = np.concatenate([p.data.groups for p in parts])

        def value(rows: np.ndarray) -> float:
            mine = [rows[owner[rows] == i] for i in range(len(parts))]
            return float(np.mean([statistic(same[r], scores[r]) for r in mine]))

        drawn = bootstrap(
            value, groups, rng=run.rng("bootstrap", "average"), draws=run.profile.bootstrap_draws
        )
        return replace(drawn)

    return mean_of("auroc"), mean_of("tnr")
