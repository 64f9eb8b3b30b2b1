"""What training works on: the judge's forward pass, and which of its weights may change."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepprune_core.judge import label_logits, verdict_logits
from deepprune_core.judging.packing import PackedBatch, packed_hidden
from deepprune_core.training.plan import TrainConfig


class VerdictModel(torch.nn.Module):
    """A causal language model whose forward pass is the two label logits."""

    def __init__(self, model: Any, labels: tuple[int, int], *, compiled: bool = False) -> None:
        super().__init__()
        self.model, self.labels = model, labels
        decoder = model.get_decoder()
        if compiled or model.device.type == "cpu":  # fused attention with a mask: slow backwards
            decoder.set_attn_implementation("eager")
        self._decoder = [torch.compile(decoder, dynamic=True) if compiled else decoder]

    def forward(
        self, ids: Tensor | None, last: Tensor | None, packed: PackedBatch | None = None
    ) -> Tensor:
        """Return ``(texts, 2)`` fp32 logits: different, same.

        Either whole prompts, ``ids`` (batch, length) and ``last`` (batch,), or packed rows.
        """
        if packed is None:
            assert ids is not None and last is not None
            return verdict_logits(self.model, ids, last, self.labels)
        return label_logits(self.model, packed_hidden(self._decoder[0], packed), self.labels)


def trainable(model: Any, config: TrainConfig) -> Any:
    """Return the model with exactly the parameters to train switched on, those in fp32."""
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if config.lora_rank is None:
        return model.float().requires_grad_(True)
    from peft import LoraConfig, TaskType, get_peft_model

    torch.manual_seed(config.seed)
    lora = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=config.target_modules,
    )
    return get_peft_model(model, lora)
