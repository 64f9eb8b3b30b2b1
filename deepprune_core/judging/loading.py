"""Loads a trained judge from a folder: safetensors only, no code from the model's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from deepprune_core.formats.files import MANIFEST
from deepprune_core.judge import CausalLMJudge, weights_digest
from deepprune_core.judging.encode_once import HEAD, EncodeOnceJudge, load_head
from deepprune_core.judging.prompts import JudgePrompt


def load_causal_lm(
    source: str | Path,
    *,
    adapter: Path | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    revision: str | None = None,
) -> tuple[Any, Any]:
    """Return (model, tokenizer) from a folder or a hub name, the adapter merged in.

    ``revision`` pins a hub model to a commit. A LoRA ``adapter`` folder is merged into the
    weights, so scoring costs nothing extra.

    Raises:
        FileNotFoundError: a folder without safetensors weights or without adapter_config.json.
        ValueError: the adapter was trained on other base weights than these.
    """
    from transformers import AutoModelForCausalLM

    if Path(source).is_dir():
        _require(Path(source), "config.json", "*.safetensors")
    elif isinstance(source, Path):
        raise FileNotFoundError(f"expected a model folder, got {source}, which is not there")
    common: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    tokenizer = load_tokenizer(source, revision)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=dtype, use_safetensors=True, **common
    )
    if adapter is not None:
        model = _merge_adapter(model, Path(adapter))
    return model.to(device).eval(), tokenizer


def load_tokenizer(source: str | Path, revision: str | None = None) -> Any:
    """Return the tokenizer of a folder or a hub name, without the model's weights."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)


def load_judge(
    source: str | Path,
    adapter: Path | None = None,
    *,
    prompt: JudgePrompt | None = None,
    max_tokens: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    revision: str | None = None,
    **settings: Any,
) -> CausalLMJudge:
    """Return the judge saved in a folder (or on the hub), ready to score.

    ``prompt`` and ``max_tokens`` default to those in the manifest that training wrote beside
    the adapter or the model; ``settings`` go to :class:`CausalLMJudge`.

    Raises:
        ValueError: no prompt given and none in a manifest.
    """
    trained = saved_prompt(Path(adapter or source))
    if prompt is None and trained is None:
        raise ValueError(
            f"expected a prompt in {Path(adapter or source) / MANIFEST}, got none; pass prompt="
        )
    model, tokenizer = load_causal_lm(
        source, adapter=adapter, dtype=dtype, device=device, revision=revision
    )
    if trained is not None:
        prompt, max_tokens = prompt or trained[0], max_tokens or trained[1]
    assert prompt is not None
    return CausalLMJudge(model, tokenizer, prompt, max_tokens, **settings)


def load_encode_once(
    source: str | Path, adapter: Path, *, device: str = "cpu", **settings: Any
) -> EncodeOnceJudge:
    """Return the judge that reads each prefix once, saved in the folder ``adapter``.

    ``settings`` go to :class:`EncodeOnceJudge`.

    Raises:
        FileNotFoundError: the folder lacks adapter or head.
        ValueError: no prompt in its manifest, or the adapter was trained on another base.
    """
    _require(adapter, HEAD)
    trained = saved_prompt(adapter)
    if trained is None:
        raise ValueError(f"{adapter / MANIFEST}: expected a prompt, got none; train the judge anew")
    model, tokenizer = load_causal_lm(source, adapter=adapter, device=device)
    head = load_head(adapter / HEAD).to(device)
    return EncodeOnceJudge(model, head, tokenizer, *trained, **settings)


def saved_prompt(folder: Path) -> tuple[JudgePrompt, int] | None:
    """Return (prompt, max_tokens) of a trained judge, or None where no manifest tells."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return None
    stored = json.loads(manifest.read_text(encoding="utf-8"))
    if "prompt" not in stored:
        return None
    return JudgePrompt(**stored["prompt"]), int(stored["config"]["max_tokens"])


def saved_tau(folder: Path) -> float | None:
    """Return the threshold that was chosen for a judge, or None where its manifest names none."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return None
    tau = json.loads(manifest.read_text(encoding="utf-8")).get("tau")
    return None if tau is None else float(tau)


def base_of_adapter(folder: Path, named: str | None = None) -> Path | str:
    """Return the folder of an adapter's base model; where it is not at hand, the base's name.

    ``named`` is looked for instead of the name in the adapter's own configuration: as a path,
    beside the adapter, and in a folder ``models`` beside the folder of adapters. The name is
    empty where nobody tells one.
    """
    stored = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    found = named or str(stored.get("base_model_name_or_path") or "")
    beside = (Path(found), folder.parent / found, folder.parent.parent / "models" / found)
    return next((path for path in beside if found and path.is_dir()), found)


def _merge_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    _require(adapter, "adapter_config.json", "adapter_model.safetensors")
    manifest = adapter / MANIFEST
    if manifest.is_file():
        expected = json.loads(manifest.read_text(encoding="utf-8")).get("base_sha256")
        found = weights_digest(model, torch.bfloat16)
        if expected not in (None, found):
            raise ValueError(
                f"{adapter}: expected the base weights it was trained on (sha256 {expected[:12]}, "
                f"rounded to bf16), got {found[:12]}; load the adapter with its own base model"
            )
    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


def _require(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        if not any(folder.glob(pattern)):
            found = sorted(path.name for path in folder.glob("*"))[:8]
            raise FileNotFoundError(
                f"{folder}: expected {pattern}, got {found}; "
                "convert pickled weights to safetensors, or name the right folder"
            )
