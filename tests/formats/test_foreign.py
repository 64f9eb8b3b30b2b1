"""Other tools' trace files, written here as those tools write them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from deepprune_core.formats.foreign import described
from deepprune_core.formats.trace_files import TraceFileError, read_traces

HARNESS = {
    "doc_id": 3, "doc": {"question": "2 + 2?"}, "target": "4", "arguments": {},
    "resps": [["so \\boxed{4}", "hmm, \\boxed{5}"]], "filtered_resps": ["4"], "exact_match": 1.0,
}  # fmt: skip
CODE = {"idx": 7, "question": "1 + 1?", "gt": "2", "code": ["\\boxed{2}", "\\boxed{3}"], "pred": []}


def batch(custom_id: str, text: str) -> dict:
    body = {"model": "m", "choices": [{"message": {"content": text}}],
            "usage": {"completion_tokens": 9}}  # fmt: skip
    return {"id": "b", "custom_id": custom_id, "response": {"status_code": 200, "body": body}}


def inspect_sample(name: str, epoch: int, text: str) -> dict:
    message = {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "hmm"},
                                                {"type": "text", "text": text}]}  # fmt: skip
    return {
        "id": name, "epoch": epoch, "input": [{"role": "user", "content": "How much?"}],
        "target": "A", "output": {"model": "m", "choices": [{"message": message}],
                                  "usage": {"output_tokens": 11}}, "scores": {},
    }  # fmt: skip


def lines(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_harness_samples_with_repeats(tmp_path):
    traces = read_traces(lines(tmp_path / "samples_gsm8k.jsonl", HARNESS))
    (question,), (group,) = traces.questions, traces.traces
    assert (question.question_id, question.text, question.gold) == ("3", "2 + 2?", "4")
    assert [t.text for t in group] == HARNESS["resps"][0]
    assert traces.counts_are_words and traces.model == "samples_gsm8k"


def test_lists_of_code(tmp_path):
    traces = read_traces(lines(tmp_path / "out.jsonl", CODE))
    assert (traces.questions[0].question_id, traces.questions[0].gold) == ("7", "2")
    assert [t.trace_id for t in traces.traces[0]] == ["0", "1"]


def test_batch_output_joins_a_questions_requests_and_keeps_token_counts(tmp_path):
    rows = [batch("q1#0", "a"), batch("q2#0", "b"), batch("q1#1", "c")]
    traces = read_traces(lines(tmp_path / "batch.jsonl", *rows))
    assert [q.question_id for q in traces.questions] == ["q1", "q2"]
    assert [t.text for t in traces.traces[0]] == ["a", "c"]
    assert traces.traces[0][0].num_tokens == 9 and not traces.counts_are_words


@pytest.mark.parametrize("suffix", ["json", "eval"])
def test_inspect_logs_order_epochs_and_join_reasoning(tmp_path, suffix):
    samples = [inspect_sample("x", 2, "B"), inspect_sample("x", 1, "A")]
    path = tmp_path / f"log.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps({"version": 2, "eval": {}, "samples": samples}))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", "{}")
            for sample in samples:
                archive.writestr(f"samples/x_epoch_{sample['epoch']}.json", json.dumps(sample))
    traces = read_traces(path)
    assert [t.text for t in traces.traces[0]] == ["hmm\nA", "hmm\nB"]
    assert (traces.model, traces.questions[0].text, traces.questions[0].gold) == (
        "m", "How much?", "A",
    )  # fmt: skip


def test_what_is_not_read_is_named():
    text = described(HARNESS)
    assert text.startswith("lm-evaluation-harness samples: doc_id → question_id")
    assert text.endswith("not read: arguments, exact_match, filtered_resps")
    assert "no known format" in described({"foo": 1})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.eval", "no zip", "no inspect-ai log"),
        ("a.json", '{"samples": []}', "holds no samples"),
        ("a.json", "{", "no inspect-ai log"),
        ("a.jsonl", '{"doc_id": 1, "resps": []}', "not a record of lm-evaluation-harness"),
        ("a.jsonl", '{"foo": 1}', "expected 'question_id'"),
    ],
)
def test_damage_is_told_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(TraceFileError, match=message) as error:
        read_traces(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
