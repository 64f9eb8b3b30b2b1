"""The judge in the reasoner's states, against the model itself and on a separable toy."""

from __future__ import annotations

from types import SimpleNamespace
from zlib import crc32

import numpy as np
import pytest
import torch

from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.loading import load_causal_lm
from deepprune_core.judging.self_judge import SelfJudge, StateReader
from deepprune_core.miniature.tokenizer import prompt_text
from deepprune_core.workflow.profile import ROOT

MODEL = ROOT / "data" / "miniature" / "models" / "birch"


def test_a_state_is_the_mean_over_the_prefix_in_the_middle_layer() -> None:
    model, tokenizer = load_causal_lm(MODEL)
    reader = StateReader(model, tokenizer, prompt_text)
    question, prefix = "what has Ann?", "first Ann has 3. so Ben"
    head = tokenizer.encode(prompt_text(question))
    ids = head + tokenizer.encode(prefix, add_special_tokens=False)
    with torch.no_grad():
        layers = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    expected = layers[model.config.num_hidden_layers // 2][0, len(head) :].double().mean(0)
    found = reader.states([(question, prefix), (question, ""), (question, prefix)])
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(found[0], found[2])
    assert np.isfinite(found).all() and np.abs(found[1] - found[0]).max() > 1e-3


class Toy(StateReader):
    """States that are a kind's direction and noise; the kind is a text's first letter."""

    def __init__(self) -> None:
        config = SimpleNamespace(num_hidden_layers=2)
        model = SimpleNamespace(config=config, eval=lambda: SimpleNamespace(config=config))
        super().__init__(model, None, str)
        self.made: list[tuple[str, str]] = []

    def _state(self, question: str, prefix: str) -> np.ndarray:
        self.made.append((question, prefix))
        rng = np.random.default_rng(crc32((question + prefix).encode()))
        return np.eye(4)["abcd".index(prefix[0])] + 0.05 * rng.normal(size=4)


def pairs(questions: range) -> tuple[list[JudgeInput], np.ndarray]:
    texts = ["a1", "a2", "b1", "b2", "c1", "d1"]
    found = [JudgeInput(f"q{q}", x, y) for q in questions for x in texts for y in texts if x < y]
    return found, np.array([p.first[0] == p.second[0] for p in found])


def test_it_learns_to_compare_costs_nothing_and_reads_each_prefix_once() -> None:
    toy = Toy()
    judge = SelfJudge(toy, penalty=1.0).fit(*pairs(range(8)))
    fresh, same = pairs(range(8, 12))
    scores = judge.score(fresh)
    assert scores[same].min() > scores[~same].max()
    assert judge.num_tokens(fresh).tolist() == [0] * len(fresh)
    assert len(toy.made) == len(set(toy.made)) == 12 * 6
    assert judge.score([]).shape == (0,)


def test_one_kind_of_pairs_is_refused() -> None:
    some, _ = pairs(range(2))
    with pytest.raises(ValueError, match="one kind only"):
        SelfJudge(Toy()).fit(some, np.ones(len(some), bool))
