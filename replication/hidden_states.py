r"""The reasoner's own states: what it held in mind while it wrote a prefix.

A reasoner knows more of where it is going than its words show. Here its hidden states over one
of its prefixes are averaged, layer by layer, into one vector a prefix. They exist anyway once the
prefix is written; an engine that hands them out gives them for nothing, and any other has to read
the prefix once more.

States of different models have nothing in common, so a judge of states serves the reasoner that
it was trained on. :class:`StatesCosineJudge` compares two vectors without training,
:class:`SelfJudge` by a logistic regression.

:class:`OwnStatesJudge` looks at less, and more closely. From each prefix's vector a ridge
regression first estimates how many of the question's other traces it will agree with: prefixes
that are sure of their end agree more often. A logistic regression then looks at both estimates,
at the cosine of the two vectors in every layer, and at the numbers that both texts share. Both
are linear, so all that is learned is a few thousand numbers (:class:`StatesHead`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor
from tqdm import tqdm

from deepprune_core.formats.files import whole_file
from deepprune_core.judging.encode_once import Text, texts_of
from deepprune_core.judging.inputs import JudgeInput, first_readings
from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.judging.packing import PackedBatch, packed_passes, packed_states
from deepprune_core.judging.pair_regression import PairRegression, refuse_one_kind
from deepprune_core.judging.prompts import EncodedPair

FOLDS = 5
PARTS = ("sure", "sure_bias", "pair", "pair_bias")


class AskedTexts:
    """Questions and prefixes as the reasoner met them; ``prompt_of`` is as in OwnStates."""

    def __init__(self, tokenizer: Any, prompt_of: Callable[[str], str]) -> None:
        self.tokenizer, self.prompt_of = tokenizer, prompt_of

    def encode(self, text: Text) -> EncodedPair:
        """Return the token ids of the question's prompt (head) and of the prefix (tail).

        Where nothing is written yet, the state in which the trace begins is the prompt's last.
        """
        parts = (self.prompt_of(text[0]), text[1])
        head, tail = (
            np.array(self.tokenizer.encode(part, add_special_tokens=False), dtype=np.int64)
            for part in parts
        )
        if not len(tail):
            head, tail = head[:-1], head[-1:]
        return EncodedPair(head, tail, shortened=False)

    def text_tokens(self, texts: Sequence[Text]) -> np.ndarray:
        """Return the tokens of each question's prompt and prefix: ``(n,)`` int64."""
        return np.array([self.encode(text).num_tokens for text in texts], dtype=np.int64)


class OwnStates:
    """Reads prefixes with the model that wrote them, each once.

    Args:
        model: the reasoner, a causal language model of transformers.
        tokenizer: its tokenizer.
        prompt_of: turns a question into the prompt that the reasoner was asked with.
        layers: after which layers (from 1) the states are taken; default: the middle one, as is
            usual in probing.
        batch_tokens: padded tokens a forward pass reads at most.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompt_of: Callable[[str], str],
        layers: Sequence[int] | None = None,
        batch_tokens: int = 4_096,
    ) -> None:
        known = int(model.config.num_hidden_layers)
        layers = (known // 2,) if layers is None else layers
        if not layers or not all(1 <= layer <= known for layer in layers):
            raise ValueError(f"expected layers from 1 to {known}, got {list(layers)}")
        self.model, self.texts = model.eval(), AskedTexts(tokenizer, prompt_of)
        self.layers, self.batch_tokens = tuple(layers), batch_tokens
        self.kept: dict[Text, np.ndarray] = {}

    def vectors(self, texts: Sequence[Text]) -> np.ndarray:
        """Return each prefix's mean states: ``(n, layers, hidden)`` float32.

        What was read before is not read again, and a prefix is read along with a longer one that
        begins with it: a causal model's states do not depend on what follows.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self.kept]
        rows = [self.texts.encode(text) for text in new]
        within = begun_alike(rows)
        groups: dict[bytes, list[int]] = {}
        for i in within:
            groups.setdefault(rows[i].head.tobytes(), []).append(i)
        with torch.no_grad(), tqdm(total=len(new), desc="read", unit="prefix", delay=5) as bar:
            for longest, batch in packed_passes(
                rows, map(np.array, groups.values()), self.batch_tokens
            ):
                for i, states in zip(longest.tolist(), self._states(batch), strict=True):
                    for j in within[i]:
                        self.kept[new[j]] = states[:, : len(rows[j].tail)].mean(dim=1).numpy()
                    bar.update(len(within[i]))
        return np.array([self.kept[text] for text in texts])

    def _states(self, batch: PackedBatch) -> Iterator[Tensor]:
        """Yield the states of each of a pass's prefixes, float32: (layers, tokens, hidden)."""
        decoder, taken = self.model.get_decoder(), {}

        def keep(layer: int) -> Callable[..., None]:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                taken[layer] = output[0] if isinstance(output, tuple) else output

            return hook

        here = batch.to(self.model.device)
        hooks = [decoder.layers[n - 1].register_forward_hook(keep(n)) for n in self.layers]
        try:
            packed_states(decoder, here)
        finally:
            for hook in hooks:
                hook.remove()
        for row, own in zip(here.row, here.own, strict=True):
            yield torch.stack([taken[n][row][own].float() for n in self.layers]).cpu()


def begun_alike(rows: Sequence[EncodedPair]) -> dict[int, list[int]]:
    """Return the rows (indices) that begin no other, each with those that begin it and itself.

    In lexicographic order a row that begins another begins the one right after it.
    """

    def key(i: int) -> tuple[bytes, list[int]]:
        return rows[i].head.tobytes(), rows[i].tail.tolist()

    found: dict[int, list[int]] = {}
    longest = after = None
    for i in sorted(range(len(rows)), key=key, reverse=True):
        mine = key(i)
        if longest is None or after is None or mine != (after[0], after[1][: len(mine[1])]):
            longest = i
            found[longest] = []
        found[longest].append(i)
        after = mine
    return found


class _ReadsOnceMore:
    """What a judge of states costs where no engine hands them out: each prefix is read again."""

    states: OwnStates

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)

    def text_tokens(self, texts: Sequence[Text]) -> np.ndarray:
        """Return the tokens of reading each prefix and its question once more: ``(n,)`` int64."""
        return self.states.texts.text_tokens(texts)


class StatesCosineJudge(_ReadsOnceMore):
    """(1 + cosine) / 2 of both prefixes' states, averaged over the layers; nothing is trained."""

    def __init__(self, states: OwnStates) -> None:
        self.states = states

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64; the order of a pair does not matter."""
        if not len(inputs):
            return np.zeros(0)
        places, sides = _placed(inputs)
        near = _cosines(self.states.vectors(list(places)), sides).mean(axis=1)
        return np.clip((1 + near) / 2, 0, 1).astype(np.float64)


class SelfJudge(PairRegression):
    """P(same) from |u - v| and u * v of both prefixes' states u and v.

    Args:
        states: reads the prefixes, with one layer.
        penalty: strength of the L2 penalty (the inverse of scikit-learn's C).
    """

    def __init__(self, states: OwnStates, *, penalty: float = 100.0) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.states = states
        model = LogisticRegression(C=1 / penalty, max_iter=1000)
        super().__init__(make_pipeline(StandardScaler(), model))

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return zeros, ``(n,)`` int64: the reasoner has read it all when it wrote it."""
        return np.zeros(len(inputs), np.int64)

    def vectors(self, inputs: Sequence[JudgeInput]) -> tuple[np.ndarray, np.ndarray]:
        """Return the states of first and second prefixes, ``(n, layers * hidden)`` each."""
        first, second = (
            self.states.vectors(texts).reshape(len(inputs), -1).astype(np.float64)
            for texts in zip(*map(texts_of, inputs), strict=True)
        )
        return first, second


@dataclass(frozen=True)
class StatesHead:
    """What was learned: ``sure`` (layers * hidden,) and ``pair`` (features,), each with a bias.

    ``lessons`` names what it was learned from.
    """

    sure: np.ndarray
    sure_bias: float
    pair: np.ndarray
    pair_bias: float
    lessons: str = ""

    def save(self, path: Path) -> None:
        """Write it as safetensors, whole or not at all."""
        parts = {name: np.asarray(getattr(self, name), np.float32) for name in PARTS}
        with whole_file(path) as fresh:
            save_file(parts, fresh, {"lessons": self.lessons})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds something else.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no trained head; run `make judges` for own-states")
        with safe_open(path, "np") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            lessons = (file.metadata() or {}).get("lessons", "")
        if set(found) != set(PARTS):
            raise ValueError(f"{path}: expected {', '.join(PARTS)}, got {', '.join(found)}")
        return cls(found["sure"], float(found["sure_bias"]), found["pair"],
                   float(found["pair_bias"]), lessons)  # fmt: skip


def learned_head(
    states: OwnStates, inputs: Sequence[JudgeInput], same: np.ndarray, *,
    ridge: float = 1e3, penalty: float = 100.0,
) -> StatesHead:  # fmt: skip
    """Train on all labelled pairs of some questions; ``same``: (n,) bool.

    The ridge regression learns each prefix's agreement less its question's mean, from states less
    their question's mean: which questions are easy is no news about a prefix. What the pairs'
    regression learns from is estimated for questions that the ridge regression has not seen, in
    five folds of questions.

    Args:
        ridge: L2 penalty of the estimate of agreement, on standardised states.
        penalty: L2 penalty of the pair's logistic regression (the inverse of scikit-learn's C).

    Raises:
        ValueError: only one label occurs, or there are fewer than five questions.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    refuse_one_kind(same)
    places, sides = _placed(inputs)
    texts = list(places)
    _, questions = np.unique([question for question, _ in texts], return_inverse=True)
    if questions.max() + 1 < FOLDS:
        raise ValueError(f"expected pairs of at least {FOLDS} questions, got {questions.max() + 1}")
    met = np.bincount(sides.ravel(), minlength=len(texts))
    agreed = np.bincount(sides.ravel(), np.repeat(same, 2).astype(float), len(texts)) / met
    vectors = states.vectors(texts)
    flat, honest = vectors.reshape(len(texts), -1), np.zeros(len(texts))
    for seen, unseen in GroupKFold(FOLDS).split(flat, groups=questions):
        weights, bias = _sureness(flat[seen], agreed[seen], questions[seen], ridge)
        honest[unseen] = flat[unseen] @ weights + bias
    features = _features(inputs, vectors, sides, honest)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1
    model = LogisticRegression(C=1 / penalty, max_iter=1_000).fit((features - mean) / scale, same)
    pair = model.coef_[0] / scale
    return StatesHead(
        *_sureness(flat, agreed, questions, ridge), pair, float(model.intercept_[0] - mean @ pair)
    )


def _sureness(
    flat: np.ndarray, agreed: np.ndarray, questions: np.ndarray, ridge: float
) -> tuple[np.ndarray, float]:
    """Return weights (features,) and bias that estimate agreement from states (n, features)."""
    from sklearn.linear_model import Ridge

    mean, scale = flat.mean(axis=0), flat.std(axis=0)
    scale[scale == 0] = 1

    def deviations(values: np.ndarray) -> np.ndarray:
        counts = np.bincount(questions)[:, None]
        sums = np.zeros((len(counts), values.shape[1]))
        np.add.at(sums, questions, values)
        return np.asarray(values - (sums / np.maximum(counts, 1))[questions])

    model = Ridge(alpha=ridge, fit_intercept=False)
    model.fit(deviations((flat - mean) / scale), deviations(agreed[:, None])[:, 0])
    weights = model.coef_ / scale
    return weights, float(-mean @ weights)


class OwnStatesJudge(_ReadsOnceMore):
    """P(same) from the states of :class:`OwnStates` and what :func:`learned_head` learned."""

    def __init__(self, states: OwnStates, head: StatesHead) -> None:
        self.states, self.head = states, head

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64; the order of a pair does not matter."""
        if not len(inputs):
            return np.zeros(0)
        places, sides = _placed(inputs)
        states, head = self.states.vectors(list(places)), self.head
        sure = states.reshape(len(places), -1) @ head.sure + head.sure_bias
        logits = _features(inputs, states, sides, sure) @ head.pair + head.pair_bias
        return np.asarray(1 / (1 + np.exp(-logits)))


def _features(
    inputs: Sequence[JudgeInput], states: np.ndarray, sides: np.ndarray, sure: np.ndarray
) -> np.ndarray:
    """Return (pairs, layers + 4): cosines, both estimates as sum, product, gap, numbers."""
    a, b = sure[sides[:, 0]], sure[sides[:, 1]]
    shared = NumberOverlapJudge().score(inputs)
    return np.column_stack([_cosines(states, sides), a + b, a * b, np.abs(a - b), shared])


def _placed(inputs: Sequence[JudgeInput]) -> tuple[dict[Text, int], np.ndarray]:
    """Return the different texts with their places, and both places of every pair: (n, 2)."""
    places: dict[Text, int] = {}
    sides = [[places.setdefault(t, len(places)) for t in texts_of(pair)] for pair in inputs]
    return places, np.array(sides, dtype=np.int64).reshape(len(inputs), 2)


def _cosines(states: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Return the cosine of both prefixes' states in every layer: (pairs, layers)."""
    length = np.linalg.norm(states, axis=2, keepdims=True)
    unit = states / np.where(length == 0, 1, length)
    return np.asarray((unit[sides[:, 0]] * unit[sides[:, 1]]).sum(axis=2))
