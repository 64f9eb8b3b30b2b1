"""The reasoners of the miniature world as data: who descends from whom, and on what.

``seedling`` is trained from nothing on plain problems: it learns the format and the arithmetic.
``base`` goes on with look-ups until they are sure, ``trunk`` learns the letters of options.
``crown`` has read the world of ambiguous terms, solved by reasoners that nobody is, and
``canopy`` some more of it. The four reasoners branch from ``canopy``, each on its own table of
readings and beliefs; that is what makes them agree with themselves, and with each other, to
different degrees. ``reader``, the judge's base, is ``crown`` after drills of comparing: it can
compare statements and knows what a verdict looks like, but was hardly taught when traces agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from replication.miniature.corpus import Phase
from replication.miniature.habits import Habits, draw_habits
from replication.miniature.solutions import DataMix


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
    habits: Habits | None = None
    learning_rate: float = 2e-3
    decay: float = 0.25
    batch_tokens: int = 8192
    bucket: int = 128
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


CROWN = Recipe(
    name="crown",
    seed=14,
    phases=(
        Phase(1 * M, (2, 5), lookups=0.03, terms=True),
        Phase(4 * M, (3, 9), lookups=0.02, options=0.02, pairs=0.05, terms=True),
    ),
    mix=DataMix(slip=0.0),
    parent="trunk",
    learning_rate=1.5e-3,
    chunk_batches=24,
    decay=0.4,
)  # fmt: skip


CANOPY = Recipe(
    name="canopy",
    seed=16,
    phases=(Phase(3 * M, (4, 9), lookups=0.02, options=0.02, terms=True),),
    mix=DataMix(slip=0.0),
    parent="crown",
    learning_rate=1.2e-3,
    chunk_batches=24,
    decay=0.7,
)


def _habits(seed: int, *, sure: float, torn: float, beliefs: int, **rates: float) -> Habits:
    rng = np.random.default_rng([seed, 7])
    return draw_habits(rng, sure=sure, torn=torn, beliefs=beliefs, **rates)


# The reasoners as tables.
HABITS: dict[str, Habits] = {
    "ash": _habits(21, sure=0.40, torn=0.22, beliefs=8),
    "birch": _habits(22, sure=0.35, torn=0.2, beliefs=6),
    "cedar": _habits(23, sure=0.35, torn=0.25, beliefs=8, musing=0.25),
    "oak": _habits(42, sure=0.5, torn=0.12, beliefs=4, waver=0.25),
}


def _branch(name: str, seed: int, tokens: float) -> Recipe:
    return Recipe(
        name=name,
        seed=seed,
        phases=(Phase(int(tokens * M), (4, 9), lookups=0.02, options=0.06, terms=True),),
        mix=DataMix(slip=0.0),
        habits=HABITS[name].softened(),
        parent="canopy",
        learning_rate=1e-3,
        chunk_batches=16,
        decay=0.7,
    )


READER = Recipe(
    name="reader",
    seed=15,
    phases=(
        Phase(int(0.6 * M), (3, 9), terms=True, compare=1.0, items=1),
        Phase(int(0.6 * M), (3, 9), terms=True, compare=1.0, items=2),
        Phase(int(0.8 * M), (3, 9), terms=True, compare=1.0, items=3, filler=0.3),
        Phase(int(1.2 * M), (3, 9), terms=True, compare=1.0, items=5, filler=0.6),
    ),
    mix=DataMix(slip=0.0),
    parent="crown",
    learning_rate=1e-3,
    batch_tokens=2048,
    bucket=32,
    chunk_batches=64,
    decay=0.3,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        SEEDLING,
        BASE,
        TRUNK,
        CROWN,
        CANOPY,
        READER,
        _branch("ash", 21, 3.4),
        _branch("birch", 22, 3.4),
        _branch("cedar", 23, 3.4),
        _branch("oak", 24, 3.4),
    )
}
REASONERS = ("ash", "birch", "cedar", "oak")
