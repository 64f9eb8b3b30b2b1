"""What judging costs: pairs a second by several ways to read them, and how many pairs are asked.

    python benchmarks/judge.py --questions 2 --sizes 8 16 32 --replayed 8 16 32 64

scores all pairs of some questions of the miniature's birch with the shipped judges, each way on
the same pairs in the same run, and writes docs/benchmark_judge.md. All speeds are ratios to the
plain way: whole prompts, padded. The second table replays pruning on the stored scores of the
judge that reads each prefix once, and fits how calls and tokens grow with the number of traces.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.clustering import ClusteringConfig
from deepprune_core.engines.endpoint_judge import EndpointJudge
from deepprune_core.engines.vllm_server import vllm_server
from deepprune_core.formats.files import write_atomically
from deepprune_core.judge import CausalLMJudge
from deepprune_core.judging.encode_once import EncodeOnceJudge
from deepprune_core.judging.inputs import Judge, JudgeInput
from deepprune_core.judging.loading import load_judge
from deepprune_core.judging.pair_data import cut_prefixes
from deepprune_core.pruner import PruningConfig, StoredQuestion, pair_inputs, replay
from deepprune_core.reporting.tables import NOTHING, Table
from replication.encode_once import at_scale, once_questions, once_scores, open_once
from replication.run import GradedTraces, Run, graded_traces
from replication.untrained import judge_tokenizer
from replication.workflow.profile import ROOT, load_profile

PROFILE = ROOT / "replication" / "profiles" / "mini.yaml"
PLAIN = "whole prompts, padded"
ONCE = "each prefix once (ours, another judge)"
LARGEST = 512  # the paper's traces a question


Opening = Callable[[ExitStack], Judge]  # the stack ends what a judge needs, such as a server


def ways(run: Run) -> dict[str, Opening]:
    """Return the ways to read pairs, by name; all have the same weights but the cross-encoder."""
    settings = run.profile.judge
    base, adapter = ROOT / str(settings.base), ROOT / str(settings.adapter)

    def ours(**more: Any) -> CausalLMJudge:
        return load_judge(base, adapter, autocast=True, batch_tokens=settings.batch_tokens, **more)

    def served(stack: ExitStack, *arguments: str) -> Judge:
        here, folder = load_judge(base, adapter), run.work / "merged"
        here.model.save_pretrained(folder)
        here.tokenizer.save_pretrained(folder)
        server = vllm_server(folder, "judge", run.work / "vllm.log", arguments=arguments)
        url = stack.enter_context(server)
        return EndpointJudge(url, "judge", here.tokenizer, here.prompt, settings.max_tokens)

    return {
        PLAIN: lambda _: ours(min_shared=None),
        "vLLM's server, one token": lambda stack: served(stack, "--no-enable-prefix-caching"),
        "vLLM's server, one token, prefix cache": served,
        "shared part through a cache": lambda _: ours(),
        "packed rows (ours)": lambda _: ours(packed=True),
        "packed rows, compiled (ours)": lambda _: ours(packed=True, compiled=True),
        ONCE: lambda _: open_once(run),
        "cross-encoder of that size, untrained": lambda _: CrossEncoderJudge(base),
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

    def pairs(part: int, n: int) -> list[JudgeInput]:
        """Each part has questions of its own: no cache has met its pairs before."""
        return [
            pair
            for q in range(part * questions, (part + 1) * questions)
            for pair in pair_inputs(
                traces.traces.questions[q].text, [p.text for p in prefixes[q][:n]]
            )[1]
        ]

    asked = [pairs(i, n) for i, n in enumerate(sizes)]
    others = [pairs(len(sizes) + i, n) for i, n in enumerate(sizes)]
    rates: dict[str, list[float]] = {}
    truth: np.ndarray | None = None
    worst: dict[str, float] = {}
    for name, open_way in ways(run).items():
        with ExitStack() as stack:
            rates[name], scores = timed(open_way(stack), others, asked)
        truth = scores if truth is None else truth
        worst[name] = float(np.abs(scores - truth).max())
        print(f"{name}: " + ", ".join(f"{r:.0f}" for r in rates[name]) + " pairs/s", flush=True)
    return [
        (name, *(f"{r:.0f} ({r / p:.2f}x)" for r, p in zip(found, rates[PLAIN], strict=True)),
         NOTHING if "cross" in name or name == ONCE else f"{worst[name]:.4f}")
        for name, found in rates.items()
    ]  # fmt: skip


def timed(
    judge: Judge, others: Sequence[list[JudgeInput]], parts: Sequence[list[JudgeInput]]
) -> tuple[list[float], np.ndarray]:
    """Return the pairs a second of each part, after a warm-up on others, and the last scores."""
    for pairs in others:  # warm up, compile at every size
        judge.score(pairs)
    rates, scores = [], np.zeros(0)
    for pairs in parts:
        started = time.monotonic()
        scores = judge.score(pairs)
        rates.append(len(pairs) / (time.monotonic() - started))
    return rates, scores


def growth_rows(
    run: Run, sizes: Sequence[int], orders: int
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return (calls, tokens) a question for each rule and size, with the power law's exponent.

    Who asks what follows from the scores of the judge that reads once, for every rule.
    """
    large = at_scale(run)
    judge = open_once(large)
    stored = once_scores(large, judge, large.online)
    traces = large.online[0]
    questions = once_questions(large, judge, stored, traces)
    pair, text = prompt_lengths(run, judge, traces)
    paper = large.profile.pruning.config().clustering
    rules = {
        f"pairs, up to {paper.max_representatives} representatives (the paper's rule)": paper,
        "pairs, 1 representative (fast)": replace(paper, max_representatives=1, choice="first"),
    }
    calls = {name: _calls(rule, questions, sizes, orders) for name, rule in rules.items()}
    tokens = {"pairs, all of them": [n * (n - 1) / 2 * pair for n in sizes]}
    tokens |= {name: [pair * c for c in found] for name, found in calls.items()}
    tokens["each prefix once"] = [n * text for n in sizes]
    return ([_grown(name, sizes, found) for name, found in calls.items()],
            [_against(name, sizes, found, tokens) for name, found in tokens.items()])  # fmt: skip


def prompt_lengths(run: Run, once: EncodeOnceJudge, traces: GradedTraces) -> tuple[float, float]:
    """Return the mean tokens of a pair's prompt and of a prefix's, question included."""
    settings = run.profile.judge
    paired = load_judge(ROOT / str(settings.base), ROOT / str(settings.adapter))
    prefixes = cut_prefixes(traces.traces, run.cuts.online(), once.encoder.tokenizer)
    pairs, texts = [], []
    for question, group in zip(traces.traces.questions, prefixes, strict=True):
        texts += [(question.text, p.text) for p in group[:8]]
        pairs += pair_inputs(question.text, [p.text for p in group[:8]])[1]
    return float(paired.num_tokens(pairs).mean()), float(once.text_tokens(texts).mean())


def _calls(
    rule: ClusteringConfig, questions: Sequence[StoredQuestion], sizes: Sequence[int], orders: int
) -> list[float]:
    calls = []
    for n in sizes:
        found = [
            replay(q, np.random.default_rng(seed).permutation(len(q.classes))[:n].tolist(),
                   PruningConfig(rule), np.random.default_rng(seed)).ledger.judge_calls
            for q in questions for seed in range(orders)
        ]  # fmt: skip
        calls.append(float(np.mean(found)))
    return calls


def _power_law(sizes: Sequence[int], values: Sequence[float]) -> tuple[float, float]:
    """Return (exponent, value at 512 traces) of the power law through the values."""
    exponent, constant = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(exponent), float(np.exp(constant + exponent * np.log(LARGEST)))


def _grown(name: str, sizes: Sequence[int], calls: Sequence[float]) -> tuple[str, ...]:
    exponent, far = _power_law(sizes, calls)
    return (name, *(f"{c:.0f}" for c in calls), f"{exponent:.2f}", f"{far:,.0f}")


def _against(
    name: str, sizes: Sequence[int], values: Sequence[float], every: dict[str, list[float]]
) -> tuple[str, ...]:
    exponent, far = _power_law(sizes, values)
    _, once = _power_law(sizes, every["each prefix once"])
    return (name, *(f"{v:,.0f}" for v in values), f"{exponent:.2f}", f"{far:,.0f}",
            f"{far / once:.1f}x")  # fmt: skip


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--questions", type=int, default=2, help="of its own for each size")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[8, 16, 32], help="traces a question"
    )
    parser.add_argument(
        "--replayed", type=int, nargs="+", default=[8, 16, 32, 64], help="traces in the replay"
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
        (f"N: for each size {options.questions} question(s) of its own; in brackets the ratio to "
         "the first row. Scores in bf16, so they move with the layout of a pass.",),
    )  # fmt: skip
    grown = tuple(f"{n} traces" for n in options.replayed)
    calls, tokens = growth_rows(run, options.replayed, options.orders)
    far = f"{LARGEST} traces, extrapolated"
    growth = Table(
        "growth", "Judge calls a question in pruning", ("rule", *grown, "exponent", far),
        tuple(calls),
        (f"Means over {options.orders} arrival orders of all questions of birch; the exponent of a "
         "power law through the sizes. All pairs grow with exponent 2.",),
    )  # fmt: skip
    read = Table(
        "tokens", "Prompt tokens a question that judges read",
        ("rule", *grown, "exponent", far, "there, against each prefix once"), tuple(tokens),
        ("Prompts are counted whole, without what caches save. Both have one base, so tokens "
         "compare as operations do.",),
    )  # fmt: skip
    sizes = " ".join(map(str, options.sizes))
    replayed = " ".join(map(str, options.replayed))
    command = (
        f"python benchmarks/judge.py --questions {options.questions} --sizes {sizes} "
        f"--replayed {replayed}"
    )
    parts = "\n".join(table.to_markdown() for table in (speed, growth, read))
    text = f"Written by `{command}`.\n\n{parts}"
    write_atomically(options.out, text)
    print(text)


if __name__ == "__main__":
    main()
