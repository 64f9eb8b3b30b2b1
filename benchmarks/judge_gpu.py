"""The judge at its true size on a GPU: training and scoring against the device's own ceiling.

    python benchmarks/judge_gpu.py --size 4b --out docs/benchmark_gpu.md
    python benchmarks/judge_gpu.py --size toy        # seconds, on a CPU, to see that it works

Weights are random: speed does not depend on them. The ceiling is a large bf16 matrix product in
the same run; utilisation counts 6 operations a parameter and token for a full fine-tune, 4 for
LoRA (no gradients of the frozen weights), 2 for scoring, and attention beside. What is computed
twice (``checkpointed``: activations are recomputed in the backward pass) counts once.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from deepprune_core.focal import focal_loss
from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting.tables import Table
from deepprune_core.training.model import VerdictModel, trainable
from deepprune_core.training.plan import TrainConfig
from replication.text import NOTHING
from replication.workflow.profile import ROOT

PAIR_TOKENS = 1_400  # two prefixes of 700
KINDS = ("score", "lora", "full")
MORE = ("compiled", "checkpointed")
DEFAULT = (
    "score:8", "score:8:compiled", "lora:2", "lora:4:compiled", "lora:8:checkpointed:compiled",
    "full:8:checkpointed", "full:8:checkpointed:compiled",
)  # fmt: skip
SIZES: dict[str, dict[str, int]] = {
    "toy": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64, "vocab_size": 512},
    "4b": {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
           "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
           "vocab_size": 151_936},
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """One way of working: a kind, pairs a pass, and what is done to make it fast or fit."""

    kind: str
    batch: int
    compiled: bool = False
    checkpointed: bool = False

    @classmethod
    def parse(cls, text: str) -> Work:
        """Return the work of a text such as ``lora:8:checkpointed:compiled``.

        Raises:
            argparse.ArgumentTypeError: it is none.
        """
        kind, batch, *more = text.split(":") if text.count(":") else (text, "8")
        if kind not in KINDS or not batch.isdecimal() or set(more) - set(MORE):
            raise argparse.ArgumentTypeError(
                f"expected {'|'.join(KINDS)}[:pairs][:{'][:'.join(MORE)}], got {text!r}"
            )
        return cls(kind, int(batch), "compiled" in more, "checkpointed" in more)

    def __str__(self) -> str:
        more = [name for name in MORE if getattr(self, name)]
        return ", ".join([self.kind, f"{self.batch} pairs", *more])


@dataclass(frozen=True)
class Measured:
    """How fast it goes: ``utilisation`` is a share of the matrix product's speed.

    All are NaN where it does not fit the device.
    """

    work: str
    pairs_per_second: float
    tokens_per_second: float
    utilisation: float
    peak_gib: float


def device_of(name: str | None) -> torch.device:
    """Return the named device, or the GPU if there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(work: Callable[[], Any], device: torch.device, steps: int) -> float:
    """Return the seconds of one step, after one that is not counted."""
    work()
    settle(device)
    started = time.monotonic()
    for _ in range(steps):
        work()
    settle(device)
    return (time.monotonic() - started) / steps


def ceiling(device: torch.device, side: int) -> float:
    """Return the operations a second of a bf16 matrix product."""
    first = torch.randn(side, side, dtype=torch.bfloat16, device=device)
    return 2 * side**3 / timed(lambda: first @ first, device, steps=10)


def build(size: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a judge's base of the given size with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(**SIZES[size], max_position_embeddings=4096, tie_word_embeddings=True)
    torch.manual_seed(0)
    with torch.device(device):
        return Qwen3ForCausalLM(config).to(dtype)


def operations(model: Any, tokens: int, factor: int) -> float:
    """Return the operations of a pass over one text of ``tokens`` tokens."""
    config = model.config
    matrices = sum(
        p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "lora" not in n
    )
    matrices -= config.vocab_size * config.hidden_size  # two rows of the head at one position
    width = config.num_attention_heads * config.head_dim
    attention = config.num_hidden_layers * width * tokens  # causal: half of all positions
    return factor * tokens * (matrices + attention)


def worker(work: Work, model: Any, ids: torch.Tensor, device: torch.device) -> Callable[[], None]:
    """Return one step of work on the pairs ``ids`` (batch, tokens): scoring or training."""
    scoring = work.kind == "score"
    if not scoring:
        rank = 16 if work.kind == "lora" else None
        config = TrainConfig(lora_rank=rank, gradient_checkpointing=work.checkpointed)
        model = trainable(model.train(), config)
    if work.compiled:
        for layer in model.get_decoder().layers:  # alike, so compiled once
            layer.compile(dynamic=False)
    module = VerdictModel(model, (1, 2))
    last = torch.full((len(ids),), ids.shape[1] - 1, device=device)
    labels = torch.arange(len(ids), device=device) % 2
    learned = [p for p in model.parameters() if p.requires_grad]
    fused = device.type == "cuda"
    optimizer = None if scoring else torch.optim.AdamW(learned, lr=1e-5, fused=fused)

    def step() -> None:
        with torch.set_grad_enabled(not scoring):
            with torch.autocast(device.type, torch.bfloat16):
                logits = module(ids, last)
            if optimizer is not None:
                focal_loss(logits, labels).backward()
                optimizer.step()
                optimizer.zero_grad()

    return step


def measure(
    work: Work, size: str, device: torch.device, tokens: int, steps: int, top: float
) -> Measured:
    """Return how fast one way of working goes."""
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = build(size, device, torch.bfloat16).eval()
    factor = {"score": 2, "lora": 4, "full": 6}[work.kind]
    done = work.batch * operations(model, tokens, factor)
    ids = torch.randint(0, model.config.vocab_size, (work.batch, tokens), device=device)
    try:
        seconds = timed(worker(work, model, ids, device), device, steps)
    except torch.OutOfMemoryError:
        return Measured(str(work), *[float("nan")] * 4)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else float("nan")
    pairs = work.batch / seconds
    return Measured(str(work), pairs, pairs * tokens, done / seconds / top, peak)


def table_of(found: list[Measured], top: float, what: str) -> Table:
    """Return the measurements as a table."""
    rows = [
        (m.work, f"{m.pairs_per_second:,.1f}", f"{m.tokens_per_second:,.0f}",
         f"{100 * m.utilisation:.0f}", f"{m.peak_gib:.1f}")
        if m.utilisation == m.utilisation else (m.work, "does not fit", *[NOTHING] * 3)
        for m in found
    ]  # fmt: skip
    return Table(
        "judge_gpu", f"The judge's work on {what}.",
        ("work", "pairs/s", "tokens/s", "% of the matrix product", "peak GiB"), tuple(rows),
        (f"Ceiling: {top / 1e12:.1f} tera-operations a second, a bf16 matrix product in this run. "
         "Weights are random.",),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure training and scoring, print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="4b")
    parser.add_argument("--work", nargs="+", type=Work.parse, metavar="WORK",
                        default=[Work.parse(text) for text in DEFAULT],
                        help="score|lora|full[:pairs][:compiled][:checkpointed]")  # fmt: skip
    parser.add_argument("--tokens", type=int, default=PAIR_TOKENS, help="tokens a pair")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", help="such as cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--out", type=Path, help="Markdown file (default: print only)")
    parser.add_argument("--json", type=Path, help="the numbers as JSON")
    options = parser.parse_args(arguments)
    device = device_of(options.device)
    top = ceiling(device, 8192 if device.type == "cuda" else 512)
    found = []
    for work in options.work:
        found.append(measure(work, options.size, device, options.tokens, options.steps, top))
        print(found[-1], flush=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    table = table_of(found, top, f"{name}, {options.size}, {options.tokens} tokens a pair")
    command = f"python benchmarks/judge_gpu.py --size {options.size}"
    print(table.to_markdown())
    if options.json:
        numbers = {"ceiling": top, "found": [asdict(one) for one in found]}
        write_atomically(options.json, json.dumps(numbers, indent=1) + "\n")
    if options.out:
        write_atomically(ROOT / options.out, f"Written by `{command}`.\n\n{table.to_markdown()}")


if __name__ == "__main__":
    main()
