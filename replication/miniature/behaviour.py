"""Measure whether the miniature world behaves like the real one.

``python -m replication.miniature.behaviour`` measures the shipped traces and writes the
table into data/README.md; with ``--generator`` it asks the reasoners' tables instead of the
reasoners, which takes seconds and no model. Every number in the table is computed here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepprune_core.answers import extract_answer, grade_all
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.judging.inputs import Judge, JudgeInput
from deepprune_core.metrics import auroc, question_oracle, redundancy, within_question_auroc
from deepprune_core.pairs import PairSet, all_pairs, sample_per_question
from deepprune_core.reporting.tables import write_atomically
from deepprune_core.traces import Trace, TraceSet
from deepprune_core.truncation import Tokenizer, Truncation, count_reasoning_words
from deepprune_core.voting import majority
from replication.miniature.benchmarks import BENCHMARKS, all_problems, questions_of
from replication.miniature.contradictions import ReadingJudge
from replication.miniature.narration import narrate
from replication.miniature.recipes import HABITS
from replication.miniature.tokenizer import build_tokenizer

START, END = "<!-- behaviour:start -->", "<!-- behaviour:end -->"
WORDS = (4, 6, 8, 10, 12, 16)
CUT = 12


@dataclass(frozen=True)
class CutSkill:
    """What can be known at a cut: share of the trace before it, AUROC pooled and within."""

    words: int
    fraction: float
    showed_answer: float
    pooled: float
    within: float


@dataclass(frozen=True)
class Behaviour:
    """One reasoner's measured behaviour; shares in [0, 1], lengths in tokens and words."""

    model: str
    questions: int
    traces: int
    agreement: float
    lowest_twentieth: float
    unanimous: float
    median_tokens: float
    median_words: float
    single_accuracy: float
    majority_accuracy: float
    question_oracle: float
    sentence_bert: float
    cuts: tuple[CutSkill, ...]

    @property
    def at_cut(self) -> CutSkill:
        return next(c for c in self.cuts if c.words == CUT)


def measure(traces: TraceSet, encoder: Judge | None = None, *, per_question: int = 16) -> Behaviour:
    """Return a reasoner's behaviour from the first ``per_question`` traces of every question.

    ``encoder`` is a judge of surface similarity, asked about 12 pairs a question.
    """
    few = TraceSet(
        traces.model, traces.questions, tuple(group[:per_question] for group in traces.traces)
    )
    graded, tokenizer = grade_all(few), build_tokenizer()
    pairs = all_pairs(graded)
    share = redundancy(pairs).per_question
    texts = [t.text for group in few.traces for t in group]
    single = [float(np.mean(g.classes == g.gold_class)) for g in graded]
    cuts = tuple(_skill(few, pairs, Truncation("reasoning_words", w), tokenizer) for w in WORDS)
    return Behaviour(
        model=traces.model,
        questions=len(few.questions),
        traces=few.num_traces,
        agreement=float(share.mean()),
        lowest_twentieth=float(np.percentile(share, 5)),
        unanimous=float(np.mean(share == 1)),
        median_tokens=float(np.median([t.num_tokens for g in few.traces for t in g])),
        median_words=float(np.median([count_reasoning_words(text) for text in texts])),
        single_accuracy=float(np.mean(single)),
        majority_accuracy=float(
            np.mean([majority(g.classes).winner == g.gold_class for g in graded])
        ),
        question_oracle=auroc(pairs.same, question_oracle(pairs.question, pairs.same)),
        sentence_bert=_surface(few, pairs, tokenizer, encoder) if encoder else float("nan"),
        cuts=cuts,
    )


def _inputs(
    traces: TraceSet, pairs: PairSet, cut: Truncation, tokenizer: Tokenizer
) -> list[JudgeInput]:
    prefixes = [[cut.cut(t.text, tokenizer).text for t in group] for group in traces.traces]
    return [
        JudgeInput("", prefixes[q][i], prefixes[q][j])
        for q, i, j in zip(pairs.question, pairs.first, pairs.second, strict=True)
    ]


def _skill(traces: TraceSet, pairs: PairSet, cut: Truncation, tokenizer: Tokenizer) -> CutSkill:
    prefixes = [cut.cut(t.text, tokenizer) for group in traces.traces for t in group]
    scores = ReadingJudge().score(_inputs(traces, pairs, cut, tokenizer))
    return CutSkill(
        words=cut.k,
        fraction=float(np.median([p.fraction for p in prefixes])),
        showed_answer=float(np.mean([p.showed_answer for p in prefixes])),
        pooled=auroc(pairs.same, scores),
        within=within_question_auroc(pairs.question, pairs.same, scores),
    )


def _surface(traces: TraceSet, pairs: PairSet, tokenizer: Tokenizer, encoder: Judge) -> float:
    some = sample_per_question(pairs, 12, np.random.default_rng(0))
    inputs = _inputs(traces, some, Truncation("reasoning_words", CUT), tokenizer)
    return auroc(some.same, encoder.score(inputs))


def generated(name: str, *, traces: int = 16, seed: int = 5) -> TraceSet:
    """Return traces written from a reasoner's table on the three benchmarks, without a model."""
    rng, tokenizer = np.random.default_rng([seed, len(name)]), build_tokenizer()
    questions = questions_of(tuple(BENCHMARKS))
    problems = [p for benchmark in BENCHMARKS for p in all_problems()[benchmark]]
    groups = []
    for question, problem in zip(questions, problems, strict=True):
        texts = [narrate(problem, HABITS[name], rng) for _ in range(traces)]
        groups.append(
            tuple(
                Trace(
                    question_id=question.question_id,
                    trace_id=str(i),
                    text=text,
                    num_tokens=len(tokenizer.encode(text, add_special_tokens=False)),
                    answer=extract_answer(text),
                    finish_reason="stop",
                )
                for i, text in enumerate(texts)
            )
        )
    return TraceSet(name, questions, tuple(groups))


ROWS: tuple[tuple[str, str, str], ...] = (
    ("Same-answer pairs", "78–88 %", "{agreement:.1%}"),
    ("Lowest twentieth of questions", "near 30 %", "{lowest_twentieth:.1%}"),
    ("Unanimous questions", "about half", "{unanimous:.1%}"),
    ("Accuracy of a single trace", "", "{single_accuracy:.1%}"),
    ("Accuracy of the majority vote", "single + 2", "{majority_accuracy:.1%}"),
    ("Median tokens a trace", "", "{median_tokens:.0f}"),
    ("Median reasoning words a trace", "", "{median_words:.0f}"),
    (f"Share of the trace before {CUT} words", "≤ 15 %", "{at_cut.fraction:.1%}"),
    (f"Prefixes of {CUT} words that would show an answer", "0 %", "{at_cut.showed_answer:.1%}"),
    (f"Reader of contradictions at {CUT} words, AUROC pooled", "≥ 0.85", "{at_cut.pooled:.3f}"),
    (f"Reader of contradictions at {CUT} words, within question", "≥ 0.80", "{at_cut.within:.3f}"),
    ("Question oracle, AUROC pooled", "", "{question_oracle:.3f}"),
    ("SentenceBERT, AUROC pooled", "0.52–0.65", "{sentence_bert:.3f}"),
    ("Questions", "", "{questions}"),
    ("Traces", "", "{traces}"),
)


def markdown_table(measured: Sequence[Behaviour]) -> str:
    """Return the targets and measured values as a Markdown table, a column a reasoner."""
    lines = ["| | target | " + " | ".join(b.model for b in measured) + " |"]
    lines.append("|---" * (2 + len(measured)) + "|")
    for label, target, form in ROWS:
        cells = " | ".join(form.format(**{**b.__dict__, "at_cut": b.at_cut}) for b in measured)
        lines.append(f"| {label} | {target} | {cells} |")
    for i, words in enumerate(WORDS):
        cells = " | ".join(f"{b.cuts[i].pooled:.2f} / {b.cuts[i].within:.2f}" for b in measured)
        lines.append(f"| Reader of contradictions at {words} words, pooled / within | | {cells} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure the shipped traces and write the table into a README between its marks."""
    from deepprune_core.judging.sentence_bert import SentenceBertJudge, open_encoder

    parser = argparse.ArgumentParser(
        prog="python -m replication.miniature.behaviour", description=main.__doc__
    )
    parser.add_argument("names", nargs="*", help=f"reasoners (default: {', '.join(HABITS)})")
    parser.add_argument(
        "--traces", type=Path, default=Path("data/miniature/traces"), help="their folder"
    )
    parser.add_argument("--readme", type=Path, default=Path("data/README.md"))
    parser.add_argument(
        "--generator", action="store_true", help="ask the tables, not the models; only print"
    )
    options = parser.parse_args(arguments)
    names = options.names or list(HABITS)
    encoder = SentenceBertJudge(open_encoder())
    measured = []
    for name in names:
        if options.generator:
            traces = generated(name)
        else:
            traces = read_traces(options.traces / f"{name}.parquet")
        measured.append(measure(traces, encoder))
        print(f"measured {name}", file=sys.stderr)
    table = markdown_table(measured)
    if not options.generator:
        write_between(options.readme, table)
    print(table)


def write_between(readme: Path, table: str) -> None:
    """Put a table between the marks of a README; exits with one line if they are missing."""
    text = readme.read_text(encoding="utf-8")
    if START not in text or END not in text:
        raise SystemExit(f"{readme}: expected the marks {START} and {END}; add them")
    head, rest = text.split(START)
    write_atomically(readme, f"{head}{START}\n{table}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
