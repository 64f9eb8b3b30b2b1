r"""A judge that reads each prefix once and compares what it kept of two of them.

The pairwise judge reads both prefixes for every pair: n traces cost up to n (n - 1) / 2 readings.
Here a causal model reads question and prefix once a trace. A few learned queries gather the
prefix's hidden states into a vector, and a small symmetric head compares two vectors:

.. math:: J(t_i, t_j) = \sigma(f(|u_i - u_j|, u_i \cdot u_j, u_i + u_j)).

n traces cost n readings, and a question of n traces trains all its pairs for n readings.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepprune_core.judge import same_probability, weights_digest
from deepprune_core.judging.inputs import JudgeInput, first_readings
from deepprune_core.judging.packing import PackedBatch, packed_passes, packed_states
from deepprune_core.judging.prompts import EncodedPair, JudgePrompt, PairEncoder

HEAD = "head.safetensors"
PAIRS_AT_ONCE = 65_536
KEPT_TEXTS = 50_000  # some 10 kB each with their text
Text = tuple[str, str]
"""A question and a prefix."""


class PairHead(torch.nn.Module):
    """Gathers a prefix's hidden states into one vector, and compares two vectors.

    ``hidden``: the model's width; ``slots``: learned queries; ``width``: values per query;
    ``inner``: units of the comparing layer. A vector has ``slots * width`` numbers.
    """

    def __init__(self, hidden: int, slots: int = 8, width: int = 64, inner: int = 64) -> None:
        super().__init__()
        self.queries = torch.nn.Linear(hidden, slots, bias=False)
        self.values = torch.nn.Linear(hidden, width)
        self.compared = torch.nn.Linear(3 * slots * width, inner)
        self.margin = torch.nn.Linear(inner, 1)

    def gather(self, states: Tensor, batch: PackedBatch) -> Tensor:
        """Return a vector per text, (texts, slots * width), of (rows, length, hidden) states.

        Only the states of the prefix itself count; they have seen the question.
        """
        mine = batch.own
        with torch.autocast(states.device.type, enabled=False):
            states = states.float()
            logits = self.queries(states)[batch.row].masked_fill(~mine[:, :, None], -torch.inf)
            weights = torch.softmax(logits, dim=1)
            values = self.values(states)[batch.row]
            return torch.einsum("tls,tlw->tsw", weights, values).flatten(1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the margins (pairs,) of same over different; the order does not matter."""
        features = [(first - second).abs(), first * second, first + second]
        hidden = torch.nn.functional.gelu(self.compared(torch.cat(features, dim=-1)))
        margins: Tensor = self.margin(hidden)[:, 0]
        return margins


class TextEncoder:
    """Turns (question, prefix) into token ids: the pairwise prompt up to its first prefix."""

    def __init__(self, tokenizer: Any, prompt: JudgePrompt, max_tokens: int) -> None:
        self._pairs, self.max_tokens = PairEncoder(tokenizer, prompt, max_tokens), max_tokens
        self.tokenizer = tokenizer

    def encode(self, text: Text) -> EncodedPair:
        """Return the question's ids (head) and the prefix's (tail), which is cut if need be."""
        return self._pairs.encode_one(*text)


def encode_texts(
    decoder: Any, head: PairHead, encoded: Sequence[EncodedPair], budget: int
) -> Tensor:
    """Return the vectors of texts, (texts, slots * width); a question's are read together.

    ``budget``: padded tokens a forward pass reads at most.
    """
    groups: dict[bytes, list[int]] = {}
    for i, one in enumerate(encoded):
        groups.setdefault(one.head.tobytes(), []).append(i)
    device = next(head.parameters()).device
    order, parts = [], []
    for rows, batch in packed_passes(encoded, map(np.array, groups.values()), budget):
        here = batch.to(device)
        parts.append(head.gather(packed_states(decoder, here), here))
        order.append(rows)
    back = torch.from_numpy(np.argsort(np.concatenate(order))).to(device)
    return torch.cat(parts)[back]


class EncodeOnceJudge:
    """The judge over a causal language model and a :class:`PairHead`.

    Args:
        model: a causal language model, on any device; its own head is not used.
        head: gathers and compares.
        tokenizer: the model's tokenizer.
        prompt: the pairwise prompt; what follows the first prefix is not read.
        max_tokens: longest text (default: the model's context).
        batch_tokens: padded tokens a forward pass reads at most.
        autocast: run the model's layers in bf16 autocast; the head stays fp32.
        keep: prefixes whose vectors are kept; beyond, the oldest are forgotten, and read again when
            asked for. A call may hold more while it works.
    """

    def __init__(
        self,
        model: Any,
        head: PairHead,
        tokenizer: Any,
        prompt: JudgePrompt,
        max_tokens: int | None = None,
        batch_tokens: int = 8_192,
        *,
        autocast: bool = False,
        keep: int = KEPT_TEXTS,
    ) -> None:
        self.model, self.head, self.keep = model, head, keep
        limit = max_tokens or int(model.config.max_position_embeddings)
        self.encoder = TextEncoder(tokenizer, prompt, limit)
        self.batch_tokens, self.autocast = batch_tokens, autocast
        self._vectors: dict[Text, np.ndarray] = {}

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64, in input order; a prefix is read once.

        Raises:
            FloatingPointError: the model gave NaN or infinite margins.
            ValueError: a question leaves no room for a prefix.
        """
        if not inputs:
            return np.empty(0)
        self.remember([text for pair in inputs for text in texts_of(pair)])
        device = next(self.head.parameters()).device
        margins = []
        with torch.no_grad():
            for start in range(0, len(inputs), PAIRS_AT_ONCE):
                part = [texts_of(pair) for pair in inputs[start : start + PAIRS_AT_ONCE]]
                first, second = (
                    torch.from_numpy(np.stack([self._vectors[pair[side]] for pair in part]))
                    for side in (0, 1)
                )
                margins.append(self.head(first.to(device), second.to(device)).double().cpu())
        self._forget_oldest()
        found = torch.cat(margins).numpy()
        if not np.isfinite(found).all():
            raise FloatingPointError(
                "expected finite margins, got NaN or infinity; check the weights, or score in fp32"
            )
        return same_probability(found)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens of reading these pairs from nothing: see :func:`first_readings`."""
        return first_readings(self, inputs)

    def text_tokens(self, texts: Sequence[Text]) -> np.ndarray:
        """Return the tokens of reading each text by itself: ``(n,)`` int64."""
        return np.array([self.encoder.encode(text).num_tokens for text in texts], dtype=np.int64)

    def remember(self, texts: Sequence[Text]) -> None:
        """Read those texts that are new, and keep their vectors."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if not new:
            return
        encoded = [self.encoder.encode(text) for text in new]
        kind = next(self.head.parameters()).device.type
        self.model.eval()
        # no_grad, not inference_mode: the model may be in the middle of its training.
        with torch.no_grad(), torch.autocast(kind, torch.bfloat16, enabled=self.autocast):
            vectors = encode_texts(self.model.get_decoder(), self.head, encoded, self.batch_tokens)
        for text, vector in zip(new, vectors.float().cpu().numpy(), strict=True):
            self._vectors[text] = vector

    def _forget_oldest(self) -> None:
        for text in list(self._vectors)[: max(0, len(self._vectors) - self.keep)]:
            del self._vectors[text]

    def forget(self) -> None:
        """Drop all vectors, as after a change of the weights."""
        self._vectors.clear()

    @property
    def fingerprint(self) -> str:
        """A hex digest of weights and every setting that moves a score; not cached."""
        parts = (
            weights_digest(self.model), weights_digest(self.head), self.encoder.max_tokens,
            self.autocast,
        )  # fmt: skip
        return sha256(repr(parts).encode()).hexdigest()


def texts_of(pair: JudgeInput) -> tuple[Text, Text]:
    """Return the two texts of a pair."""
    return (pair.question, pair.first), (pair.question, pair.second)


def load_head(path: Path) -> PairHead:
    """Return a saved head; its sizes are read off the weights.

    Raises:
        ValueError: the file holds no such head.
    """
    from safetensors.torch import load_file

    weights = {name: value.float() for name, value in load_file(path).items()}
    try:
        slots, hidden = weights["queries.weight"].shape
        head = PairHead(
            hidden, slots, len(weights["values.weight"]), len(weights["compared.weight"])
        )
        head.load_state_dict(weights)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: expected the head of an encode-once judge ({error})") from None
    return head.eval()
