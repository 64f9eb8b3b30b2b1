"""Train the reasoners: small Qwen3-architecture language models, from nothing, resumably.

``python -m replication.miniature.reasoners --out data/miniature/models`` trains every reasoner
that is not there yet. A run that is killed continues from its last checkpoint and sees the
same batches as an undisturbed one, since chunk ``i`` of the corpus depends on its seed and
``i`` alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from replication.miniature.benchmarks import forbidden_fingerprints
from replication.miniature.corpus import Batch, Corpus
from replication.miniature.drills import VERDICT_WEIGHT
from replication.miniature.model import build_model, grow_from, split_optimizers
from replication.miniature.recipes import REASONERS, RECIPES, Recipe
from replication.miniature.tokenizer import build_tokenizer

WARMUP_STEPS = 50


def rate_scale(recipe: Recipe, step: int, tokens: int) -> float:
    """Return the learning-rate factor: warm-up, flat, then linear to 5 % at the last token."""
    left = max(0.0, 1 - tokens / recipe.tokens)
    return min(1.0, (step + 1) / WARMUP_STEPS, 0.05 + 0.95 * left / recipe.decay)


class ReasonerTraining:
    """One training run in a work folder: model, optimizers, position and log."""

    def __init__(
        self, recipe: Recipe, work: Path, parent: Path | None, compile_model: bool
    ) -> None:
        self.recipe, self.work = recipe, work
        self.model = build_model(recipe)
        if parent is not None:
            grow_from(self.model, parent)
        self.optimizers = split_optimizers(self.model, recipe.learning_rate)
        self.corpus = Corpus(
            recipe.mix, forbidden_fingerprints(), recipe.batch_tokens, recipe.chunk_batches,
            recipe.habits, recipe.bucket,
        )  # fmt: skip
        self.position: dict[str, float] = {
            "chunk": 0,
            "step": 0,
            "tokens": 0,
            "seconds": 0.0,
            "loss": 0.0,
        }
        self._claim()
        self._resume()
        self.forward: Any = torch.compile(self.model) if compile_model else self.model

    def run(self) -> None:
        """Train until the recipe's tokens are seen; one checkpoint a chunk."""
        bar = tqdm(
            total=self.recipe.tokens,
            initial=int(self.position["tokens"]),
            unit="tok",
            unit_scale=True,
            desc=self.recipe.name,
            mininterval=5,
        )
        while self.position["tokens"] < self.recipe.tokens:
            started = time.monotonic()
            phase = self.recipe.phase_at(int(self.position["tokens"]))
            batches = self.corpus.chunk(self.recipe.seed, int(self.position["chunk"]), phase)
            losses = self._train_chunk(batches, bar)
            self.position["chunk"] += 1
            self.position["loss"] = sum(losses) / len(losses)
            self.position["seconds"] += time.monotonic() - started
            self._checkpoint()
            bar.set_postfix(loss=f"{self.position['loss']:.3f}")
        bar.close()

    def _train_chunk(self, batches: Iterable[Batch], bar: tqdm) -> list[float]:
        losses = []
        for batch in batches:
            losses.append(self._train_step(batch))
            self.position["step"] += 1
            self.position["tokens"] += batch.tokens
            bar.update(batch.tokens)
        return losses

    def _train_step(self, batch: Batch) -> float:
        scale = rate_scale(self.recipe, int(self.position["step"]), int(self.position["tokens"]))
        ids, weights = torch.from_numpy(batch.ids), torch.from_numpy(batch.weights)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.forward(input_ids=ids, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        targets = weights[:, 1:].flatten()
        loss = (losses * targets).sum() / targets.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * scale
            optimizer.step()
            optimizer.zero_grad()
        verdict = targets >= VERDICT_WEIGHT
        if verdict.any():
            self.position["verdict"] = float(losses.detach()[verdict].mean())
        solution = (targets == 1.0).float()
        return float((losses.detach() * solution).sum() / solution.sum().clamp(min=1))

    def _checkpoint(self) -> None:
        """Write weights, optimizer state and position to a new folder, then swap it in."""
        fresh, current = self.work / "checkpoint.tmp", self.work / "checkpoint"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(
            {
                k: v.contiguous()
                for k, v in self.model.state_dict().items()
                if k != "lm_head.weight"
            },
            fresh / "model.safetensors",
        )
        state = {
            f"{o}.{i}.{key}": value.contiguous()
            for o, optimizer in enumerate(self.optimizers)
            for i, entry in optimizer.state_dict()["state"].items()
            for key, value in entry.items()
        }
        save_file(state, fresh / "optimizer.safetensors")
        (fresh / "position.json").write_text(json.dumps(self.position))
        old = self.work / "checkpoint.old"
        shutil.rmtree(old, ignore_errors=True)
        if current.exists():
            current.rename(old)
        fresh.rename(current)
        with (self.work / "log.jsonl").open("a") as log:
            log.write(json.dumps(self.position) + "\n")

    def _claim(self) -> None:
        """Refuse to continue a training that was begun under another recipe."""
        mine = json.loads(json.dumps(_plain(self.recipe)))
        path = self.work / "recipe.json"
        if path.exists():
            theirs = json.loads(path.read_text())
            differing = sorted(key for key in mine if mine[key] != theirs.get(key))
            if differing:
                raise ValueError(
                    f"{self.work}: begun under another recipe ({', '.join(differing)} differ); "
                    "remove the folder"
                )
        self.work.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(mine, indent=1))

    def _resume(self) -> None:
        folder = next(
            (
                f
                for f in (self.work / "checkpoint", self.work / "checkpoint.old")
                if (f / "position.json").exists()
            ),
            None,
        )
        if folder is None:
            return
        self.model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        state = load_file(folder / "optimizer.safetensors")
        for o, optimizer in enumerate(self.optimizers):
            full = optimizer.state_dict()
            full["state"] = {}
            for key, value in state.items():
                which, index, name = key.split(".", 2)
                if int(which) == o:
                    full["state"].setdefault(int(index), {})[name] = value
            optimizer.load_state_dict(full)
        self.position = json.loads((folder / "position.json").read_text())

    def export(self, target: Path) -> None:
        """Write the finished model (bf16, tokenizer, manifest), whole or not at all."""
        fresh = target.with_name(target.name + ".tmp")
        shutil.rmtree(fresh, ignore_errors=True)
        self.model.to(torch.bfloat16).save_pretrained(fresh)
        build_tokenizer().save_pretrained(fresh)
        weights = fresh / "model.safetensors"
        os.chmod(weights, 0o644)
        manifest = {
            "name": self.recipe.name,
            "parent": self.recipe.parent,
            "seed": self.recipe.seed,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "layers": self.recipe.layers,
            "hidden": self.recipe.hidden,
            "steps": int(self.position["step"]),
            "tokens": int(self.position["tokens"]),
            "loss": round(self.position["loss"], 4),
            "hours": round(self.position["seconds"] / 3600, 3),
            "hardware": f"{os.cpu_count()}-core {platform.machine()} CPU",
            "versions": {p: version(p) for p in ("torch", "transformers", "safetensors")},
            "phases": [asdict(phase) for phase in self.recipe.phases],
            "habits": _plain(self.recipe)["habits"],
            "sha256": sha256(weights.read_bytes()).hexdigest(),
        }
        (fresh / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)


def _plain(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON-ready data; keys of tables become text."""

    def text_keys(value: Any) -> Any:
        if isinstance(value, dict):
            names = (" ".join(map(str, k)) if isinstance(k, tuple) else k for k in value)
            return dict(zip(names, map(text_keys, value.values()), strict=True))
        return value

    return {key: text_keys(value) for key, value in asdict(recipe).items()}


def train_reasoner(name: str, out: Path, work: Path, compile_model: bool = True) -> Path:
    """Train one reasoner, its parent first, unless its manifest exists; return its folder."""
    recipe = RECIPES[name]
    target = out / name
    if (target / "manifest.json").exists():
        return target
    parent = train_reasoner(recipe.parent, out, work, compile_model) if recipe.parent else None
    training = ReasonerTraining(recipe, work / name, parent, compile_model)
    training.run()
    training.export(target)
    return target


def main(arguments: list[str] | None = None) -> None:
    """Train the reasoners that are missing, and first those they descend from."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"any of {', '.join(RECIPES)} (default: those that answer)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("data/miniature/models"), help="finished models"
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/reasoners"), help="checkpoints and logs"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--eager", action="store_true", help="do not compile the model")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch._dynamo.config.recompile_limit = 32
    for name in options.names or REASONERS:
        train_reasoner(name, options.out, options.work, not options.eager)


if __name__ == "__main__":
    main()
