"""Public traces of real models: one converter for each format that their sources use.

A converter reads the files of one set, as they lie in the source's repository, and gives our own
records. Whose they are and what they hold is told in ``data/public_traces.yaml``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepprune_core.answers import last_box

Record = dict[str, Any]


def inspect_summaries(files: Sequence[Path]) -> list[Record]:
    """Return the samples of an Inspect log viewer's ``summaries.json``, epochs in order.

    The trace is the scorer's explanation (Inspect's choice scorer keeps the whole completion
    there), the answer the scorer's. A sample that was not scored has an empty trace.
    """
    found: dict[str, Record] = {}
    for sample in sorted(_json(files[0]), key=lambda s: (str(s["id"]), s["epoch"])):
        name = str(sample["id"])
        record = found.setdefault(name, _question(name, sample["input"], sample["target"]))
        score: Record = next(iter((sample.get("scores") or {}).values()), {})
        record["traces"].append(
            {"trace_id": str(sample["epoch"]), "text": str(score.get("explanation") or ""),
             "answer": score.get("answer") or None}
        )  # fmt: skip
    return list(found.values())


def seed_folders(files: Sequence[Path]) -> list[Record]:
    """Return the traces of ``seed_N/traces.jsonl`` files: a line a question, a file a seed."""
    found: dict[str, Record] = {}
    for seed, path in enumerate(files):
        for line in _lines(path):
            name = str(line["question_id"])
            record = found.setdefault(name, _question(name, line["prompt"], line["answer"]))
            text = (
                f"<think>\n{line['reasoning_trace']}\n</think>\n\n{line['generated_answer_text']}"
            )
            record["traces"].append(
                {"trace_id": str(seed), "text": text, "answer": line["generated_answer"] or None,
                 "n_tokens": line["generated_token_count"], "finish_reason": line["finish_reason"]}
            )  # fmt: skip
    return list(found.values())


def math_cot(files: Sequence[Path]) -> list[Record]:
    """Return the traces of ``math_cot_results_*.json`` files: a problem an entry, a file a run.

    The prompt stands before the trace and is taken off; gold is the boxed part of the solution.
    The answer is the last box, of an unfinished thinking too.
    """
    found: dict[str, Record] = {}
    for path in files:
        for entry in _json(path):
            name, asked = str(entry["problem_id"]), str(entry["problem_text"])
            gold = last_box(str(entry["ground_truth_solution"]))
            record = found.setdefault(name, _question(name, asked, gold))
            text = "<think>" + str(entry["generated_cot"]).partition("<think>")[2]
            record["traces"].append(
                {"trace_id": path.stem.removeprefix("math_cot_results_"), "text": text,
                 "answer": last_box(text.rsplit("</think>", 1)[-1])}
            )  # fmt: skip
    return list(found.values())


CONVERTERS: dict[str, Callable[[Sequence[Path]], list[Record]]] = {
    "inspect-summaries": inspect_summaries,
    "seed-folders": seed_folders,
    "math-cot": math_cot,
}


def _question(name: str, text: Any, gold: Any) -> Record:
    return {"question_id": name, "question": str(text), "gold": gold, "traces": []}


def _json(path: Path) -> list[Record]:
    return list(json.loads(path.read_text(encoding="utf-8")))


def _lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())
