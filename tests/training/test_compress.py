"""A compressed adapter is the nearest one of its rank, and loads as any other."""

from __future__ import annotations

import json

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from test_train import tiny_model

from deepprune_core.training.compress import compress_adapter, lower_rank


def test_it_is_the_nearest_product_of_that_rank():
    torch.manual_seed(0)
    a, b = torch.randn(8, 30), torch.randn(20, 8)
    new_a, new_b, kept = lower_rank(a, b, 3)
    u, values, v = torch.linalg.svd((b @ a).double(), full_matrices=False)
    nearest = (u[:, :3] * values[:3]) @ v[:3]
    torch.testing.assert_close((new_b @ new_a).double(), nearest, rtol=1e-4, atol=1e-4)
    assert abs(kept - float((values[:3] ** 2).sum() / (values**2).sum())) < 1e-6


def test_an_update_of_that_rank_is_kept_whole(tmp_path):
    model = get_peft_model(
        tiny_model(), LoraConfig(r=6, lora_alpha=12, target_modules="all-linear")
    )
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:  # rank 2 of 6
            weight.data = torch.randn(weight.shape[0], 2) @ torch.randn(2, weight.shape[1]) * 0.05
    ids = torch.arange(3, 40)[None]
    before = model.eval()(ids).logits
    model.save_pretrained(tmp_path)
    assert compress_adapter(tmp_path, 2) > 0.9999
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 2
    after = PeftModel.from_pretrained(tiny_model(), str(tmp_path)).eval()(ids).logits
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)
    assert compress_adapter(tmp_path, 2) == 1.0
