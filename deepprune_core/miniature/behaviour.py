"""Measure whether the miniature world behaves like the real one, and write it to data/README.md.

``python -m deepprune_core.miniature.behaviour`` prints the targets of the project beside what
the shipped traces show. Every number in that table is computed here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepprune_core.answers import grade_all
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.metrics import redundancy
from deepprune_core.miniature.tokenizer import build_tokenizer
from deepprune_core.pairs import all_pairs
from deepprune_core.traces import TraceSet
from deepprune_core.truncation import Truncation, count_reasoning_words
from deepprune_core.voting import majority

START, END = "<!-- behaviour:start -->", "<!-- behaviour:end -->"


@dataclass(frozen=True)
class Behaviour:
    """One reasoner's measured behaviour; shares in [0, 1], lengths in tokens and words."""

    model: str
    questions: int
    traces: int
    agreement: float
    lowest_question: float
    tenth_percentile: float
    median_tokens: float
    median_words: float
    early_prefixes: float
    showed_answer: float
    questions_with_wrong: float
    single_accuracy: float
    majority_accuracy: float


def measure(traces: TraceSet, *, words: int = 25) -> Behaviour:
    """Return a reasoner's behaviour; prefixes end at ``words`` reasoning words."""
    graded = grade_all(traces)
    pairs = all_pairs(graded)
    share = redundancy(pairs)
    cut = Truncation("reasoning_words", words)
    tokenizer = build_tokenizer()
    texts = [t.text for group in traces.traces for t in group[:16]]
    prefixes = [cut.cut(text, tokenizer) for text in texts]
    counts = [count_reasoning_words(text) for text in texts]
    single = [float(np.mean(g.classes == g.gold_class)) for g in graded]
    voted = [majority(g.classes).winner == g.gold_class for g in graded]
    return Behaviour(
        model=traces.model,
        questions=len(traces.questions),
        traces=traces.num_traces,
        agreement=share.micro,
        lowest_question=float(np.min(share.per_question)),
        tenth_percentile=float(np.percentile(share.per_question, 10)),
        median_tokens=float(np.median([t.num_tokens for g in traces.traces for t in g])),
        median_words=float(np.median(counts)),
        early_prefixes=float(np.mean([p.fraction < 0.5 for p in prefixes])),
        showed_answer=float(np.mean([p.showed_answer for p in prefixes])),
        questions_with_wrong=float(np.mean(np.array(single) < 1.0)),
        single_accuracy=float(np.mean(single)),
        majority_accuracy=float(np.mean(voted)),
    )


ROWS: tuple[tuple[str, str, str], ...] = (
    ("Same-answer pairs", "70–95 %", "{agreement:.1%}"),
    ("Lowest question", "near 30 %", "{lowest_question:.1%}"),
    ("10th percentile of questions", "", "{tenth_percentile:.1%}"),
    ("Median tokens a trace", "≥ 300", "{median_tokens:.0f}"),
    ("Median reasoning words a trace", "≥ 50", "{median_words:.0f}"),
    ("Traces whose 25 words end before half", "≥ 90 %", "{early_prefixes:.1%}"),
    ("Prefixes that would show an answer", "few", "{showed_answer:.1%}"),
    ("Questions with a wrong trace", "most", "{questions_with_wrong:.1%}"),
    ("Accuracy of a single trace", "", "{single_accuracy:.1%}"),
    ("Accuracy of the majority vote", "above single", "{majority_accuracy:.1%}"),
    ("Questions", "", "{questions}"),
    ("Traces", "", "{traces}"),
)


def markdown_table(measured: Sequence[Behaviour]) -> str:
    """Return the targets and measured values as a Markdown table, a column a reasoner."""
    lines = ["| | target | " + " | ".join(b.model for b in measured) + " |"]
    lines.append("|---" * (2 + len(measured)) + "|")
    for label, target, form in ROWS:
        cells = " | ".join(form.format(**b.__dict__) for b in measured)
        lines.append(f"| {label} | {target} | {cells} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure the shipped traces and write the table into a README between its marks."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("traces", nargs="*", type=Path)
    parser.add_argument("--readme", type=Path, default=Path("data/README.md"))
    options = parser.parse_args(arguments)
    paths = options.traces or [
        Path(f"data/traces/{n}.parquet") for n in ("ash", "birch", "cedar", "oak")
    ]
    table = markdown_table([measure(read_traces(path)) for path in paths])
    text = options.readme.read_text()
    if START not in text or END not in text:
        raise SystemExit(f"{options.readme}: expected the marks {START} and {END}; add them")
    head, rest = text.split(START)
    fresh = options.readme.with_suffix(".tmp")
    fresh.write_text(f"{head}{START}\n{table}\n{END}{rest.split(END)[1]}")
    fresh.replace(options.readme)
    print(table)


if __name__ == "__main__":
    main()
