"""The reasoners of the miniature world as data: who descends from whom, and on what.

``seedling`` is trained from nothing: it learns the format and the arithmetic. ``base`` goes
on with lookups until they are sure, and with pairs of traces and their verdict, so that it
can serve as the judge's base model too. ``trunk`` learns to look up the letters of options.
The reasoners branch from it by further training on their own data mix: other slip rates, other
misconceptions, other habits of checking, and for one an extra layer. That is what makes them
agree with themselves, and with each other, to different degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepprune_core.miniature.corpus import Phase
from deepprune_core.miniature.solutions import DataMix, draw_misconceptions


@dataclass(frozen=True)
class Recipe:
    """How one reasoner is trained.

    ``parent`` names the reasoner to start from (``None``: random weights); ``layers`` may
    exceed the parent's, the new top layers then start as the identity. ``learning_rate`` is
    the peak; it decays linearly over the last ``decay`` share of the tokens.
    """

    name: str
    seed: int
    phases: tuple[Phase, ...]
    mix: DataMix
    parent: str | None = None
    layers: int = 5
    hidden: int = 192
    intermediate: int = 512
    learning_rate: float = 2e-3
    decay: float = 0.25
    batch_tokens: int = 8192
    chunk_batches: int = 48

    @property
    def tokens(self) -> int:
        return sum(phase.tokens for phase in self.phases)

    def phase_at(self, tokens: int) -> Phase:
        """Return the phase that training is in after ``tokens`` tokens."""
        for phase in self.phases:
            if tokens < phase.tokens:
                return phase
            tokens -= phase.tokens
        return self.phases[-1]


M = 1_000_000
SEEDLING = Recipe(
    name="seedling",
    seed=11,
    phases=(
        Phase(1 * M, (1, 2), lookups=0.8),
        Phase(2 * M, (1, 3), lookups=0.3),
        Phase(4 * M, (1, 5), lookups=0.05),
        Phase(1_259_834, (2, 9), lookups=0.02),
    ),
    mix=DataMix(slip=0.004, notice=0.6),
    decay=0.001,
)

BASE = Recipe(
    name="base",
    seed=12,
    phases=(
        Phase(int(1.2 * M), (1, 2), lookups=1.0),
        Phase(int(1.6 * M), (2, 5), lookups=0.25, pairs=0.2, prefix=(0.5, 0.98)),
        Phase(int(5.0 * M), (3, 9), lookups=0.05, pairs=0.4, prefix=(0.25, 0.7)),
    ),
    mix=DataMix(slip=0.004, notice=0.6),
    parent="seedling",
    batch_tokens=4096,
    chunk_batches=64,
    decay=0.3,
)


TRUNK = Recipe(
    name="trunk",
    seed=13,
    phases=(
        Phase(int(0.52 * M), (1, 4), options=1.0),
        Phase(int(0.38 * M), (4, 9), lookups=0.1, options=0.4),
    ),
    mix=DataMix(slip=0.004, notice=0.6),
    parent="base",
    batch_tokens=4096,
    chunk_batches=32,
    decay=0.4,
)


def _branch(
    name: str, seed: int, tokens: float, mix: DataMix, facts: int, layers: int = 5
) -> Recipe:
    believed = draw_misconceptions(np.random.default_rng([seed, 7]), facts)
    mix = replace(mix, misconceptions=believed)
    return Recipe(
        name=name,
        seed=seed,
        phases=(Phase(int(tokens * M), (4, 9), lookups=0.03, options=0.15),),
        mix=mix,
        parent="trunk",
        layers=layers,
        learning_rate=1e-3,
        chunk_batches=24,
        decay=0.6,
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        SEEDLING,
        BASE,
        TRUNK,
        _branch("ash", 21, 0.58, DataMix(slip=0.012, notice=0.4, catch=0.3), 26),
        _branch("birch", 22, 0.58, DataMix(slip=0.006, notice=0.5, catch=0.5), 16),
        _branch("cedar", 23, 0.58, DataMix(slip=0.010, notice=0.5, catch=0.4, musing=0.45), 22),
        _branch("oak", 24, 0.78, DataMix(slip=0.003, notice=0.7, catch=0.6), 14, layers=6),
    )
}
REASONERS = ("ash", "birch", "cedar", "oak")
