"""A reasoner as a network: a small Qwen3 model, how it grows from its parent, its optimizers."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import Qwen3Config, Qwen3ForCausalLM

from replication.miniature.recipes import Recipe
from replication.miniature.tokenizer import build_tokenizer


def build_model(recipe: Recipe) -> Qwen3ForCausalLM:
    """Return a randomly initialised model of the recipe's size."""
    tokenizer = build_tokenizer()
    torch.manual_seed(recipe.seed)
    config = Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.hidden // 64,
        num_key_value_heads=recipe.hidden // 64,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def grow_from(model: Qwen3ForCausalLM, parent: Path) -> None:
    """Copy a parent's weights; layers that the parent lacks start as the identity."""
    weights = load_file(parent / "model.safetensors")
    missing = model.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    if missing.unexpected_keys:
        raise ValueError(f"{parent}: weights of another shape: {missing.unexpected_keys[:3]}")
    for name, parameter in model.named_parameters():
        if name in missing.missing_keys and name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.zeros_(parameter)


def split_optimizers(model: torch.nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the layers and AdamW for everything else."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
