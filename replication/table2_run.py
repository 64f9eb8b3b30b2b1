"""What notebooks 05 and 06 share: the online judge, stored questions, the live run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from deepprune_core.engines.named_judges import open_named_judge
from deepprune_core.judging.embedding_judge import EmbeddingJudge
from deepprune_core.judging.encode_once import EncodeOnceJudge
from deepprune_core.judging.inputs import Judge
from deepprune_core.judging.pair_data import judge_data, merge
from deepprune_core.judging.pair_scores import read_pair_scores
from deepprune_core.judging.score_cache import CachedJudge, folder_fingerprint
from deepprune_core.pairs import split_by_question
from deepprune_core.pruner import StoredQuestion
from deepprune_core.reporting.plots import hero
from deepprune_core.reporting.tables import Table, write_table
from deepprune_core.truncation import Tokenizer
from replication.both_judges import PAIRWISE
from replication.encode_once import NAME as ONCE
from replication.encode_once import (
    at_scale,
    has_once,
    once_cost,
    once_questions,
    once_scores,
    once_tau,
    open_once,
    prunes_at_scale,
)
from replication.judges import BF16_TOLERANCE, CHECKED, open_judge, score_afresh
from replication.methods import Online, play_online
from replication.online import stored_questions
from replication.own_states import NAME as OWN_STATES
from replication.own_states import StoredStatesJudge
from replication.readers import EMBEDDINGS, embedding_judge
from replication.replays import for_each
from replication.representatives import Choice, play_choices
from replication.run import GradedTraces, Run, part_of
from replication.slim_sc import thinking
from replication.stored_scores import open_scores, score_everything, sources_of
from replication.table2 import hero_traces
from replication.table3 import ThresholdRow, threshold_rows
from replication.threshold import chosen_tau, with_tau
from replication.untrained import judge_tokenizer
from replication.vectors import first_words
from replication.workflow.profile import ROOT

if TYPE_CHECKING:
    from replication.live import LiveComparison

TOLERANCE = 1e-3
READS_ITSELF = 1.0  # price of a token that the reasoner reads, in tokens that it writes


@dataclass(frozen=True)
class OnlineSetup:
    """The online judge and every reasoner's questions with their pair scores.

    ``name``: what tables call the judge; ``run``: the notebook's, with this judge's own τ where
    the profile has it chosen.
    ``judge_cost``: price of a judge's token in reasoner tokens; ``check``: what came of
    scoring a sample of the stored scores afresh.
    """

    judge: Judge
    tokenizer: Tokenizer
    traces: tuple[GradedTraces, ...]
    questions: tuple[tuple[StoredQuestion, ...], ...]
    judge_cost: float
    check: str
    run: Run
    name: str = PAIRWISE


def open_online(run: Run) -> OnlineSetup:
    """Return the online judge with all scores; those that are not stored are computed now."""
    found = _open_online(run)
    if not run.profile.pruning.choose_tau:
        return found
    dev = run.teaching("development")
    seen = stored_questions(dev, found.judge, run.cuts.online(), found.tokenizer)
    tau = chosen_tau(run, dev, seen)
    check = f"{found.check}; τ = {tau}, chosen on {len(seen)} development questions"
    return replace(found, run=with_tau(run, tau), check=check)


def open_at_scale(run: Run) -> OnlineSetup:
    """Return the reader of notebook 08's many traces, which reads each prefix once."""
    large = at_scale(run)
    if not prunes_at_scale(run):
        return open_online(large)
    judge = open_once(large)
    return replace(open_reading_once(large, judge), run=with_tau(large, once_tau(run, judge)))


def _open_online(run: Run) -> OnlineSetup:
    if run.profile.judge.given:
        return open_given(run, run.profile.judge.given)
    if run.profile.judge.prunes == "once" and has_once(run):
        return open_reading_once(run, open_once(run))
    if run.profile.judge.prunes == "states":
        return open_own_states(run)
    if run.profile.judge.prunes != "trained":
        return open_embeddings(run)
    if run.profile.judge.base is None or not run.has_judges:
        return open_trained_here(run)
    judge, tokenizer = online_judge(run), judge_tokenizer(run)
    cut, settings = run.cuts.online(), run.profile.judge
    shipped = ROOT / settings.scores if settings.scores else None
    stored = open_scores(shipped, judge, run.online)
    questions = tuple(
        stored_questions(traces, judge, cut, tokenizer, stored)
        for traces in tqdm(run.online, desc="scores", unit="reasoner", delay=5)
    )
    judge.save()
    pairs = sum(len(q.classes) * (len(q.classes) - 1) // 2 for one in questions for q in one)
    new = judge.num_hits + judge.num_misses
    check = f"{pairs - new} scores from the store, {judge.num_misses} computed now"
    return OnlineSetup(
        judge, tokenizer, run.online, questions, run.profile.pruning.judge_cost, check, run
    )


def open_given(run: Run, name: str) -> OnlineSetup:
    """Return a judge that the user named, with the scores of all pairs.

    They are saved every ten questions, so a killed run goes on.
    """
    tokenizer, cut, path = (
        judge_tokenizer(run),
        run.cuts.online(),
        run.work / "scores/given.parquet",
    )
    folder = Path(name)
    digest = folder_fingerprint([folder], cut) if folder.is_dir() else repr((name, cut))
    found = open_named_judge(name)
    sources = sources_of(run.online)
    try:
        stored = read_pair_scores(path, digest, sources)
    except ValueError:  # of another judge, or of other traces
        path.unlink()
        stored = read_pair_scores(path, digest, sources)
    for traces in run.online:
        score_everything(found.judge, stored, traces, cut, tokenizer, path)
    questions = tuple(
        stored_questions(traces, found.judge, cut, tokenizer, stored) for traces in run.online
    )
    check = f"judge {name}" + (f"; {found.caveat}" if found.caveat else "")
    cost = run.profile.pruning.judge_cost
    return OnlineSetup(found.judge, tokenizer, run.online, questions, cost, check, run)


def open_embeddings(run: Run) -> OnlineSetup:
    """Return the logistic regression on embeddings that notebook 04 compares, with all scores."""
    tokenizer, cut = judge_tokenizer(run), run.cuts.online()
    judge = embedding_judge(run, cut, tokenizer)
    questions = tuple(stored_questions(t, judge, cut, tokenizer) for t in run.online)
    check = f"judge: {EMBEDDINGS}, trained on the judges' training questions"
    cost = run.profile.pruning.judge_cost
    return OnlineSetup(judge, tokenizer, run.online, questions, cost, check, run, EMBEDDINGS)


def open_own_states(run: Run) -> OnlineSetup:
    """Return the judge from the reasoner's own states, with all scores."""
    tokenizer, cut = judge_tokenizer(run), run.cuts.online()
    judge = StoredStatesJudge(run, cut, tokenizer)
    questions = tuple(stored_questions(t, judge, cut, tokenizer) for t in run.online)
    judge.cached.save()
    check = f"judge: {OWN_STATES}; {judge.cached.num_misses} scores computed now"
    return OnlineSetup(
        judge, tokenizer, run.online, questions, READS_ITSELF, check, run, OWN_STATES
    )


def open_reading_once(run: Run, judge: EncodeOnceJudge) -> OnlineSetup:
    """Return the judge that reads each prefix once, with all scores and the price of reading."""
    stored = once_scores(run, judge, run.online)
    questions = tuple(once_questions(run, judge, stored, traces) for traces in run.online)
    check = "judge: each prefix read once; a sample scored afresh agrees with the store"
    return OnlineSetup(
        judge, judge.encoder.tokenizer, run.online, questions, once_cost(run), check, run, ONCE
    )


def open_trained_here(run: Run) -> OnlineSetup:
    """Return a judge trained on one half of the questions, with the other half's traces.

    It is a logistic regression on SentenceBERT embeddings: a trace file brings no language
    model to fine-tune.
    """
    cut, tokenizer = run.cuts.online(), judge_tokenizer(run)
    held_out, parts, judge = [], [], EmbeddingJudge(first_words(run))
    for traces in run.online:
        training, testing = split_by_question(traces.pairs, 0.5, run.rng("halves", traces.model))
        parts.append(judge_data(traces.traces, training, cut, tokenizer))
        held_out.append(part_of(traces, np.unique(testing.question)))
    data = merge(parts)
    judge.fit(data.inputs, data.same)
    questions = tuple(stored_questions(traces, judge, cut, tokenizer) for traces in held_out)
    check = (
        f"judge trained on {len(data)} pairs of {len(np.unique(data.groups))} questions; "
        f"replayed on {sum(len(q) for q in questions)} others"
    )
    cost = run.profile.pruning.judge_cost
    return OnlineSetup(judge, tokenizer, tuple(held_out), questions, cost, check, run)


def online_judge(run: Run) -> CachedJudge:
    """Return the shipped judge; scores that the store lacks are kept in the run's own folder."""
    settings, own = run.profile.judge, run.work / "scores" / "online.parquet"
    adapter = ROOT / settings.adapter if settings.adapter else None
    return open_judge(run, adapter, own, autocast=settings.autocast)


def check_scores(run: Run, setup: OnlineSetup) -> str:
    """Return how far a random sample of stored scores lies from freshly computed ones.

    Raises:
        ValueError: a stored score is off by more than the tolerance.
    """
    if not isinstance(setup.judge, CachedJudge):
        return setup.check
    rng, traces, questions = run.rng("check"), setup.traces[0], setup.questions[0]
    cut, autocast = run.cuts.online(), run.profile.judge.autocast
    chosen = traces.pairs.take(rng.permutation(len(traces.pairs))[:CHECKED])
    inputs = judge_data(traces.traces, chosen, cut, setup.tokenizer).inputs
    places = zip(chosen.question, chosen.first, chosen.second, strict=True)
    stored = np.array([questions[q].scores[i, j] for q, i, j in places])
    tolerance = BF16_TOLERANCE if autocast else TOLERANCE
    worst = score_afresh(setup.judge, inputs, stored, tolerance, str(run.profile.judge.scores))
    return f"{setup.check}; {len(inputs)} scored afresh differ by at most {worst:.1e}"


def online_results(run: Run, setup: OnlineSetup) -> list[Online]:
    """Return all methods on all reasoners."""
    prices = [setup.judge_cost] * len(setup.traces)
    slim = run.profile.slim is not None
    thoughts = [thinking(run, one) if slim else () for one in setup.traces]
    return for_each(run, play_online, setup.traces, setup.questions, prices, thoughts)


def threshold_results(run: Run, setup: OnlineSetup) -> tuple[str, tuple[ThresholdRow, ...]]:
    """Return Table 3's rows on the first online reasoner and its first two benchmarks."""
    traces, questions = setup.traces[0], setup.questions[0]
    benchmarks = traces.traces.benchmarks[:2]
    return traces.model, threshold_rows(run, traces, questions, benchmarks)


def choice_results(run: Run, setup: OnlineSetup) -> dict[str, list[Choice]]:
    """Return every choice of representatives on all reasoners."""
    found = for_each(run, play_choices, setup.traces, setup.questions)
    return {traces.model: one for traces, one in zip(setup.traces, found, strict=True)}


def hero_figure(run: Run, setup: OnlineSetup, results: Sequence[Online]) -> Figure:
    """Return one question's traces, pruned and finished."""
    config = run.profile.pruning.config()
    title, traces = hero_traces(results[0], setup.questions[0], config)
    return hero(traces, title)


def live_run(run: Run, setup: OnlineSetup) -> Table | str:
    """Return the table of the live run, or why there is none."""
    from replication.live import live_questions, live_table, play_live

    live = run.profile.live
    if live is None:
        return "Left out: the profile names no model for a live engine."
    questions = live_questions(run, setup.traces, live.questions)
    found: LiveComparison = play_live(run, questions, setup.judge)
    table = live_table(run, found, setup.judge_cost)
    return write_table(table, run.out)
