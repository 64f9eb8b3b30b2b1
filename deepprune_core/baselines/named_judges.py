"""Judges by name: what a user writes on the command line, and what it costs in quality."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deepprune_core.judging.inputs import Judge

NAMES = "embedding, same_text, or the folder of a trained judge"


@dataclass(frozen=True)
class NamedJudge:
    """``judge`` and ``caveat``: what a user should know before trusting it, empty if nothing.

    ``tau`` is the threshold that suits it where the user names none.
    """

    judge: Judge
    tau: float
    caveat: str = ""


def open_named_judge(name: str, base: str | None = None) -> NamedJudge:
    """Return a judge: ``embedding``, ``same_text``, or a folder with an adapter or a model.

    ``base`` is the model that an adapter belongs to (default: the one it names itself).

    Raises:
        FileNotFoundError: no such folder, or an adapter whose base is not at hand.
        ValueError: the folder holds no trained judge.
    """
    if name == "same_text":
        from deepprune_core.judging.same_text import SameTextJudge

        return NamedJudge(
            SameTextJudge(), 0.5, "same_text stops only traces that begin letter for letter alike"
        )
    if name == "embedding":
        from deepprune_core.baselines.sentence_bert import SentenceBertJudge, open_encoder

        return NamedJudge(
            SentenceBertJudge(open_encoder()),
            0.95,
            "embedding compares how beginnings look, which tells little of how they end (the "
            "paper finds an AUROC of 0.58); train a judge to prune with confidence",
        )
    return NamedJudge(_trained(Path(name), base), 0.5)


def _trained(folder: Path, base: str | None) -> Judge:
    from deepprune_core.judging.loading import load_judge

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; a judge is {NAMES}")
    adapter = folder / "adapter_config.json"
    if not adapter.is_file():
        return load_judge(folder, packed=True)
    stored = json.loads(adapter.read_text(encoding="utf-8"))
    found = base or str(stored.get("base_model_name_or_path") or "")
    beside = [Path(found), folder.parent / found, folder.parent.parent / "models" / found]
    source = next((p for p in beside if found and p.is_dir()), None)
    if source is None and "/" not in found:
        raise FileNotFoundError(
            f"{folder}: its base model {found!r} is not at hand; name its folder with --judge-base"
        )
    return load_judge(source or found, folder, packed=True)
