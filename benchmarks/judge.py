"""What judging costs: pairs a second by several ways to read them, and how many pairs are asked.

    python benchmarks/judge.py --questions 2 --sizes 8 16 32

scores all pairs of some questions of the miniature's birch with the shipped judge, each way on
the same pairs in the same run, and writes docs/benchmark_judge.md. All speeds are ratios to the
plain way: whole prompts, padded. The second table replays pruning on the stored scores and fits
how judge calls grow with the number of traces.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.experiments.online import stored_questions
from deepprune_core.experiments.run import Run, graded_traces
from deepprune_core.experiments.stored_scores import open_scores
from deepprune_core.experiments.table2_run import online_judge
from deepprune_core.experiments.untrained import judge_tokenizer
from deepprune_core.judge import CausalLMJudge
from deepprune_core.judging.inputs import Judge, JudgeInput
from deepprune_core.judging.loading import load_judge
from deepprune_core.judging.pair_data import cut_prefixes
from deepprune_core.pruner import PruningConfig, StoredQuestion, pair_inputs, replay
from deepprune_core.reporting.tables import NOTHING, Table, write_atomically
from deepprune_core.workflow.profile import ROOT, load_profile

PROFILE = ROOT / "deepprune_core" / "profiles" / "mini.yaml"
PLAIN = "whole prompts, padded"


def ways(run: Run) -> dict[str, Callable[[], Judge]]:
    """Return the ways to read pairs, by name; all have the same weights but the cross-encoder."""
    settings = run.profile.judge
    base, adapter = ROOT / str(settings.base), ROOT / str(settings.adapter)

    def ours(**more: object) -> CausalLMJudge:
        return load_judge(base, adapter, autocast=True, batch_tokens=settings.batch_tokens, **more)

    return {
        PLAIN: lambda: ours(min_shared=None),
        "shared part through a cache": ours,
        "packed rows (ours)": lambda: ours(packed=True),
        "packed rows, compiled (ours)": lambda: ours(packed=True, compiled=True),
        "cross-encoder of that size, untrained": lambda: CrossEncoderJudge(base),
    }


class CrossEncoderJudge:
    """A sentence-transformers cross-encoder with as many parameters, for its speed alone."""

    def __init__(self, like: Path) -> None:
        import torch
        from sentence_transformers import CrossEncoder
        from transformers import (
            AutoConfig,
            AutoTokenizer,
            BertConfig,
            BertForSequenceClassification,
        )

        source = AutoConfig.from_pretrained(like)
        self._tokenizer = AutoTokenizer.from_pretrained(like)
        config = BertConfig(
            vocab_size=source.vocab_size, hidden_size=source.hidden_size,
            num_hidden_layers=source.num_hidden_layers, intermediate_size=source.intermediate_size,
            num_attention_heads=source.num_attention_heads, num_labels=1, pad_token_id=0,
            max_position_embeddings=1024,
        )  # fmt: skip
        folder = ROOT / "build" / "cross-encoder"
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        self._model = CrossEncoder(str(folder), device="cpu", max_length=1000)

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return meaningless scores, at the speed of real ones."""
        texts = [(f"{p.question} {p.first}", p.second) for p in inputs]
        return np.asarray(self._model.predict(texts, batch_size=32, show_progress_bar=False))

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the tokens a pair has."""
        return np.array([len(self._tokenizer.encode(p.first + p.second)) for p in inputs])


def speed_rows(run: Run, sizes: Sequence[int], questions: int) -> list[tuple[str, ...]]:
    """Return one row a way: pairs a second at every size, as a ratio to the plain way."""
    traces = graded_traces(ROOT / run.profile.traces.online[0], max(sizes))
    prefixes = cut_prefixes(traces.traces, run.cuts.online(), judge_tokenizer(run))
    asked = {
        n: [pair for q in range(questions)
            for pair in pair_inputs(traces.traces.questions[q].text,
                                    [p.text for p in prefixes[q][:n]])[1]]
        for n in sizes
    }  # fmt: skip
    rates: dict[str, list[float]] = {}
    truth: np.ndarray | None = None
    worst: dict[str, float] = {}
    for name, open_way in ways(run).items():
        judge = open_way()
        judge.score(asked[min(sizes)][:40])  # warm up, compile
        rates[name] = []
        for n in sizes:
            started = time.monotonic()
            scores = judge.score(asked[n])
            rates[name].append(len(asked[n]) / (time.monotonic() - started))
        truth = scores if truth is None else truth
        worst[name] = float(np.abs(scores - truth).max())
        print(f"{name}: " + ", ".join(f"{r:.0f}" for r in rates[name]) + " pairs/s", flush=True)
    return [
        (name, *(f"{r:.0f} ({r / p:.2f}x)" for r, p in zip(found, rates[PLAIN], strict=True)),
         NOTHING if "cross" in name else f"{worst[name]:.4f}")
        for name, found in rates.items()
    ]  # fmt: skip


def growth_rows(run: Run, sizes: Sequence[int], orders: int) -> list[tuple[str, ...]]:
    """Return judge calls a question for each rule and size, and the exponent of their growth."""
    judge, tokenizer = online_judge(run), judge_tokenizer(run)
    files = run.profile.traces.online
    largest = graded_traces(ROOT / files[0], max(sizes))
    shipped = ROOT / str(run.profile.judge.scores)
    stored = open_scores(shipped, judge, files, run.online)
    questions = stored_questions(largest, judge, run.cuts.online(), tokenizer, stored)
    paper = run.profile.pruning.config().clustering
    rules = {
        f"up to {paper.max_representatives}, random (the paper's rule)": paper,
        "1, first (fast)": replace(paper, max_representatives=1, choice="first"),
    }
    return [_growth(name, rule, questions, sizes, orders) for name, rule in rules.items()]


def _growth(
    name: str,
    rule: ClusteringConfig,
    questions: Sequence[StoredQuestion],
    sizes: Sequence[int],
    orders: int,
) -> tuple[str, ...]:
    calls = []
    for n in sizes:
        found = [
            replay(q, np.random.default_rng(seed).permutation(len(q.classes))[:n].tolist(),
                   PruningConfig(rule), np.random.default_rng(seed)).ledger.judge_calls
            for q in questions for seed in range(orders)
        ]  # fmt: skip
        calls.append(float(np.mean(found)))
    exponent = np.polyfit(np.log(sizes), np.log(calls), 1)[0]
    return (name, *(f"{c:.0f}" for c in calls), f"{exponent:.2f}")


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--questions", type=int, default=2, help="whose pairs are timed")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[8, 16, 32], help="traces a question"
    )
    parser.add_argument("--orders", type=int, default=5, help="arrival orders that are replayed")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmark_judge.md")
    options = parser.parse_args()
    work = ROOT / "build" / "benchmark"
    run = Run(load_profile(PROFILE), work, work)
    columns = tuple(f"{n} traces" for n in options.sizes)
    speed = Table(
        "speed", "Pairs a second, all pairs of a question",
        ("way", *columns, "largest difference of a score"),
        tuple(speed_rows(run, options.sizes, options.questions)),
        (f"N: {options.questions} questions; in brackets the ratio to the first row. Scores in "
         "bf16, so they move with the layout of a pass.",),
    )  # fmt: skip
    growth = Table(
        "growth", "Judge calls a question in pruning",
        ("representatives", *columns, "exponent"),
        tuple(growth_rows(run, options.sizes, options.orders)),
        (f"Means over {options.orders} arrival orders of all questions of birch; the exponent of a "
         "power law through the sizes. All pairs grow with exponent 2.",),
    )  # fmt: skip
    sizes = " ".join(map(str, options.sizes))
    command = f"python benchmarks/judge.py --questions {options.questions} --sizes {sizes}"
    text = f"Written by `{command}`.\n\n{speed.to_markdown()}\n{growth.to_markdown()}"
    write_atomically(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
