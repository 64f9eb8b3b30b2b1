"""A quick exam for a reasoner: teacher-forced accuracy on the tokens that matter.

``lookup`` is the share of restated values copied right (``since Bob has 4``), ``result`` the
share of operation results computed right (``4 plus 5 is 9``), ``value`` all numbers after
``has``. Solutions are clean, so every miss is the reasoner's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from replication.miniature.problems import draw_problem
from replication.miniature.solutions import DataMix, write_solution
from replication.miniature.tokenizer import build_tokenizer, prompt_text


@dataclass(frozen=True)
class ExamResult:
    """Shares in [0, 1] over ``problems`` clean solutions; ``nats`` is the mean token loss."""

    lookup: float
    result: float
    names: float
    nats: float
    problems: int


@torch.no_grad()
def take_exam(
    model: PreTrainedModel, *, problems: int, steps: tuple[int, int], seed: int
) -> ExamResult:
    """Return the exam's result for problems of ``steps[0]``..``steps[1]`` steps."""
    rng, tokenizer = np.random.default_rng(seed), build_tokenizer()
    clean = DataMix(slip=0.0)
    hits: dict[str, list[bool]] = {"has": [], "is": [], "equals": []}
    losses: list[float] = []
    for _ in range(problems):
        problem = draw_problem(rng, int(rng.integers(steps[0], steps[1] + 1)))
        head = tokenizer.encode(prompt_text(problem.text()))
        ids = torch.tensor([head + tokenizer.encode(write_solution(problem, clean, rng))])
        logits = model(input_ids=ids).logits[0, :-1].float()
        losses.append(
            float(torch.nn.functional.cross_entropy(logits[len(head) :], ids[0, len(head) + 1 :]))
        )
        guesses = logits.argmax(-1).tolist()
        words = tokenizer.convert_ids_to_tokens(ids[0].tolist())
        for at in range(len(head), len(words) - 1):
            if (key := words[at].strip("▁")) in hits:
                hits[key].append(guesses[at] == int(ids[0, at + 1]))
    share = {key: float(np.mean(found)) for key, found in hits.items()}
    return ExamResult(share["has"], share["is"], share["equals"], float(np.mean(losses)), problems)
