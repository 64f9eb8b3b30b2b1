"""What a training reports: its skill on the validation pairs, and what its manifest says."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from deepprune_core.judging.inputs import Judge
from deepprune_core.metrics import auroc, within_question_auroc
from deepprune_core.training.state import HistoryRow, LabelledPairs

LOSS_WINDOW = 50
_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors")


def validated(row: HistoryRow, pairs: LabelledPairs, judge: Judge) -> HistoryRow:
    """Return the row with the judge's AUROC on ``pairs``, pooled and within questions."""
    labels, groups = pairs.labels, pairs.groups
    if len(np.unique(labels)) < 2:
        return row
    scores = judge.score(pairs.inputs)
    within = within_question_auroc(groups, labels, scores) if groups is not None else float("nan")
    return replace(
        row, validation_auroc=float(auroc(labels, scores)), validation_auroc_within=float(within)
    )


def outcome(history: Sequence[HistoryRow], seconds: float) -> dict[str, Any]:
    """Return what a manifest says of a finished training's steps."""
    last = history[-1]
    auroc_there = last.validation_auroc
    return {
        "steps": last.step,
        "pairs": last.pairs,
        "tokens": last.tokens,
        "loss": float(np.mean([row.loss for row in history[-LOSS_WINDOW:]])),
        "validation_auroc": None if math.isnan(auroc_there) else auroc_there,
        "hours": round(seconds / 3600, 4),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """Return the hardware's name and the packages' versions."""
    cpu = f"{os.cpu_count()}-core {platform.machine()} CPU"
    return {
        "hardware": torch.cuda.get_device_name() if device.type == "cuda" else cpu,
        "versions": {package: version(package) for package in _PACKAGES},
    }
