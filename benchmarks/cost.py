"""The judge's share at the paper's scale, on paper: no model runs.

    python benchmarks/cost.py

writes docs/cost.md: the formula, and what is left of the savings that the paper's Table 2 reports
when a judge of 4 billion parameters is counted, pair by pair or once a trace.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting.tables import Table
from replication.reporting.reference import load_reference
from replication.workflow.plan import QUESTION_TOKENS
from replication.workflow.profile import ROOT

TRACES = 512
CLUSTERS, REPRESENTATIVES = 32, 10  # the paper's K and K1
PREFIX_TOKENS = 500
QUESTIONS = {"AIME24": 30, "AIME25": 30, "GPQA": 198}


@dataclass(frozen=True)
class Network:
    """A decoder: ``billions`` of active parameters, ``layers``, ``width`` of all its heads.

    ``attended``: the share of layers that look at the whole context.
    """

    billions: float
    layers: int
    width: int
    attended: float = 1.0

    def flops(self, context: float) -> float:
        """Return the operations of one token behind ``context`` others."""
        attention = 4 * self.layers * self.attended * self.width * context
        return 2e9 * self.billions + attention


# From the models' own configurations: Qwen3-8B (the 8B's base), Qwen3-32B, gpt-oss-20b (experts:
# 3.6 of 20.9 billion are active, every second layer sees 128 tokens), Qwen3-4B.
REASONERS = {
    "DeepSeek-8B": Network(8.2, 36, 32 * 128),
    "Qwen3-32B": Network(32.8, 64, 64 * 128),
    "GPT-OSS-20B": Network(3.6, 24, 64 * 64, 0.5),
}
JUDGE = Network(4.0, 36, 32 * 128)

PAIR = QUESTION_TOKENS + 2 * PREFIX_TOKENS
TEXT = QUESTION_TOKENS + PREFIX_TOKENS
WAYS = {
    "pairs, at most": TRACES * CLUSTERS * REPRESENTATIVES * PAIR,
    "pairs, 8 clusters": TRACES * 8 * REPRESENTATIVES * PAIR,
    "pairs, 8 clusters, 1 representative": TRACES * 8 * PAIR,
    "each prefix once": TRACES * TEXT,
}

FORMULA = f"""A token of a dense decoder costs 2P operations for its P parameters, and 4 L w c for
attention: L layers, heads of total width w, c tokens before it. A trace of T tokens has c = T / 2
on average, a judge's prompt of J tokens c = J / 2. So a judge's token costs

    price = (2 P_judge + 2 L_judge w_judge J) / (2 P_reasoner + 2 L_reasoner w_reasoner T)

of a reasoner's, and with G generated tokens of B (all traces in full) and R read by the judge

    net saving = 1 - (G + price R) / B.

Here {TRACES} traces a question are cut at {PREFIX_TOKENS} tokens, a question takes
{QUESTION_TOKENS}; a pair is a prompt of {PAIR:,} tokens, one trace a prompt of {TEXT:,}. Generating
a token is dearer than reading one on real hardware, since reading fills the processor; the price
in seconds is lower than the one here.
"""


def rows_of() -> list[tuple[str, ...]]:
    """Return a row per reasoner and benchmark: price, gross saving, net saving by every way."""
    found = []
    for model, methods in load_reference().table2.items():
        for benchmark, (whole, _) in methods["cons@512"].items():
            generated = methods["DeepPrune"][benchmark][0]
            baseline = whole * 1e8 / QUESTIONS[benchmark]
            length = baseline / TRACES
            reasoner = REASONERS[model].flops(length / 2)
            nets = []
            for way, tokens in WAYS.items():
                context = (TEXT if "once" in way else PAIR) / 2
                price = JUDGE.flops(context) / reasoner
                nets.append(1 - generated / whole - price * tokens / baseline)
            found.append(
                (model, benchmark, f"{length:,.0f}", f"{JUDGE.flops(PAIR / 2) / reasoner:.2f}",
                 f"{100 * (1 - generated / whole):.1f}", *(f"{100 * net:.1f}" for net in nets))
            )  # fmt: skip
    return found


def main() -> None:
    """Compute and write docs/cost.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "cost.md")
    options = parser.parse_args()
    table = Table(
        "cost", "Tokens saved at the paper's scale, with a 4B judge counted (%).",
        ("reasoner", "benchmark", "tokens a trace", "price of a judge's token", "gross (paper)",
         *(f"net: {way}" for way in WAYS)),
        tuple(rows_of()),
        (f"'At most': every trace meets K = {CLUSTERS} clusters of K1 = {REPRESENTATIVES} "
         "representatives; the paper does not tell how many it met. Eight clusters are an "
         "assumption. The accuracies belong to the paper's own judge.",),
    )  # fmt: skip
    text = (
        "# What the judge costs at the paper's scale\n\nWritten by `python benchmarks/cost.py`; "
        f"no model ran.\n\n{FORMULA}\n{table.to_markdown()}"
    )
    write_atomically(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
