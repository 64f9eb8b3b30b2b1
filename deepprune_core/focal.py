r"""Focal loss on the judge's verdict (paper, section 3; Lin et al. 2017, arXiv 1708.02002).

.. math:: \mathrm{FL}(p_t) = -\alpha_t (1 - p_t)^\gamma \log p_t

:math:`p_t` is the probability of the true label. With two label logits it is
:math:`\sigma(m)`, where the margin :math:`m` is the true label's logit minus the other one.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Reduction = Literal["mean", "sum", "none"]


def focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.5,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the focal loss in nats: a scalar, or ``(batch,)`` with ``reduction="none"``.

    ``logits``: ``(batch, 2)``, any float type, columns different and same; ``labels``:
    ``(batch,)`` integer, 0 = different, 1 = same. ``alpha`` weighs label 1 and ``1 - alpha``
    label 0; None weighs nothing. ``gamma=0`` is the weighted cross-entropy.

    The margin is computed in fp32 (or fp64), and 1 - p_t as a sigmoid of its own: in bf16,
    1 - p_t is exactly 0 from a margin of 7 on, and the gradient with it.

    Raises:
        ValueError: wrong shapes, an empty batch, NaN or infinite logits, labels outside {0, 1},
            a negative ``gamma`` or an ``alpha`` outside [0, 1].

    >>> focal_loss(torch.zeros(1, 2), torch.tensor([1]), gamma=0, alpha=None)
    tensor(0.6931)
    """
    _check(logits, labels, gamma, alpha)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    margin = (wide[:, 1] - wide[:, 0]) * (2 * labels - 1)
    log_p = logsigmoid(margin)
    loss = -log_p
    if gamma:
        # (1 - p)^gamma from its logarithm: exact where 1 - p is tiny.
        loss = loss * torch.exp(gamma * logsigmoid(-margin))
    if alpha is not None:
        true = labels.to(wide.dtype)
        loss = loss * (alpha * true + (1 - alpha) * (1 - true))
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.mean()


def _check(logits: Tensor, labels: Tensor, gamma: float, alpha: float | None) -> None:
    if logits.ndim != 2 or logits.shape[1] != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"expected logits (batch, 2) and labels (batch,), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if not len(labels):
        raise ValueError("expected at least one pair, got an empty batch; skip it")
    if not torch.isfinite(logits).all():
        raise ValueError("expected finite logits, got NaN or infinity; check weights and rate")
    if labels.is_floating_point() or not ((labels == 0) | (labels == 1)).all():
        raise ValueError("expected integer labels 0 (different) and 1 (same)")
    if gamma < 0 or (alpha is not None and not 0 <= alpha <= 1):
        raise ValueError(f"expected gamma >= 0 and alpha in [0, 1], got {gamma} and {alpha}")
