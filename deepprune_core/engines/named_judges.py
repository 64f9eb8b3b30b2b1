"""Judges by name: what a user writes on the command line, and what it costs in quality."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deepprune_core.judging.inputs import Judge

NAMES = "embedding, numbers, same_text, the folder of a trained judge, or the address of one served"


@dataclass(frozen=True)
class NamedJudge:
    """``judge`` and ``caveat``: what a user should know before trusting it, empty if nothing.

    ``tau`` is the threshold that suits it where the user names none.
    """

    judge: Judge
    tau: float
    caveat: str = ""


def open_named_judge(name: str, base: str | None = None) -> NamedJudge:
    """Return a judge: ``embedding``, ``numbers``, ``same_text``, a folder, or an address.

    A folder holds an adapter or a model; ``base`` is the model that an adapter belongs to
    (default: the one it names itself). Behind an address, ``http://host:port/v1#name``, a vLLM
    server serves the judge, and ``base`` names its tokenizer; the API key is read from
    OPENAI_API_KEY.

    Raises:
        EndpointError: no server answers at the address.
        FileNotFoundError: no such folder, or an adapter whose base is not at hand.
        ValueError: the folder holds no trained judge.
    """
    if name == "same_text":
        from deepprune_core.judging.same_text import SameTextJudge

        return NamedJudge(
            SameTextJudge(), 0.5, "same_text stops only traces that begin letter for letter alike"
        )
    if name == "numbers":
        from deepprune_core.judging.number_overlap import NumberOverlapJudge

        return NamedJudge(
            NumberOverlapJudge(), 0.5, "numbers compares the numbers that two beginnings worked "
            "out; it serves mathematics only, where a third of a trace or more is shown",
        )  # fmt: skip
    if name == "embedding":
        from deepprune_core.judging.sentence_bert import (
            SentenceBertJudge,
            TextVectors,
            open_encoder,
        )

        return NamedJudge(
            SentenceBertJudge(TextVectors(open_encoder())),
            0.95,
            "embedding compares how beginnings look, which tells little of how they end (the "
            "paper finds an AUROC of 0.58); train a judge to prune with confidence",
        )
    if name.startswith(("http://", "https://")):
        from deepprune_core.engines.endpoint_judge import open_endpoint_judge

        key = os.environ.get("OPENAI_API_KEY") or None
        return NamedJudge(open_endpoint_judge(name, base, key), 0.5)
    from deepprune_core.judging.loading import saved_tau

    tau = saved_tau(Path(name))
    return NamedJudge(_trained(Path(name), base), 0.5 if tau is None else tau)


def _trained(folder: Path, base: str | None) -> Judge:
    from deepprune_core.judging.encode_once import HEAD
    from deepprune_core.judging.loading import base_of_adapter, load_encode_once, load_judge

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; a judge is {NAMES}")
    if not (folder / "adapter_config.json").is_file():
        return load_judge(folder, packed=True)
    found = base_of_adapter(folder, base)
    if isinstance(found, str) and "/" not in found:
        raise FileNotFoundError(
            f"{folder}: its base model {found!r} is not at hand; name its folder with --judge-base"
        )
    if (folder / HEAD).is_file():
        return load_encode_once(found, folder)
    return load_judge(found, folder, packed=True)
