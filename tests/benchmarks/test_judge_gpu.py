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

from replication.workflow.profile import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("judge_gpu", ROOT / "benchmarks/judge_gpu.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look for it
    found.loader.exec_module(module)
    return module


def test_all_kinds_of_work_run_at_toy_size(script: ModuleType, tmp_path: Path) -> None:
    work = ["lora:2", "lora:2:checkpointed", "full:2:checkpointed", "score:2"]
    settings = ["--size", "toy", "--tokens", "64", "--steps", "1", "--work", *work]
    script.main([*settings, "--device", "cpu", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    names = ["lora, 2 pairs", "lora, 2 pairs, checkpointed", "full, 2 pairs, checkpointed",
             "score, 2 pairs"]  # fmt: skip
    assert [one["work"] for one in found["found"]] == names
    assert all(one["pairs_per_second"] > 0 for one in found["found"])


@pytest.mark.parametrize("text", ["walk", "lora:many", "score:8:fast"])
def test_unknown_work_is_refused(
    script: ModuleType, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.main(["--work", text])
    assert "expected score|lora|full" in capsys.readouterr().err


def test_what_does_not_fit_is_said(script: ModuleType) -> None:
    missing = script.Measured("full, 64 pairs", *[float("nan")] * 4)
    assert "does not fit" in script.table_of([missing], 1e12, "a GPU").to_markdown()


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
