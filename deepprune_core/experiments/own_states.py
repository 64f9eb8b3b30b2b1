"""The judges from the reasoner's own states, trained and untrained, and their stored scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepprune_core.experiments.judges import best_device
from deepprune_core.experiments.run import Run
from deepprune_core.judging.inputs import Judge, JudgeInput, first_readings
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.judging.pair_scores import file_digest
from deepprune_core.judging.score_cache import CachedJudge, ScoreCache, folder_fingerprint
from deepprune_core.metrics import auroc
from deepprune_core.traces import Question
from deepprune_core.truncation import Truncation
from deepprune_core.workflow.collect import prompt_of
from deepprune_core.workflow.collection import Collection
from deepprune_core.workflow.own_states import OwnStatesSection
from deepprune_core.workflow.profile import ROOT, model_place

if TYPE_CHECKING:
    from deepprune_core.judging.own_states import OwnStates, OwnStatesJudge

NAME = "the reasoner's own states"
COSINE = "cosine of the reasoner's own states"


def states_settings(run: Run) -> OwnStatesSection:
    """Return the profile's section about this judge.

    Raises:
        ValueError: it has none, or names a reasoner that the profile does not collect.
    """
    found, plan = run.profile.judge.own_states, run.profile.collect
    if found is None or plan is None or found.reasoner not in plan.reasoners:
        raise ValueError(
            f"{run.profile.name}: expected judge.own_states with a reasoner of collect.reasoners, "
            f"got {found and found.reasoner!r}; add it"
        )
    return found


def open_states(run: Run) -> OwnStates:
    """Return the reasoner as a reader of prefixes, prompted as it was when it wrote them."""
    import torch

    from deepprune_core.judging.loading import load_causal_lm
    from deepprune_core.judging.own_states import OwnStates

    settings, plan = states_settings(run), run.profile.collect
    assert plan is not None
    reasoner = plan.reasoners[settings.reasoner]
    model, tokenizer = load_causal_lm(
        model_place(reasoner.model), dtype=torch.bfloat16, device=best_device()
    )
    asked = asked_as_sampled(plan, settings.reasoner, tokenizer)
    return OwnStates(model, tokenizer, asked, settings.layers)


def asked_as_sampled(plan: Collection, name: str, tokenizer: Any) -> Callable[[str], str]:
    """Return how a reasoner was asked for its stored traces: question in, prompt out."""
    asked = prompt_of(plan, plan.reasoners[name], tokenizer)
    return lambda text: asked(Question("", text))


def train_states(run: Run, cut: Truncation, states: OwnStates, tokenizer: Any) -> OwnStatesJudge:
    """Return the judge trained at a cut, its penalties chosen on the development questions."""
    from deepprune_core.judging.own_states import OwnStatesJudge

    settings = states_settings(run)

    def pairs_of(source: str) -> JudgeData:
        found = run.teaching(source)  # type: ignore[arg-type]
        return judge_data(found.traces, found.pairs, cut, tokenizer)

    train, held_out = pairs_of("train"), pairs_of("development")
    judges = [
        OwnStatesJudge(states, ridge=ridge, penalty=penalty).fit(train.inputs, train.same)
        for ridge, penalty in product(settings.ridges, settings.penalties)
    ]
    return max(judges, key=lambda judge: auroc(held_out.same, judge.score(held_out.inputs)))


def states_judges(run: Run, cut: Truncation, tokenizer: Any) -> dict[str, CachedJudge]:
    """Return the trained judge of a cut and the cosine, by name, with their stored scores.

    At the first new pair the reasoner is loaded, once for both, and the first is trained.
    """
    from deepprune_core.judging.own_states import StatesCosineJudge

    settings, plan = states_settings(run), run.profile.collect
    assert plan is not None
    traces, opened = run.profile.traces, cache(lambda: open_states(run))
    taught = [ROOT / path for path in (traces.train, traces.development) if path is not None]
    source = model_place(plan.reasoners[settings.reasoner].model)
    folders = [source] if isinstance(source, Path) else []
    lessons = (settings.ridges, settings.penalties, *map(file_digest, taught))

    def cached(judge: Callable[[], Judge], *settled: object) -> CachedJudge:
        found = folder_fingerprint(folders, (*settled, cut, settings.layers, plan.instruction))
        return CachedJudge(judge, ScoreCache(found, ROOT / settings.scores))

    return {
        NAME: cached(lambda: train_states(run, cut, opened(), tokenizer), NAME, *lessons),
        COSINE: cached(lambda: StatesCosineJudge(opened()), COSINE),
    }


class StoredStatesJudge:
    """The judge of a cut with its stored scores, priced without loading the reasoner.

    Reading a prefix costs its question and itself once, as for any judge that reads each prefix
    once: engines do not hand out their states yet. One that did would make it free.
    """

    def __init__(self, run: Run, cut: Truncation, tokenizer: Any) -> None:
        plan, settings = run.profile.collect, states_settings(run)
        assert plan is not None
        from deepprune_core.judging.own_states import AskedTexts

        self.cached = states_judges(run, cut, tokenizer)[NAME]
        asked = asked_as_sampled(plan, settings.reasoner, tokenizer)
        self.text_tokens = AskedTexts(tokenizer, asked).text_tokens

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64."""
        return self.cached.score(inputs)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)
