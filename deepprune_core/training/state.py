"""What a training run writes down: its history, its identity, its result.

Tensors go to safetensors and everything else to JSON and CSV, so nothing is unpickled.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import Tensor

from deepprune_core.formats.files import MANIFEST
from deepprune_core.judge import JudgeInput

HISTORY = "history.csv"


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs with labels: ``inputs`` (n), ``labels`` (n,) 1 = same, ``groups`` (n,) question ids.

    ``groups`` may be None; they serve the AUROC within questions.

    Raises:
        ValueError: the lengths differ, or a label is neither 0 nor 1.
    """

    inputs: tuple[JudgeInput, ...]
    labels: np.ndarray
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", np.asarray(self.labels).astype(np.int64))
        sizes = {len(self.inputs), len(self.labels)}
        sizes |= {len(self.groups)} if self.groups is not None else set()
        if len(sizes) != 1:
            raise ValueError(f"expected inputs, labels and groups of one length, got {sizes}")
        if not np.isin(self.labels, (0, 1)).all():
            raise ValueError(
                f"expected labels 0 (different) and 1 (same), got {np.unique(self.labels)}; "
                "leave ungradable pairs out"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def digest(self) -> str:
        """A sha256 (hex) of all texts and labels, in order."""
        digest = sha256()
        for pair, label in zip(self.inputs, self.labels, strict=True):
            for text in (pair.question, pair.first, pair.second, str(label)):
                data = text.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()


@dataclass(frozen=True)
class HistoryRow:
    """One optimizer step.

    ``tokens``: real prompt tokens so far; ``loss``: mean over the step's pairs, in nats
    (focal); ``validation_auroc``: pooled; ``validation_auroc_within``: mean over questions
    that have both labels. The two are NaN on steps without validation.
    """

    step: int
    epoch: int
    pairs: int
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float
    validation_auroc: float = float("nan")
    validation_auroc_within: float = float("nan")


@dataclass(frozen=True)
class TrainResult:
    """A finished training: where it lies and how it went.

    ``pairs``: pairs seen, repeats counted; ``loss``: mean over the last 50 steps;
    ``validation_auroc``: pooled, after the last step (NaN without validation pairs).
    """

    folder: Path
    steps: int
    pairs: int
    loss: float
    validation_auroc: float
    history: tuple[HistoryRow, ...]


def write_history(rows: Sequence[HistoryRow], path: Path) -> None:
    """Write the rows as CSV; floats keep all their digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(HistoryRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read_history(path: Path) -> list[HistoryRow]:
    """Return the rows of a history file."""
    kinds = {f.name: int if f.type == "int" else float for f in fields(HistoryRow)}
    with path.open(newline="", encoding="utf-8") as file:
        return [
            HistoryRow(**{k: kinds[k](v) for k, v in row.items()})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]


def write_result(
    out: Path,
    model: Any,
    tokenizer: Any,
    *,
    history: Sequence[HistoryRow],
    manifest: dict[str, Any],
    extra: dict[str, dict[str, Tensor]] | None = None,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Write weights, tokenizer, history and, last, the manifest; then name the folder.

    ``model`` is a LoRA model (its adapter is written) or a causal language model; ``extra``:
    more weights by file name; ``weights``: the model's own, where it holds only shards of them.
    The manifest gets the sha256 of every weights file.
    """
    fresh = out.with_name(out.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    # "auto" would ask the hub whether the base model's vocabulary was resized.
    options: dict[str, Any] = (
        {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
    )
    if weights is not None:
        options["state_dict"] = weights
    _shorten_base_names(model)
    model.save_pretrained(fresh, **options)
    tokenizer.save_pretrained(fresh)
    for name, tensors in (extra or {}).items():
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, fresh / name)
    write_history(history, fresh / HISTORY)
    digests = {}
    for path in sorted(fresh.glob("*.safetensors")):
        path.chmod(0o644)  # safetensors writes 0600
        digests[path.name] = sha256(path.read_bytes()).hexdigest()
    text = json.dumps({**manifest, "sha256": digests}, indent=2) + "\n"
    (fresh / MANIFEST).write_text(text, encoding="utf-8")
    os.replace(fresh, out)


def _shorten_base_names(model: Any) -> None:
    """Keep the base model's own name in an adapter, not the folder it had on this machine."""
    for config in getattr(model, "peft_config", {}).values():
        base = Path(config.base_model_name_or_path or "")
        if base.is_absolute():
            config.base_model_name_or_path = base.name


def finished_result(out: Path, identity: dict[str, Any]) -> TrainResult:
    """Return a finished training's result.

    Raises:
        OtherRunError: ``out`` holds a training of another configuration; names the keys.
    """
    stored = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    refuse_other_identity({key: stored.get(key) for key in identity}, identity, out)
    auroc = stored["validation_auroc"]
    return TrainResult(
        out,
        stored["steps"],
        stored["pairs"],
        stored["loss"],
        float("nan") if auroc is None else auroc,
        tuple(read_history(out / HISTORY)),
    )


class OtherRunError(ValueError):
    """A folder holds a training that was started from something else."""


# What a kill costs and what is logged, not what comes out.
NO_MATTER = ("config.checkpoint_every", "config.evaluate_every")


def refuse_other_identity(found: dict[str, Any], expected: dict[str, Any], path: Path) -> None:
    """Refuse to go on with a run that was started from something else.

    Raises:
        OtherRunError: names the keys that differ.
    """
    found, expected = _flat(found), json.loads(json.dumps(_flat(expected)))
    differing = sorted(
        k for k in found | expected if found.get(k) != expected.get(k) and k not in NO_MATTER
    )
    if differing:
        shown = ", ".join(f"{k} ({found.get(k)!r} != {expected.get(k)!r})" for k in differing)
        raise OtherRunError(
            f"{path}: expected a run of the same configuration, got other values of {shown}; "
            "restore them, choose another output folder, or delete this one"
        )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
