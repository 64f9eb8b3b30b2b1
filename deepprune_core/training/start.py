"""How a training begins: what names it, and whether its folder is done, free or someone else's."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from deepprune_core.formats.files import MANIFEST
from deepprune_core.judge import weights_digest
from deepprune_core.judging.prompts import JudgePrompt
from deepprune_core.training.plan import TrainConfig
from deepprune_core.training.state import LabelledPairs, TrainResult, finished_result


def identity_of(
    config: TrainConfig,
    model: Any,
    prompt: JudgePrompt,
    train: LabelledPairs,
    validation: LabelledPairs,
) -> dict[str, Any]:
    """Return what must be equal for two runs to be the same training."""
    return {
        "config": asdict(config),
        "prompt": asdict(prompt),
        "train_sha256": train.digest,
        "validation_sha256": validation.digest,
        "base_sha256": weights_digest(model, torch.bfloat16),
    }


def work_folder(out: Path) -> Path:
    """Return where the work in progress on ``out`` lies."""
    return out.with_name(out.name + ".work")


def finished_before(out: Path, identity: dict[str, Any]) -> TrainResult | None:
    """Return the result that ``out`` holds already, or None if it is free.

    Raises:
        OtherRunError: it holds a training of another configuration.
        FileExistsError: it holds something that is no finished training.
    """
    if (out / MANIFEST).is_file():
        shutil.rmtree(work_folder(out), ignore_errors=True)
        return finished_result(out, identity)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out}: expected no folder, got one without {MANIFEST}; move it")
    return None
