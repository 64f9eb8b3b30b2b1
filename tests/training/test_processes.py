"""Two processes train what one trains: the same batches, the same losses, one result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepprune_core.training.state import read_history

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {here!r})
from test_train import QUICK, train
stop = {stop}
def watch(row):
    if row.step == stop:
        raise SystemExit(7)
config = replace(QUICK, **{changes!r})
train(config, Path({out!r}), sharded={sharded}, on_step=watch)
"""


def launch(
    folder: Path, out: Path, count: int, *, sharded: bool = False, stop: int = 0, **changes: Any
) -> subprocess.CompletedProcess[str]:
    """Train in ``count`` processes, which end after step ``stop`` if it is given."""
    script = folder / f"{out.name}.py"
    here = str(Path(__file__).parent)
    script.write_text(
        SCRIPT.format(here=here, out=str(out), sharded=sharded, stop=stop, changes=changes)
    )
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone",
         f"--nproc-per-node={count}", str(script)],
        env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("shared", [False, True])
def test_two_processes_train_what_one_trains(tmp_path: Path, shared: bool) -> None:
    found = {}
    for count in (1, 2):
        found[count] = tmp_path / f"judge-{count}"
        done = launch(tmp_path, found[count], count, share_heads=shared)
        assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((found[2] / "manifest.json").read_text())["processes"] == 2
    one, two = (read_history(found[count] / "history.csv") for count in (1, 2))
    assert len(one) > 5
    np.testing.assert_allclose([r.loss for r in two], [r.loss for r in one], rtol=2e-3)
    first, second = (load_file(found[c] / "adapter_model.safetensors") for c in (1, 2))
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=5e-2, atol=2e-3)


def test_shards_train_what_one_process_trains_and_survive_a_stop(tmp_path: Path) -> None:
    whole, shards = tmp_path / "whole", tmp_path / "shards"
    # Few tokens a pass: the two processes have different numbers of passes to make.
    settings = {"lora_rank": None, "micro_tokens": 200, "learning_rate": 1e-3}
    assert launch(tmp_path, whole, 1, **settings).returncode == 0
    stopped = launch(tmp_path, shards, 2, sharded=True, stop=4, **settings)
    assert stopped.returncode != 0 and not shards.exists()
    assert (tmp_path / "shards.work" / "checkpoint" / "history.csv").is_file()
    done = launch(tmp_path, shards, 3, sharded=True, **settings)  # more processes than before
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (read_history(folder / "history.csv") for folder in (whole, shards))
    np.testing.assert_allclose([r.loss for r in two], [r.loss for r in one], rtol=1e-3)
    np.testing.assert_allclose(
        [r.gradient_norm for r in two], [r.gradient_norm for r in one], rtol=1e-2
    )
    assert two[-1].validation_auroc == pytest.approx(one[-1].validation_auroc, abs=0.02)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, shards))
    assert first.keys() == second.keys()
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=5e-2, atol=2e-3)


def test_sharding_is_for_all_weights_and_several_processes(tmp_path: Path) -> None:
    refused = launch(tmp_path, tmp_path / "lora", 2, sharded=True)
    assert refused.returncode != 0 and "expected lora_rank null" in refused.stderr
    alone = launch(tmp_path, tmp_path / "alone", 1, sharded=True, lora_rank=None)
    assert alone.returncode != 0 and "expected several processes" in alone.stderr
