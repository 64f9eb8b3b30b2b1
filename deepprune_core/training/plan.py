"""How a judge is fine-tuned, as data: settings, learning rate, batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepprune_core.judge import token_batches


@dataclass(frozen=True)
class TrainConfig:
    """How the judge is fine-tuned.

    ``batch_tokens``: padded tokens per optimizer step over all processes; ``micro_tokens``:
    per forward pass (None: the whole step at once); ``max_tokens``: longest prompt.
    ``gamma`` and ``alpha`` are the focal loss's (gamma 0 and alpha None: cross-entropy; the
    paper's training tool shows 2.0 and 0.5). ``lora_rank`` None trains all weights, in fp32.
    ``warmup`` is a share of the steps; the rate then falls to 0 by ``schedule``.
    ``share_heads``: pairs with one question and first prefix go into one step, which reads that
    part once for all of them, and a repeated pair once; the gradient is that of reading each.
    """

    learning_rate: float = 1e-4
    epochs: int = 1
    batch_tokens: int = 16_384
    micro_tokens: int | None = None
    max_tokens: int = 2048
    gamma: float = 2.0
    alpha: float | None = 0.5
    lora_rank: int | None = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    target_modules: str = "all-linear"
    warmup: float = 0.05
    schedule: Literal["linear", "cosine"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    autocast: bool = True
    gradient_checkpointing: bool = False
    share_heads: bool = False
    evaluate_every: int = 100
    checkpoint_every: int = 200
    seed: int = 0


def rate_scale(step: int, total: int, *, warmup: float, schedule: str) -> float:
    """Return the learning-rate factor of a step: linear warm-up, then linear or cosine to 0.

    >>> [rate_scale(s, 5, warmup=0.2, schedule="linear") for s in range(5)]
    [1.0, 1.0, 0.75, 0.5, 0.25]
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def plan_batches(
    lengths: np.ndarray, budget: int, rng: np.random.Generator, *, bucket: int = 1024
) -> list[np.ndarray]:
    """Return one epoch's batches: shuffled pairs, bucketed by length, batches shuffled again.

    ``lengths``: tokens per pair. Pairs are sorted by length only within random buckets of
    ``bucket`` pairs, so that batches are nearly full and still differ between epochs.
    """
    order = rng.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(order), bucket):
        part = order[start : start + bucket]
        batches += [part[batch] for batch in token_batches(lengths[part], budget)]
    return [batches[i] for i in rng.permutation(len(batches))]


def plan_shared_batches(
    heads: np.ndarray,
    head_tokens: np.ndarray,
    tail_tokens: np.ndarray,
    budget: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Return one epoch's batches in which pairs with one head stay together.

    ``heads``: (n,) which head a pair has, ids 0, 1, ...; ``head_tokens``: (n,) its tokens;
    ``tail_tokens``: (n,) tokens that the pair adds, 0 for a repeated one.
    """
    order = np.argsort(heads, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(heads))[:-1])
    cost = np.array([head_tokens[rows[0]] + tail_tokens[rows].sum() for rows in members])
    planned = plan_batches(cost, budget, rng)
    return [np.concatenate([members[unit] for unit in batch]) for batch in planned]
