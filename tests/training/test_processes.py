"""Two processes train what one trains: the same batches, the same losses, one result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepprune_core.training.state import read_history

SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {here!r})
from test_train import QUICK, train
train(replace(QUICK, share_heads={shared}), Path({out!r}))
"""


@pytest.mark.parametrize("shared", [False, True])
def test_two_processes_train_what_one_trains(tmp_path, shared):
    found = {}
    for count in (1, 2):
        out = tmp_path / f"judge-{count}"
        script = tmp_path / f"train-{count}.py"
        here = str(Path(__file__).parent)
        script.write_text(SCRIPT.format(here=here, out=str(out), shared=shared))
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone",
             f"--nproc-per-node={count}", str(script)],
            env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        found[count] = out
    assert json.loads((found[2] / "manifest.json").read_text())["processes"] == 2
    one, two = (read_history(found[count] / "history.csv") for count in (1, 2))
    assert len(one) > 5
    np.testing.assert_allclose([r.loss for r in two], [r.loss for r in one], rtol=2e-3)
    first, second = (load_file(found[c] / "adapter_model.safetensors") for c in (1, 2))
    for name, weights in first.items():
        torch.testing.assert_close(second[name], weights, rtol=5e-2, atol=2e-3)
