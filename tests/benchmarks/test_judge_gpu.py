"""The GPU benchmark runs at toy size, and counts operations as they are."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deepprune_core.workflow.profile import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("judge_gpu", ROOT / "benchmarks/judge_gpu.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look for it
    found.loader.exec_module(module)
    return module


def test_all_kinds_of_work_run_at_toy_size(script: ModuleType, tmp_path: Path) -> None:
    settings = ["--size", "toy", "--batch", "2", "--tokens", "64", "--steps", "1"]
    script.main([*settings, "--device", "cpu", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert [one["work"] for one in found["found"]] == ["lora", "full", "score"]
    assert all(one["pairs_per_second"] > 0 for one in found["found"])


def test_operations_agree_with_torchs_count(script: ModuleType) -> None:
    model = script.build("toy", torch.device("cpu"), torch.float32)
    model.set_attn_implementation("eager")  # fused attention is not counted
    ids = torch.randint(0, 512, (1, 256))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.get_decoder()(input_ids=ids)
    # Torch counts attention between all positions, the formula the causal half.
    config, tokens = model.config, 256
    width = config.num_attention_heads * config.head_dim
    half = 2 * config.num_hidden_layers * width * tokens * tokens
    assert script.operations(model, tokens, 2) + half == pytest.approx(
        counter.get_total_flops(), rel=0.05
    )
