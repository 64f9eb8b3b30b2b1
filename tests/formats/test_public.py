"""The converters of public traces, on small files in each source's format."""

from __future__ import annotations

import json
from pathlib import Path

from deepprune_core.formats.public import inspect_summaries, math_cot, seed_folders


def test_inspect_summaries_give_one_trace_an_epoch(tmp_path: Path) -> None:
    def sample(name: str, epoch: int, answer: str | None) -> dict:
        score = {"value": "C", "answer": answer, "explanation": f"{name} said {answer}"}
        return {
            "id": name, "epoch": epoch, "input": f"What is {name}?", "target": "B",
            "scores": {"choice": score} if answer else {}, "model_usage": {},
        }  # fmt: skip

    path = tmp_path / "summaries.json"
    path.write_text(json.dumps([sample("b", 2, "A"), sample("a", 1, "B"), sample("b", 1, None)]))
    first, second = inspect_summaries([path])
    assert first["question_id"] == "a" and first["gold"] == "B"
    assert [t["answer"] for t in first["traces"]] == ["B"]
    assert [(t["trace_id"], t["answer"], t["text"]) for t in second["traces"]] == [
        ("1", None, ""), ("2", "A", "b said A"),
    ]  # fmt: skip


def test_seed_folders_join_thinking_and_answer(tmp_path: Path) -> None:
    files = []
    for seed in (0, 1):
        line = {
            "question_id": "7", "question": "short", "prompt": "long?\n\nA. x", "answer": "J",
            "reasoning_trace": f"thought {seed}", "generated_answer_text": "so J",
            "generated_answer": "J" if seed else "", "generated_token_count": 90 + seed,
            "finish_reason": "stop",
        }  # fmt: skip
        path = tmp_path / f"seed_{seed}.jsonl"
        path.write_text(json.dumps(line) + "\n\n")
        files.append(path)
    (record,) = seed_folders(files)
    assert (record["question"], record["gold"]) == ("long?\n\nA. x", "J")
    assert record["traces"] == [
        {"trace_id": "0", "text": "<think>\nthought 0\n</think>\n\nso J", "answer": None,
         "n_tokens": 90, "finish_reason": "stop"},
        {"trace_id": "1", "text": "<think>\nthought 1\n</think>\n\nso J", "answer": "J",
         "n_tokens": 91, "finish_reason": "stop"},
    ]  # fmt: skip


def test_math_cot_takes_the_prompt_off_and_boxes_the_gold(tmp_path: Path) -> None:
    files = []
    for run, end in (("t=0.6", "unfinished"), ("t=0.7", "</think> \\boxed{4}")):
        entry = {
            "problem_id": 3, "problem_text": "2+2?", "ground_truth_solution": "It is \\boxed{4}.",
            "generated_cot": f"Put it in \\boxed{{}}. 2+2? <think>\nhm {end}",
        }  # fmt: skip
        path = tmp_path / f"math_cot_results_{run}.json"
        path.write_text(json.dumps([entry]))
        files.append(path)
    (record,) = math_cot(files)
    assert record["gold"] == "4"
    assert [(t["trace_id"], t["answer"]) for t in record["traces"]] == [
        ("t=0.6", None),
        ("t=0.7", "4"),
    ]
    assert record["traces"][0]["text"] == "<think>\nhm unfinished"
