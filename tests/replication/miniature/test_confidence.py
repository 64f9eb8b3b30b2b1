"""Confidences read off a model against its own log-probabilities, trace by trace in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from deepprune_core.peers.deepconf import group_confidence
from deepprune_core.traces import Question, Trace, TraceSet
from replication.miniature.confidence import confidences_of, in_blocks, with_confidences
from replication.miniature.tokenizer import build_tokenizer


def model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=192, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=1, num_key_value_heads=1, head_dim=64,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def test_confidences_are_the_models_whatever_the_batch():
    rng, one = np.random.default_rng(0), model()
    prompts = [rng.integers(5, 190, n).tolist() for n in (3, 9, 5)]
    traces = [rng.integers(5, 190, n).tolist() for n in (40, 7, 25)]
    found = confidences_of(one, prompts, traces)
    for prompt, trace, values in zip(prompts, traces, found, strict=True):
        with torch.no_grad():
            logits = one(input_ids=torch.tensor([[*prompt, *trace]])).logits[0].double()
        top = logits.log_softmax(-1).topk(20).values.mean(-1)
        np.testing.assert_allclose(values, -top[len(prompt) - 1 : -1].numpy(), rtol=0.02)


def test_stored_traces_get_one_confidence_a_token():
    tokenizer = build_tokenizer()
    text = "so Bob has 4."
    count = len(tokenizer.encode(text)) + 1  # with the end mark
    traces = tuple(Trace("q", str(i), text, n) for i, n in enumerate((count, count - 1)))
    given = TraceSet("m", (Question("q", "what has Bob?"),), (traces,))
    found = with_confidences(model(), tokenizer, given, ["what has Bob?"]).traces[0]
    assert [len(t.confidences) for t in found] == [count, count - 1]
    ids = tokenizer.encode(text)
    exact = confidences_of(model(), [tokenizer.encode("what has Bob?")], [ids])[0]
    assert found[1].confidences[0] == pytest.approx(exact.mean(), abs=0.05)


def test_blocks_keep_the_confidence_of_every_group():
    values = np.random.default_rng(1).gamma(4.0, 3.0, 500)
    for window in (32, 64, 128):
        exact, kept = (group_confidence(v, window) for v in (values, in_blocks(values)))
        np.testing.assert_allclose(exact[::8], kept[::8], atol=0.05)
        assert np.abs(exact - kept).max() < 40 / window
