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
at the cosine of the two vectors in every layer, and at the numbers that both texts share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from tqdm import tqdm

from deepprune_core.judging.encode_once import Text, texts_of
from deepprune_core.judging.inputs import JudgeInput, first_readings
from deepprune_core.judging.number_overlap import NumberOverlapJudge
from deepprune_core.judging.packing import PackedBatch, packed_passes, packed_states
from deepprune_core.judging.pair_regression import PairRegression, refuse_one_kind
from deepprune_core.judging.prompts import EncodedPair

FOLDS = 5


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

        What was read before is not read again.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self.kept]
        rows = [self.texts.encode(text) for text in new]
        groups: dict[bytes, list[int]] = {}
        for i, row in enumerate(rows):
            groups.setdefault(row.head.tobytes(), []).append(i)
        with torch.no_grad(), tqdm(total=len(new), desc="read", unit="prefix", delay=5) as bar:
            for members, batch in packed_passes(
                rows, map(np.array, groups.values()), self.batch_tokens
            ):
                for i, vector in zip(members.tolist(), self._means(batch), strict=True):
                    self.kept[new[i]] = vector
                bar.update(len(members))
        return np.array([self.kept[text] for text in texts])

    def _means(self, batch: PackedBatch) -> np.ndarray:
        """Return the mean states of a pass's prefixes: (prefixes, layers, hidden)."""
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
        weights = here.own.float() / here.own.sum(dim=1, keepdim=True)
        means = [torch.einsum("tl,tlh->th", weights, taken[n].float()[here.row])
                 for n in self.layers]  # fmt: skip
        return torch.stack(means, dim=1).cpu().numpy()


class StatesCosineJudge:
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

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)

    def text_tokens(self, texts: Sequence[Text]) -> np.ndarray:
        """Return the tokens of reading each prefix and its question once more: ``(n,)`` int64."""
        return self.states.texts.text_tokens(texts)


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


class OwnStatesJudge:
    """P(same) from the states of :class:`OwnStates`; :meth:`fit` comes before :meth:`score`.

    Args:
        states: reads the prefixes.
        ridge: L2 penalty of the estimate of agreement, on standardised states.
        penalty: L2 penalty of the pair's logistic regression (the inverse of scikit-learn's C).
    """

    def __init__(self, states: OwnStates, *, ridge: float = 1e4, penalty: float = 1.0) -> None:
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.states = states
        self._agrees = make_pipeline(StandardScaler(), Ridge(alpha=ridge))
        self._pairs = make_pipeline(
            StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=1_000)
        )

    def fit(self, inputs: Sequence[JudgeInput], same: np.ndarray) -> Self:
        """Train on all labelled pairs of some questions; ``same``: (n,) bool.

        The estimates that the pairs' regression learns from are made for questions which the
        ridge regression has not seen, in five folds of questions.

        Raises:
            ValueError: only one label occurs, or there are fewer than five questions.
        """
        from sklearn.model_selection import GroupKFold, cross_val_predict

        refuse_one_kind(same)
        places, sides = _placed(inputs)
        texts = list(places)
        questions = [question for question, _ in texts]
        if len(set(questions)) < FOLDS:
            raise ValueError(
                f"expected pairs of at least {FOLDS} questions, got {len(set(questions))}"
            )
        met = np.bincount(sides.ravel(), minlength=len(texts))
        agreed = np.bincount(sides.ravel(), np.repeat(same, 2).astype(float), len(texts)) / met
        states = self.states.vectors(texts)
        flat = states.reshape(len(texts), -1)
        honest = cross_val_predict(
            self._agrees, flat, agreed, groups=questions, cv=GroupKFold(FOLDS)
        )
        self._agrees.fit(flat, agreed)
        self._pairs.fit(self._features(inputs, states, sides, honest), same)
        return self

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64; the order of a pair does not matter."""
        if not len(inputs):
            return np.zeros(0)
        places, sides = _placed(inputs)
        states = self.states.vectors(list(places))
        sure = self._agrees.predict(states.reshape(len(places), -1))
        features = self._features(inputs, states, sides, sure)
        return np.asarray(self._pairs.predict_proba(features)[:, 1])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)

    def text_tokens(self, texts: Sequence[Text]) -> np.ndarray:
        """Return the tokens of reading each prefix and its question once more: ``(n,)`` int64."""
        return self.states.texts.text_tokens(texts)

    def _features(
        self, inputs: Sequence[JudgeInput], states: np.ndarray, sides: np.ndarray,
        sure: np.ndarray,
    ) -> np.ndarray:  # fmt: skip
        """Return (pairs, layers + 4): cosines, both estimates as sum, product, gap, numbers."""
        cosine = _cosines(states, sides)
        a, b = sure[sides[:, 0]], sure[sides[:, 1]]
        shared = NumberOverlapJudge().score(inputs)
        return np.column_stack([cosine, a + b, a * b, np.abs(a - b), shared])


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
