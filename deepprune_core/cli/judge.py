"""`deepprune judge`: train, score and evaluate a judge on your own trace files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from deepprune_core.cli import options as o
from deepprune_core.cli.opening import told_in_one_line

if TYPE_CHECKING:
    from deepprune_core.training.labelled import LabelledTraces

app = typer.Typer(
    no_args_is_help=True, help="Train, score and evaluate a judge.", rich_markup_mode=None
)
Traces = Annotated[Path, typer.Argument(help="a trace file: our own format or another tool's")]
PerQuestion = Annotated[int, typer.Option(min=1, help="pairs a question at most")]


@app.command()
def train(
    traces: Traces,
    base: Annotated[str, typer.Option(help="folder or hub name of a causal language model")],
    out: Annotated[Path, typer.Option(help="folder that receives the judge")],
    validation: Annotated[
        Path | None, typer.Option(help="traces to validate on (default: a tenth of the questions)")
    ] = None,
    cut: o.Cut = "25 words",
    pairs_per_question: PerQuestion = 50,
    focal: Annotated[bool, typer.Option(help="focal loss instead of cross-entropy")] = True,
    oversample: Annotated[bool, typer.Option(help="show pairs that differ twice")] = True,
    once: Annotated[
        bool, typer.Option("--once", help="a judge that reads each prefix once: far cheaper")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="train all weights, not LoRA")] = False,
    learning_rate: float = 1e-4,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    batch_tokens: Annotated[int, typer.Option(min=64)] = 16_384,
    max_tokens: Annotated[int, typer.Option(min=32)] = 2048,
    seed: int = 0,
) -> None:
    """Fine-tune a judge on which traces of a question agree.

    \b
      deepprune judge train traces.jsonl --base Qwen/Qwen3-4B-Instruct-2507 --out ./judge

    A killed run goes on from its last checkpoint. With --once the judge reads each prefix once
    and compares vectors; several epochs and a learning rate of 1e-3 suit it.
    """
    if once and full:
        raise typer.BadParameter("--once trains LoRA and a head; leave --full out")

    from deepprune_core.judging.loading import load_causal_lm
    from deepprune_core.training.encode_once import train_encode_once
    from deepprune_core.training.labelled import label_pairs, prompt_for, split_validation
    from deepprune_core.training.loop import TrainConfig, train_judge

    truncation, rng = o.parse_cut(cut), np.random.default_rng(seed)
    with told_in_one_line():
        model, tokenizer = load_causal_lm(base)
        found = label_pairs(traces, truncation, tokenizer, pairs_per_question, rng)
        if validation is None:
            training, held_out = split_validation(found, rng)
        else:
            training = found
            held_out = label_pairs(validation, truncation, tokenizer, pairs_per_question, rng)
        config = TrainConfig(
            learning_rate=learning_rate, epochs=epochs, batch_tokens=batch_tokens,
            max_tokens=min(max_tokens, int(model.config.max_position_embeddings)),
            gamma=2.0 if focal else 0.0, alpha=0.5 if focal else None,
            lora_rank=None if full else 16, share_heads=True, seed=seed,
        )  # fmt: skip
        train_one = train_encode_once if once else train_judge
        result = train_one(
            config, model, tokenizer, prompt=prompt_for(tokenizer),
            train=training.pairs(oversample=oversample), validation=held_out.pairs(), out=out,
        )  # fmt: skip
    typer.echo(f"{out}: {result.steps} steps, validation AUROC {result.validation_auroc:.3f}")


@app.command()
def score(
    traces: Traces,
    judge: o.JudgeName,
    out: Annotated[Path, typer.Option(help="JSON lines: one pair each")],
    judge_base: o.JudgeBase = None,
    cut: o.Cut = "25 words",
    pairs_per_question: PerQuestion = 1000,
    tokenizer: o.TokenizerName = None,
    seed: int = 0,
) -> None:
    """Write the judge's score of every pair: question, both traces, score, whether they agree."""
    from deepprune_core.formats.files import write_atomically

    found, scores = _scored(traces, judge, judge_base, cut, pairs_per_question, tokenizer, seed)
    lines = [
        json.dumps({**row, "score": round(float(s), 6)})
        for row, s in zip(found.rows(), scores, strict=True)
    ]
    write_atomically(out, "".join(line + "\n" for line in lines))
    typer.echo(f"{out}: {len(lines)} pairs")


@app.command("eval")
def evaluate(
    traces: Traces,
    judge: o.JudgeName,
    judge_base: o.JudgeBase = None,
    cut: o.Cut = "25 words",
    pairs_per_question: PerQuestion = 20,
    tokenizer: o.TokenizerName = None,
    seed: int = 0,
    as_json: o.Json = False,
) -> None:
    """Print how well a judge tells pairs apart, between its floor and its question oracle."""
    from deepprune_core.metrics import auroc, question_oracle, tnr_at_fnr, within_question_auroc

    found, scores = _scored(traces, judge, judge_base, cut, pairs_per_question, tokenizer, seed)
    same, groups = found.same, found.groups
    rows = {
        "pairs": len(same),
        "same_answer": float(same.mean()),
        "auroc": auroc(same, scores),
        "auroc_within_question": within_question_auroc(groups, same, scores),
        "question_oracle": auroc(same, question_oracle(groups, same)),
        "tnr_at_fnr_0.2": tnr_at_fnr(same, scores),
    }
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for name, value in rows.items():
        typer.echo(
            f"{name:24}{value:>10.3f}" if isinstance(value, float) else f"{name:24}{value:>10}"
        )


def _scored(
    traces: Path,
    judge: str,
    judge_base: str | None,
    cut: str,
    per_question: int,
    tokenizer: str | None,
    seed: int,
) -> tuple[LabelledTraces, np.ndarray]:
    from deepprune_core.engines.discovery import open_tokenizer
    from deepprune_core.engines.named_judges import open_named_judge
    from deepprune_core.training.labelled import label_pairs

    truncation = o.parse_cut(cut)
    with told_in_one_line():
        words, rng = open_tokenizer(tokenizer), np.random.default_rng(seed)
        found = label_pairs(traces, truncation, words, per_question, rng)
        scores = open_named_judge(judge, judge_base).judge.score(found.inputs)
    return found, scores
