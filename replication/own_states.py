"""The judges from the reasoner's own states, trained and untrained, and their stored scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepprune_core.judging.encode_once import Text, texts_of
from deepprune_core.judging.inputs import Judge, JudgeInput, first_readings
from deepprune_core.judging.pair_data import JudgeData, judge_data
from deepprune_core.judging.pair_scores import file_digest
from deepprune_core.judging.score_cache import CachedJudge, ScoreCache, folder_fingerprint
from deepprune_core.traces import Question
from deepprune_core.truncation import Truncation
from replication.judges import best_device
from replication.run import Run
from replication.skill import within_values
from replication.workflow.collect import prompt_of
from replication.workflow.collection import Collection
from replication.workflow.profile import ROOT, model_place
from replication.workflow.sections import OwnStatesSection

if TYPE_CHECKING:
    from replication.hidden_states import OwnStates, StatesHead

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
    from replication.hidden_states import OwnStates

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


def head_file(run: Run, cut: Truncation) -> Path:
    """Return where the trained judge of a cut is kept: a few thousand numbers."""
    return ROOT / states_settings(run).heads / f"own-states-{cut.k}-{cut.kind}.safetensors"


def train_heads(run: Run, cuts: Sequence[Truncation], states: OwnStates, tokenizer: Any) -> None:
    """Train and keep the judges that are missing; penalties are chosen on development questions.

    All prefixes are read first: the shorter ones are part of the longer ones.
    """
    from replication.hidden_states import OwnStatesJudge, learned_head

    settings = states_settings(run)
    taught = {
        cut: [
            judge_data(found.traces, found.pairs, cut, tokenizer)
            for found in (run.teaching("train"), run.teaching("development"))
        ]
        for cut in cuts if not head_file(run, cut).is_file()
    }  # fmt: skip
    states.vectors(
        [text for both in taught.values() for data in both for text in texts_in(data.inputs)]
    )
    for cut, (train, held_out) in taught.items():
        heads = [
            learned_head(states, train.inputs, train.same, ridge=ridge, penalty=penalty)
            for ridge, penalty in product(settings.ridges, settings.penalties)
        ]

        def skill(head: StatesHead, data: JudgeData = held_out) -> float:
            scores = OwnStatesJudge(states, head).score(data.inputs)
            return float(np.nanmean(within_values(data, scores)))

        replace(max(heads, key=skill), lessons=lessons_of(run)).save(head_file(run, cut))


def lessons_of(run: Run) -> str:
    """Return what the judges are taught from, as text: files, layers, prompt, penalties."""
    settings, plan, traces = states_settings(run), run.profile.collect, run.profile.traces
    assert plan is not None
    files = [file_digest(ROOT / path) for path in (traces.train, traces.development) if path]
    return repr((files, settings.layers, plan.instruction, settings.ridges, settings.penalties))


def texts_in(inputs: Sequence[JudgeInput]) -> list[Text]:
    """Return the questions and prefixes of some pairs, each once."""
    return list(dict.fromkeys(text for pair in inputs for text in texts_of(pair)))


def states_judges(
    run: Run, cut: Truncation, opened: Callable[[], OwnStates] | None = None
) -> dict[str, CachedJudge]:
    """Return the trained judge of a cut and the cosine, by name, with their stored scores.

    ``opened`` gives the reader for what is not stored; by default it is loaded then, once.

    Raises:
        FileNotFoundError: the judge is not trained yet.
        ValueError: it was trained on other lessons than the profile's.
    """
    from replication.hidden_states import OwnStatesJudge, StatesCosineJudge, StatesHead

    settings, plan = states_settings(run), run.profile.collect
    assert plan is not None
    opened = opened or cache(lambda: open_states(run))
    source, file = model_place(plan.reasoners[settings.reasoner].model), head_file(run, cut)
    head, folders = StatesHead.load(file), [source] if isinstance(source, Path) else []
    if head.lessons != lessons_of(run):
        raise ValueError(f"{file}: trained on other traces or settings; delete it, `make judges`")

    def cached(judge: Callable[[], Judge], *settled: object) -> CachedJudge:
        found = folder_fingerprint(folders, (*settled, cut, settings.layers, plan.instruction))
        return CachedJudge(judge, ScoreCache(found, ROOT / settings.scores))

    return {
        NAME: cached(lambda: OwnStatesJudge(opened(), head), NAME, file_digest(file)),
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
        from replication.hidden_states import AskedTexts

        self.cached = states_judges(run, cut)[NAME]
        asked = asked_as_sampled(plan, settings.reasoner, tokenizer)
        self.text_tokens = AskedTexts(tokenizer, asked).text_tokens

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64."""
        return self.cached.score(inputs)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)
