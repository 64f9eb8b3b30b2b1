"""The judge that reads each prefix once: its training, its scores, its place in the replay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.formats.files import MANIFEST
from deepprune_core.judging.pair_data import judge_data
from deepprune_core.judging.pair_scores import PairScores, read_pair_scores
from deepprune_core.judging.score_cache import folder_fingerprint
from deepprune_core.pruner import StoredQuestion
from replication.judges import (
    BF16_TOLERANCE,
    CHECKED,
    base_model,
    best_device,
    dtype_of,
    judge_prompt,
    labelled,
    online_spec,
    refuse_difference,
    training_pairs,
    validation_data,
)
from replication.online import stored_questions
from replication.run import GradedTraces, Run
from replication.skill import JudgeResult, assess_scores
from replication.stored_scores import score_everything, sources_of
from replication.threshold import chosen_tau
from replication.workflow.profile import ROOT
from replication.workflow.sections import EncodeOnceSection

if TYPE_CHECKING:
    from deepprune_core.judging.encode_once import EncodeOnceJudge
    from deepprune_core.training.state import HistoryRow, TrainResult

NAME = "encode once"


def once_settings(run: Run) -> EncodeOnceSection:
    """Return the profile's section about this judge.

    Raises:
        ValueError: it has none.
    """
    if run.profile.judge.encode_once is None:
        raise ValueError(f"{run.profile.name}: expected judge.encode_once, got none; add it")
    return run.profile.judge.encode_once


def once_cost(run: Run) -> float:
    """Return the price of a token that this judge reads, in tokens that a reasoner writes."""
    own = once_settings(run).judge_cost
    return run.profile.pruning.judge_cost if own is None else own


def at_scale(run: Run) -> Run:
    """Return the run whose Table 2 has as many traces a question as notebook 08 replays."""
    once, profile = once_settings(run), run.profile
    many = {"online_per_question": once.traces, "online": once.online or profile.traces.online}
    traces = profile.traces.model_copy(update=many)
    sizes = {"max_representatives": once.max_representatives, "k2": once.k2, "k3": once.k2}
    pruning = profile.pruning.model_copy(update=sizes)
    warmup = min(profile.deepconf.warmup * once.traces // profile.traces.online_per_question, 16)
    deepconf = profile.deepconf.model_copy(update={"warmup": max(1, warmup)})
    more = {"traces": traces, "pruning": pruning, "deepconf": deepconf}
    return Run(profile.model_copy(update=more), run.out, run.work)


def prunes_at_scale(run: Run) -> bool:
    """Return whether this judge prunes those many traces: unless Table 2's is cheaper still."""
    return run.profile.judge.prunes in ("trained", "once")


def once_name(run: Run) -> str:
    """Return the name of its folder, after the pairwise judge's that reads the same prefixes."""
    return f"{online_spec(run).name}-once"


def once_folder(run: Run) -> Path:
    """Return where the judge ships, or where the run keeps its own."""
    adapters = run.profile.judge.adapters
    return (ROOT / adapters if adapters else run.work / "judges") / once_name(run)


def has_once(run: Run) -> bool:
    """Return whether the profile has this judge, trained."""
    there = (once_folder(run) / MANIFEST).is_file()
    return run.profile.judge.encode_once is not None and there


def train_once(
    run: Run, out: Path, on_step: Callable[[HistoryRow], None] | None = None
) -> TrainResult:
    """Return the trained judge; the data are the pairwise judge's, but all their pairs."""
    from deepprune_core.judging.loading import load_causal_lm
    from deepprune_core.training.encode_once import train_encode_once
    from deepprune_core.training.plan import TrainConfig

    settings, once, spec = run.profile.judge, once_settings(run), online_spec(run)
    model, tokenizer = load_causal_lm(
        base_model(run), dtype=dtype_of(settings.dtype), device=best_device()
    )
    source, chosen = training_pairs(run, spec, len(run.teaching("train").pairs))
    rank = settings.lora_rank or 8
    config = TrainConfig(
        learning_rate=once.learning_rate,
        epochs=once.epochs,
        batch_tokens=once.batch_tokens,
        micro_tokens=once.micro_tokens or settings.micro_tokens or 4096,
        gamma=settings.gamma,
        alpha=settings.alpha,
        lora_rank=rank,
        lora_alpha=2 * rank,
        gradient_checkpointing=settings.gradient_checkpointing,
        autocast=settings.train_autocast,
        evaluate_every=min(50, settings.evaluate_every),
        checkpoint_every=min(50, settings.checkpoint_every),
        seed=run.profile.seed,
    )
    return train_encode_once(
        config, model, tokenizer, prompt=judge_prompt(run, tokenizer),
        train=labelled(judge_data(source.traces, chosen, spec.truncation, tokenizer)),
        validation=labelled(validation_data(run, spec.truncation, tokenizer)), out=out,
        on_step=on_step,
    )  # fmt: skip


def open_once(run: Run) -> EncodeOnceJudge:
    """Return the trained judge."""
    from deepprune_core.judging.loading import load_encode_once

    settings = run.profile.judge
    return load_encode_once(
        base_model(run), once_folder(run), device=best_device(),
        batch_tokens=settings.batch_tokens, autocast=settings.autocast,
    )  # fmt: skip


def once_scores(
    run: Run, judge: EncodeOnceJudge, traces: Sequence[GradedTraces], out: Path | None = None
) -> PairScores:
    """Return the scores of all pairs; those that the shipped file lacks are computed and kept.

    ``out``: where they are kept (default: the run's own folder).
    """
    cut, settings = run.cuts.online(), run.profile.judge
    base = base_model(run)
    folders = [*([base] if isinstance(base, Path) else []), once_folder(run)]
    fingerprint = folder_fingerprint(
        folders, (NAME, cut, settings.autocast, judge.encoder.max_tokens)
    )
    sources = sources_of(traces)
    shipped = once_settings(run).scores
    own = out or run.work / "scores" / "once.parquet"
    path = ROOT / shipped if shipped and (ROOT / shipped).is_file() else own
    stored = read_pair_scores(path, fingerprint, sources)
    tokenizer = judge.encoder.tokenizer
    for one in traces:
        score_everything(judge, stored, one, cut, tokenizer, own)
    refuse_foreign(run, judge, stored, traces[0], str(path))
    return stored


def refuse_foreign(
    run: Run, judge: EncodeOnceJudge, stored: PairScores, traces: GradedTraces, what: str
) -> None:
    """Score a sample of pairs afresh and compare.

    Raises:
        ValueError: stored scores and weights do not belong together.
    """
    cut, tokenizer = run.cuts.online(), judge.encoder.tokenizer
    rows = np.sort(run.rng("check", NAME).permutation(len(traces.pairs))[:CHECKED])
    data = judge_data(traces.traces, traces.pairs.take(rows), cut, tokenizer)
    known = stored_pairs(stored, traces)[rows]
    refuse_difference(known, judge.score(data.inputs), BF16_TOLERANCE, what)


def once_result(
    run: Run, judge: EncodeOnceJudge, traces: Sequence[GradedTraces] | None = None
) -> JudgeResult:
    """Return this judge's result from the stored scores (default: on the unseen reasoners)."""
    cut, tokenizer = run.cuts.online(), judge.encoder.tokenizer
    asked = run.unseen if traces is None else traces
    stored = once_scores(run, judge, asked)
    scores = [stored_pairs(stored, one) for one in asked]
    data = [judge_data(one.traces, one.pairs, cut, tokenizer) for one in asked]
    return assess_scores(run, NAME, scores, data, cut)


def stored_pairs(stored: PairScores, traces: GradedTraces) -> np.ndarray:
    """Return the scores of all gradable pairs of some traces: (pairs,)."""
    groups, known = traces.traces.traces, {}
    for q in np.unique(traces.pairs.question).tolist():
        name = traces.traces.questions[q].question_id
        found = stored.get(traces.model, name, len(groups[q]))
        assert found is not None  # all pairs have just been scored
        known[q] = found[0]
    rows = zip(traces.pairs.question, traces.pairs.first, traces.pairs.second, strict=True)
    return np.array([known[q][i, j] for q, i, j in rows])


def once_questions(
    run: Run, judge: EncodeOnceJudge, stored: PairScores, traces: GradedTraces
) -> tuple[StoredQuestion, ...]:
    """Return a reasoner's questions as this judge sees them.

    A trace costs its prompt once, question and prefix, whatever it is compared with.
    """
    return stored_questions(traces, judge, run.cuts.online(), judge.encoder.tokenizer, stored)


def once_tau(run: Run, judge: EncodeOnceJudge) -> float:
    """Return the τ that suits this judge: what its manifest says, else chosen now."""
    from deepprune_core.judging.loading import saved_tau

    tau = saved_tau(once_folder(run))
    return choose_once_tau(run, judge) if tau is None else tau


def choose_once_tau(run: Run, judge: EncodeOnceJudge) -> float:
    """Return the τ that suits this judge, chosen on the development questions."""
    dev = run.teaching("development")
    seen = stored_questions(dev, judge, run.cuts.online(), judge.encoder.tokenizer)
    return chosen_tau(run, dev, seen)
