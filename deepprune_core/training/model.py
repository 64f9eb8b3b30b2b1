"""What training works on: the judge's forward pass, and which of its weights may change."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepprune_core.judge import verdict_logits
from deepprune_core.training.plan import TrainConfig


class VerdictModel(torch.nn.Module):
    """A causal language model whose forward pass is the two label logits."""

    def __init__(self, model: Any, labels: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.labels = model, labels

    def forward(self, ids: Tensor, last: Tensor, head: Tensor | None = None) -> Tensor:
        """Return ``(batch, 2)`` fp32 logits: different, same.

        ``ids``: (batch, length) whole prompts, or what follows ``head``: (1, length), read once.
        """
        cache = None
        if head is not None:
            cache = self.model.get_decoder()(input_ids=head, use_cache=True).past_key_values
            cache.batch_repeat_interleave(len(ids))
        return verdict_logits(self.model, ids, last, self.labels, cache)


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
