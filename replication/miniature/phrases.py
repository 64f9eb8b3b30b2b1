"""The phrases that the miniature's traces are made of; they make up its vocabulary."""

from __future__ import annotations

OPENERS = ("so", "now", "then", "hmm, so", "so then", "but first", "well,", "now then", "hmm,")
LEAVES = ("so", "then", "since", "and so", "and then", "because")
RESULTS = ("so", "thus", "hence", "therefore")
CAUSES = ("since", "because", "as", "hmm, since", "now since", "so since")
MUSINGS = (
    "hmm, let me think.",
    "wait, let me see.",
    "okay, so far so good.",
    "alternatively, go on.",
    "hmm, wait.",
    "but then, go on.",
)
CHECKS = (
    "let me check",
    "now let me check",
    "wait, let me check",
    "hmm, let me check",
    "then check",
)
REPAIR = ("wait, that is wrong.", "hmm, that is wrong.", "wait, no.", "but wait, that is wrong.")
