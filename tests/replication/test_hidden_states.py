"""The reasoner's own states against plain forward passes, one prefix at a time."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from deepprune_core.judging.inputs import JudgeInput, ReadsOnce, TokenMeter
from replication.hidden_states import (
    OwnStates,
    OwnStatesJudge,
    SelfJudge,
    StatesCosineJudge,
    StatesHead,
    begun_alike,
    learned_head,
)

LAYERS = (1, 3)


class Letters:
    """Every character is a token."""

    def encode(self, text: str, **_: Any) -> list[int]:
        return [ord(c) % 64 for c in text]


def asked(question: str) -> str:
    return f"Q{question}A"


@pytest.fixture(scope="module")
def model() -> Qwen2ForCausalLM:
    torch.manual_seed(3)
    return Qwen2ForCausalLM(Qwen2Config(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=4,
        num_attention_heads=2, num_key_value_heads=1,
    )).eval()  # fmt: skip


@pytest.mark.parametrize("budget", [16, 100, 4096])
def test_a_prefix_is_read_as_if_it_stood_alone(model: Qwen2ForCausalLM, budget: int) -> None:
    texts = [("who?", "bob went"), ("who?", "ann"), ("how many?", "seven or so"), ("who?", "")]
    found = OwnStates(model, Letters(), asked, LAYERS, budget).vectors(texts)
    assert found.shape == (4, 2, 16)
    for row, (question, prefix) in zip(found, texts, strict=True):
        ids = Letters().encode(asked(question) + prefix)
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        start = len(asked(question)) if prefix else -1  # nothing is written: the prompt's last
        alone = torch.stack([states[n][0, start:].mean(0) for n in LAYERS])
        np.testing.assert_allclose(row, alone, atol=2e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_prefix_is_read_along_with_a_longer_one(model: Qwen2ForCausalLM, seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = list({("".join(rng.choice(["q", "r"], 2)), "".join(rng.choice(["a", "b"], n)))
                  for n in rng.integers(1, 6, 40)})  # fmt: skip
    states = OwnStates(model, Letters(), asked, LAYERS)
    found, passes = states.vectors(texts), []
    alone = [OwnStates(model, Letters(), asked, LAYERS).vectors([text])[0] for text in texts]
    np.testing.assert_allclose(found, np.array(alone), atol=2e-5)
    within = begun_alike([states.texts.encode(text) for text in texts])
    for i, (question, text) in enumerate(texts):
        longer = [t for q, t in texts if q == question and t != text and t.startswith(text)]
        assert (i in within) == (not longer)
        passes += within.get(i, [])
        assert all(text.startswith(texts[j][1]) for j in within.get(i, []))
    assert sorted(passes) == list(range(len(texts)))


def test_nothing_is_read_twice(model: Qwen2ForCausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    states = OwnStates(model, Letters(), asked, LAYERS)
    first = states.vectors([("a", "b"), ("a", "c"), ("a", "b")])
    np.testing.assert_array_equal(first[0], first[2])
    monkeypatch.setattr(states, "_states", lambda _: pytest.fail("read again"))
    np.testing.assert_array_equal(states.vectors([("a", "c")])[0], first[1])


@pytest.mark.parametrize("layers", [(), (0,), (5,)])
def test_layers_that_are_not_there_are_refused(
    model: Qwen2ForCausalLM, layers: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="layers from 1 to 4"):
        OwnStates(model, Letters(), asked, layers)


def test_the_cosine_is_that_of_torch_averaged_over_layers(model: Qwen2ForCausalLM) -> None:
    states = OwnStates(model, Letters(), asked, LAYERS)
    texts = [("who?", text) for text in ("bob went", "ann", "bob stayed at home")]
    pairs = [JudgeInput("who?", a[1], b[1]) for a, b in itertools.combinations(texts, 2)]
    vectors = torch.from_numpy(states.vectors(texts)).double()
    near = torch.cosine_similarity(vectors[[0, 0, 1]], vectors[[1, 2, 2]], dim=2).mean(dim=1)
    found = StatesCosineJudge(states).score(pairs)
    np.testing.assert_allclose(found, (1 + near) / 2, atol=1e-6)
    assert StatesCosineJudge(states).score([]).shape == (0,)
    same = StatesCosineJudge(states).score([JudgeInput("who?", "ann", "ann")])
    np.testing.assert_allclose(same, 1, atol=1e-6)


class Known(OwnStates):
    """States that are given: the first number tells the end, the second how sure it is."""

    def __init__(self, known: dict[str, np.ndarray], model: Any) -> None:
        super().__init__(model, Letters(), asked, (1,))
        self.known = known

    def vectors(self, texts: Any) -> np.ndarray:
        return np.stack([self.known[prefix][None] for _, prefix in texts])


def world(rng: np.random.Generator, questions: int) -> tuple[Any, Any, np.ndarray]:
    """Questions of six traces; each vector points to its answer, blurred where it is unsure."""
    known, inputs, same = {}, [], []
    for q in range(questions):
        answers = rng.choice(8, size=6, p=[0.65, *[0.05] * 7])
        for i, answer in enumerate(answers):
            direction = np.eye(8)[answer] + rng.normal(0, 0.35, 8)
            known[f"{q}/{i}"] = np.append(direction, float(answer == 0) + rng.normal(0, 0.5))
        for i, j in itertools.combinations(range(6), 2):
            inputs.append(JudgeInput(f"q{q}", f"{q}/{i}", f"{q}/{j}"))
            same.append(answers[i] == answers[j])
    return known, inputs, np.array(same)


def test_it_learns_what_the_states_hold_and_no_order_matters(model: Qwen2ForCausalLM) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(5)
    known, inputs, same = world(rng, 60)
    others, tests, truth = world(rng, 60)
    head = learned_head(Known(known, model), inputs, same, ridge=1.0, penalty=1.0)
    judge = OwnStatesJudge(Known(others, model), head)
    scores = judge.score(tests)
    assert scores.min() >= 0 and scores.max() <= 1
    assert roc_auc_score(truth, scores) > 0.9
    np.testing.assert_allclose(judge.score([pair.swapped for pair in tests]), scores, atol=1e-12)
    # Labels that mean nothing teach nothing: all pairs get about the same score.
    noise = learned_head(Known(known, model), inputs, rng.permutation(same), penalty=1.0)
    assert OwnStatesJudge(Known(others, model), noise).score(tests).std() < scores.std() / 4


def test_bad_lessons_are_refused(model: Qwen2ForCausalLM) -> None:
    known, inputs, same = world(np.random.default_rng(6), 4)
    with pytest.raises(ValueError, match="at least 5 questions, got 4"):
        learned_head(Known(known, model), inputs, same)
    with pytest.raises(ValueError, match="one kind only"):
        learned_head(Known(known, model), inputs, np.ones(len(inputs), bool))


def test_the_estimates_are_those_of_scikit_learn(model: Qwen2ForCausalLM) -> None:
    from sklearn.linear_model import Ridge

    known, inputs, same = world(np.random.default_rng(8), 8)
    head = learned_head(Known(known, model), inputs, same, ridge=3.0)
    texts = sorted(known)
    states = np.array([known[text] for text in texts])
    question = np.array([int(text.split("/")[0]) for text in texts])
    agreed = np.array([
        np.mean([s for p, s in zip(inputs, same, strict=True) if text in (p.first, p.second)])
        for text in texts
    ])  # fmt: skip
    scale = states.std(axis=0)
    standard = (states - states.mean(axis=0)) / scale
    means = np.array([standard[question == q].mean(axis=0) for q in range(8)])
    target = agreed - np.array([agreed[question == q].mean() for q in range(8)])[question]
    found = Ridge(alpha=3.0, fit_intercept=False).fit(standard - means[question], target)
    np.testing.assert_allclose(head.sure * scale, found.coef_, rtol=1e-6)


def test_a_head_comes_back_from_its_file(model: Qwen2ForCausalLM, tmp_path: Path) -> None:
    known, inputs, same = world(np.random.default_rng(9), 12)
    head = learned_head(Known(known, model), inputs, same)
    head.save(tmp_path / "deep" / "head.safetensors")
    again = StatesHead.load(tmp_path / "deep" / "head.safetensors")
    scores = (OwnStatesJudge(Known(known, model), h).score(inputs) for h in (head, again))
    np.testing.assert_allclose(*scores, atol=1e-5)
    with pytest.raises(FileNotFoundError, match="run `make judges`"):
        StatesHead.load(tmp_path / "nothing.safetensors")
    save_file({"other": np.zeros(2, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"got other"):
        StatesHead.load(tmp_path / "other.safetensors")


def test_a_prefix_is_paid_for_once(model: Qwen2ForCausalLM) -> None:
    nothing = StatesHead(np.zeros(32), 0.0, np.zeros(6), 0.0)
    judge = OwnStatesJudge(OwnStates(model, Letters(), asked, LAYERS), nothing)
    assert isinstance(judge, ReadsOnce)
    pairs = [JudgeInput("ab", "xyz", "w"), JudgeInput("ab", "w", "xyz"), JudgeInput("ab", "w", "v")]
    meter = TokenMeter(judge)
    meter.add(pairs)
    assert meter.tokens == judge.num_tokens(pairs).sum() == (4 + 3) + (4 + 1) + (4 + 1)


class Toy(OwnStates):
    """States that are a kind's direction and noise; the kind is a text's first letter."""

    def __init__(self) -> None:
        pass

    def vectors(self, texts: Any) -> np.ndarray:
        def one(question: str, prefix: str) -> np.ndarray:
            rng = np.random.default_rng(crc32((question + prefix).encode()))
            return np.eye(4)["abcd".index(prefix[0])] + 0.05 * rng.normal(size=4)

        return np.array([[one(*text)] for text in texts])


def pairs(questions: range) -> tuple[list[JudgeInput], np.ndarray]:
    texts = ["a1", "a2", "b1", "b2", "c1", "d1"]
    found = [JudgeInput(f"q{q}", x, y) for q in questions for x in texts for y in texts if x < y]
    return found, np.array([p.first[0] == p.second[0] for p in found])


def test_it_learns_to_compare_costs_nothing() -> None:
    judge = SelfJudge(Toy(), penalty=1.0).fit(*pairs(range(8)))
    fresh, same = pairs(range(8, 12))
    scores = judge.score(fresh)
    assert scores[same].min() > scores[~same].max()
    assert judge.num_tokens(fresh).tolist() == [0] * len(fresh)
    assert judge.score([]).shape == (0,)


def test_one_kind_of_pairs_is_refused() -> None:
    some, _ = pairs(range(2))
    with pytest.raises(ValueError, match="one kind only"):
        SelfJudge(Toy()).fit(some, np.ones(len(some), bool))
