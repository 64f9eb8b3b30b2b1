"""A trained adapter at a lower rank: the best approximation of its update, for shipping.

LoRA's update of a layer is the product B A of rank r. Its singular value decomposition gives the
nearest product of a lower rank (Eckart and Young). What ships is what is evaluated.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def lower_rank(a: Tensor, b: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Return (A, B, share of the squared update that is kept) of the nearest product.

    ``a``: (r, in); ``b``: (out, r); the results have ``rank`` in the place of r.
    """
    left, upper = torch.linalg.qr(b.double())
    right, lower = torch.linalg.qr(a.double().T)
    u, values, v = torch.linalg.svd(upper @ lower.T)
    root = values[:rank].sqrt()
    total = float((values**2).sum())
    kept = float((values[:rank] ** 2).sum()) / total if total else 1.0
    new_b, new_a = left @ u[:, :rank] * root, (right @ v[:rank].T * root).T
    return new_a.float().contiguous(), new_b.float().contiguous(), kept


def compress_adapter(folder: Path, rank: int) -> float:
    """Rewrite the adapter in a folder at ``rank``; return the mean share kept of the updates.

    LoRA's scale is alpha over rank, so alpha falls with the rank.
    """
    weights, config = load_file(folder / WEIGHTS), json.loads((folder / CONFIG).read_text())
    if rank >= config["r"]:
        return 1.0
    shares = []
    for name in [n for n in weights if ".lora_A." in n]:
        other = name.replace(".lora_A.", ".lora_B.")
        weights[name], weights[other], kept = lower_rank(weights[name], weights[other], rank)
        shares.append(kept)
    config |= {"r": rank, "lora_alpha": config["lora_alpha"] * rank / config["r"]}
    save_file(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return sum(shares) / len(shares)
