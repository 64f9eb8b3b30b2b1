r"""The judge: a causal language model that tells whether two unfinished traces will agree.

Paper, section 3 (offline judge). The model reads two prefixes and answers with one of two
label tokens. With the logits :math:`z` at the last position,

.. math:: J(t_i, t_j) = P(\text{same}) = \frac{e^{z_s}}{e^{z_s} + e^{z_d}} = \sigma(z_s - z_d).

Pairs that begin with the same question and first prefix share that part: the model reads it
once and its key-value cache serves every second prefix. The head of the language model is
applied to one position per pair and two rows of its matrix, in fp32.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from deepprune_core.judging.inputs import Judge, JudgeInput
from deepprune_core.judging.packing import packed_hidden, packed_passes, pad_right, token_batches
from deepprune_core.judging.prompts import EncodedPair, JudgePrompt, PairEncoder, label_token

__all__ = [
    "CausalLMJudge",
    "Judge",
    "JudgeInput",
    "pad_right",
    "token_batches",
    "verdict_logits",
    "weights_digest",
]

_log = logging.getLogger(__name__)
_PROGRESS_AFTER_S = 5.0


def verdict_logits(
    model: Any, ids: Tensor, last: Tensor, labels: tuple[int, int], cache: Any = None
) -> Tensor:
    """Return the two label logits ``(batch, 2)``, fp32, columns in the order of ``labels``.

    ``ids``: ``(batch, length)``, right padded; ``last``: ``(batch,)`` last real position of
    each row; ``cache``: the key-value cache of what precedes ``ids`` (batch rows), or None.
    Soft-capping or scaling of logits, which a few families do after the head, is not applied.
    """
    output = model.get_decoder()(input_ids=ids, past_key_values=cache, use_cache=cache is not None)
    hidden = output.last_hidden_state
    return label_logits(model, hidden[torch.arange(len(ids), device=ids.device), last], labels)


def label_logits(model: Any, hidden: Tensor, labels: tuple[int, int]) -> Tensor:
    """Return the two label logits ``(n, 2)``, fp32, of last hidden states ``(n, hidden)``."""
    head = model.get_output_embeddings()
    chosen = torch.tensor(labels, device=head.weight.device)
    # bf16 cannot tell p = 0.999 from 1, so the margin is computed outside autocast.
    with torch.autocast(hidden.device.type, enabled=False):
        bias = None if getattr(head, "bias", None) is None else head.bias[chosen].float()
        return torch.nn.functional.linear(hidden.float(), head.weight[chosen].float(), bias)


def same_probability(margins: np.ndarray) -> np.ndarray:
    """Return P(same) ``(n,)`` of the logits of same minus those of different ``(n,)``.

    Margins are rounded: sums differ in their last bits with the layout of a batch, and ranks
    should not.
    """
    return 1 / (1 + np.exp(-np.clip(np.round(margins, 3), -700, 700)))


def weights_digest(model: Any, dtype: torch.dtype | None = None) -> str:
    """Return a sha256 (hex) of all weights, first cast to ``dtype`` (None: as they are).

    With bf16 a model counts as the same whether its file was loaded in fp32 or in bf16.
    """
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        data = tensor.detach().cpu().to(dtype or tensor.dtype).contiguous().reshape(-1)
        digest.update(f"{name} {tuple(data.shape)} {data.dtype}\n".encode())
        digest.update(data.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class CausalLMJudge:
    """The judge over a ``transformers`` causal language model.

    Args:
        model: a causal language model (a LoRA-wrapped one included), on any device.
        tokenizer: its tokenizer.
        prompt: the template and the label words.
        max_tokens: longest prompt (default: the model's context). A longer pair has both
            prefixes cut to one common length; :attr:`num_shortened` counts those pairs.
        batch_tokens: padded tokens a forward pass reads at most (longer prompts go alone).
        symmetric: average the scores of both orders, which doubles the cost.
        autocast: run the layers in bf16 autocast; the margin stays fp32.
        packed: read pairs with one head in rows of their own (:mod:`judging.packing`) and not
            through a cache; several times faster on a CPU. ``compiled`` compiles those passes.
        min_shared: least number of pairs with one head for which the head is read once;
            None reads every prompt in full.

    Raises:
        ValueError: a label is not one token, or ``max_tokens`` exceeds the model's context.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompt: JudgePrompt,
        max_tokens: int | None = None,
        batch_tokens: int = 8_192,
        symmetric: bool = False,
        *,
        autocast: bool = False,
        packed: bool = False,
        compiled: bool = False,
        min_shared: int | None = 3,
    ) -> None:
        context = int(model.config.max_position_embeddings)
        if max_tokens is not None and max_tokens > context:
            raise ValueError(
                f"expected max_tokens of at most {context} (the model's context), got "
                f"{max_tokens}; lower max_tokens"
            )
        labels = [label_token(tokenizer, w) for w in (prompt.different_label, prompt.same_label)]
        if labels[0] == labels[1]:
            raise ValueError(f"expected two different label tokens, got {prompt}; change one")
        self.model, self.tokenizer, self.prompt = model, tokenizer, prompt
        self.labels = (labels[0], labels[1])
        self.encoder = PairEncoder(tokenizer, prompt, max_tokens or context)
        self.batch_tokens, self.symmetric = batch_tokens, symmetric
        self.autocast, self.packed = autocast, packed
        self.min_shared = 1 if packed else min_shared
        decoder = model.get_decoder()
        self._decoder = torch.compile(decoder, dynamic=True) if compiled else decoder
        self.num_shortened = 0

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64, in input order; equal pairs are read once.

        Raises:
            FloatingPointError: the model gave NaN or infinite logits; names the pairs.
            ValueError: a question leaves no room for the prefixes.
        """
        asked = [self._as_read(pair) for pair in inputs]
        if self.symmetric:
            asked += [pair.swapped for pair in asked]
        place = {pair: i for i, pair in enumerate(dict.fromkeys(asked))}
        margins = self._margins(list(place))[[place[pair] for pair in asked]]
        self._refuse_nan(margins, len(inputs))
        scores = same_probability(margins)
        return scores.reshape(-1, len(inputs)).mean(axis=0) if len(inputs) else scores

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the prompt tokens per pair: ``(n,)`` int64, both orders when symmetric.

        This is the whole prompt of every pair, without the savings of sharing: an upper bound
        that does not depend on batch layout.
        """
        counts = np.array([self._encode(pair).num_tokens for pair in inputs], dtype=np.int64)
        if self.symmetric:
            counts += np.array([self._encode(p.swapped).num_tokens for p in inputs], np.int64)
        return counts

    @property
    def fingerprint(self) -> str:
        """A hex digest of weights, tokenizer and every setting that moves a score; not cached."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        parts = (
            weights_digest(self.model),
            backend.to_str() if backend is not None else "",
            self.prompt,
            self.encoder.max_tokens,
            self.symmetric,
            self.autocast,
        )
        return sha256(repr(parts).encode()).hexdigest()

    def _as_read(self, pair: JudgeInput) -> JudgeInput:
        """Return the pair without what the prompt leaves out, so that equal prompts are equal."""
        return pair if self.prompt.reads_question else JudgeInput("", pair.first, pair.second)

    def _encode(self, pair: JudgeInput) -> EncodedPair:
        return self.encoder.encode(pair.question, pair.first, pair.second)

    def _count_shortened(self, inputs: Sequence[JudgeInput], pairs: Sequence[EncodedPair]) -> None:
        cut = [pair for pair, ids in zip(inputs, pairs, strict=True) if ids.shortened]
        shortened = len({frozenset((p.question, p.first, p.second)) for p in cut})
        if shortened and not self.num_shortened:
            limit = self.encoder.max_tokens
            _log.warning("%d pair(s) exceed %d tokens: both prefixes cut", shortened, limit)
        self.num_shortened += shortened

    def _margins(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the logit of same minus the logit of different: ``(n,)`` float64."""
        pairs = [self._encode(pair) for pair in inputs]
        self._count_shortened(inputs, pairs)
        margins = np.full(len(pairs), np.nan)
        device = next(self.model.parameters()).device
        was_training = self.model.training
        self.model.eval()
        bar = tqdm(
            total=len(pairs), desc="judge", unit="pair", delay=_PROGRESS_AFTER_S, leave=False
        )
        # no_grad, not inference_mode: the model may be in the middle of its training.
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            for rows, logits in self._read(inputs, pairs, device):
                margins[rows] = (logits[:, 1] - logits[:, 0]).double().cpu().numpy()
                bar.update(len(rows))
        bar.close()
        self.model.train(was_training)
        return margins

    def _read(
        self, inputs: Sequence[JudgeInput], pairs: Sequence[EncodedPair], device: torch.device
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (indices into ``pairs``, their logits), pass by pass."""
        groups = self._groups(inputs, pairs)
        if not self.packed:
            for head, members in groups:
                yield from self._forward(pairs, head, members, device)
            return
        passes = packed_passes(pairs, (members for _, members in groups), self.batch_tokens)
        for rows, batch in passes:
            hidden = packed_hidden(self._decoder, batch.to(device))
            yield rows, label_logits(self.model, hidden, self.labels)

    def _groups(
        self, inputs: Sequence[JudgeInput], pairs: Sequence[EncodedPair]
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        """Yield (head, members) per shared head, then (None, everything else)."""
        by_head: dict[tuple[str, str, int], list[int]] = {}
        for i, (pair, ids) in enumerate(zip(inputs, pairs, strict=True)):
            # Shortened pairs may keep less of the same first prefix: another head.
            by_head.setdefault((pair.question, pair.first, len(ids.head)), []).append(i)
        alone: list[int] = []
        for (*_, length), members in by_head.items():
            if self.min_shared is None or len(members) < self.min_shared or not length:
                alone += members
            else:
                yield pairs[members[0]].head, np.array(members)
        if alone:
            yield None, np.array(alone)

    def _forward(
        self,
        pairs: Sequence[EncodedPair],
        head: np.ndarray | None,
        members: np.ndarray,
        device: torch.device,
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (indices into ``pairs``, their logits), batch by batch; ``head`` is read once."""
        shared = None
        if head is not None:
            ids, _ = pad_right([head], device)
            shared = self.model.get_decoder()(input_ids=ids, use_cache=True).past_key_values
            texts = [pairs[i].tail for i in members]
        else:
            texts = [np.concatenate([pairs[i].head, pairs[i].tail]) for i in members]
        for batch in token_batches([len(text) for text in texts], self.batch_tokens):
            cache = copy.deepcopy(shared)  # the forward pass appends to it
            if cache is not None:
                cache.batch_repeat_interleave(len(batch))
            ids, last = pad_right([texts[i] for i in batch], device)
            yield members[batch], verdict_logits(self.model, ids, last, self.labels, cache)

    def _refuse_nan(self, margins: np.ndarray, num_inputs: int) -> None:
        bad = np.flatnonzero(~np.isfinite(margins)) % max(1, num_inputs)
        if len(bad):
            raise FloatingPointError(
                f"expected finite label logits, got NaN or inf for pair(s) "
                f"{sorted(set(bad.tolist()))[:8]} (index into the inputs); check the weights, or "
                "score in fp32 instead of half precision"
            )
