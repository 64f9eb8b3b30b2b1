"""Focal loss against torch's own cross-entropy, autograd in float64, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.focal import focal_loss

LOGITS = torch.tensor([[0.3, -1.2], [2.0, 2.5], [-4.0, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1])


def test_without_gamma_and_alpha_it_is_cross_entropy():
    for reduction in ("mean", "sum", "none"):
        ours = focal_loss(LOGITS, LABELS, gamma=0, alpha=None, reduction=reduction)
        theirs = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction=reduction)
        torch.testing.assert_close(ours, theirs)


def test_without_gamma_it_is_weighted_cross_entropy():
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    theirs = torch.nn.functional.cross_entropy(LOGITS, LABELS, weight=weights, reduction="none")
    torch.testing.assert_close(
        focal_loss(LOGITS, LABELS, gamma=0, alpha=0.7, reduction="none"), theirs
    )


@given(
    margin=st.floats(-12, 12), gamma=st.floats(0, 5), alpha=st.floats(0, 1), label=st.integers(0, 1)
)
def test_it_is_the_written_formula(margin, gamma, alpha, label):
    p_same = 1 / (1 + math.exp(-margin))
    p, weight = (p_same, alpha) if label else (1 - p_same, 1 - alpha)
    logits = torch.tensor([[0.0, margin]], dtype=torch.float64)
    found = focal_loss(logits, torch.tensor([label]), gamma=gamma, alpha=alpha)
    assert float(found) == pytest.approx(-weight * (1 - p) ** gamma * math.log(p), abs=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_its_gradient_is_right_in_float64(gamma):
    logits = LOGITS.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda x: focal_loss(x, LABELS, gamma=gamma, alpha=0.4), (logits,)
    )


def test_bf16_logits_still_have_a_gradient_at_a_margin_of_nine():
    logits = torch.tensor([[0.0, 9.0]], dtype=torch.bfloat16, requires_grad=True)
    focal_loss(logits, torch.tensor([1])).backward()
    assert float(logits.grad.abs().max()) > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_logits_of_ten_thousand_give_finite_losses_and_gradients(dtype, gamma):
    rows = [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [0.0, 1e4]]
    logits = torch.tensor(rows, dtype=dtype, requires_grad=True)
    labels = torch.tensor([1, 1, 0, 0])
    loss = focal_loss(logits, labels, gamma=gamma, reduction="none")
    loss.float().sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(logits.grad).all()
    # In float64 from the margins, as they are in this precision.
    margin = (logits[:, 1] - logits[:, 0]).double().detach() * torch.where(labels == 1, 1, -1)
    log_p = torch.nn.functional.logsigmoid(margin)
    expected = -0.5 * (1 - log_p.exp()) ** gamma * log_p
    torch.testing.assert_close(loss.double(), expected, rtol=1e-2, atol=1e-5)


def test_easy_pairs_weigh_less_than_hard_ones():
    easy, hard = torch.tensor([[0.0, 4.0]]), torch.tensor([[0.0, -1.0]])
    one = torch.tensor([1])
    plain = focal_loss(easy, one, gamma=0) / focal_loss(hard, one, gamma=0)
    assert focal_loss(easy, one) / focal_loss(hard, one) < 0.1 * plain


@pytest.mark.parametrize(
    ("logits", "labels", "settings", "words"),
    [
        (np.zeros((0, 2)), [], {}, "empty batch"),
        (np.full((1, 2), np.nan), [1], {}, "finite"),
        (np.zeros((1, 3)), [1], {}, r"\(batch, 2\)"),
        (np.zeros((1, 2)), [2], {}, "labels 0"),
        (np.zeros((1, 2)), [1], {"gamma": -1}, "gamma"),
        (np.zeros((1, 2)), [1], {"alpha": 1.5}, "alpha"),
    ],
)
def test_bad_input_is_refused_in_words(logits, labels, settings, words):
    with pytest.raises(ValueError, match=words):
        focal_loss(torch.tensor(logits), torch.tensor(labels, dtype=torch.long), **settings)
