"""The authors' release has no documented schema: whatever its fields are called, or an error."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from replication.workflow.released import ReleasedError, read_released


def written(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_a_row_a_trace(tmp_path):
    rows = [{"problem": "1+1?", "ground_truth": "2", "response": rf"so \boxed{{{a}}}",
             "model_name": m, "extra": 1} for m in ("qwen", "glm") for a in (2, 3)]  # fmt: skip
    written(tmp_path / "data" / "train.jsonl.gz", rows)
    found = read_released(tmp_path)
    assert [s.model for s in found.traces] == ["qwen", "glm"]
    assert [t.answer for t in found.traces[0].traces[0]] == ["2", "3"]
    assert found.traces[0].questions[0].gold == "2"
    assert found.traces[0].counts_are_words
    (mapping,) = found.mapping.values()
    assert mapping["text"] == "response"
    assert list(found.unread.values()) == [("extra",)]


def test_a_row_a_question_in_parquet(tmp_path):
    outputs = [{"text": a, "num_tokens": n, "answer": a} for a, n in (("2", 5), ("3", 6))]
    rows = [{"id": "q7", "question": "1+1?", "answer": "2", "dataset": "sums", "outputs": outputs}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (traces,) = read_released(tmp_path, "r1").traces
    assert (traces.model, traces.counts_are_words) == ("r1", False)
    assert traces.questions[0].question_id == "q7"
    assert traces.questions[0].benchmark == "sums"
    assert [(t.num_tokens, t.answer) for t in traces.traces[0]] == [(5, "2"), (6, "3")]


def test_an_answer_of_a_trace_is_not_taken_for_the_right_one(tmp_path):
    written(tmp_path / "a.jsonl", [{"query": "?", "gt": "4", "answer": "5", "output": "five"}])
    (traces,) = read_released(tmp_path).traces
    assert (traces.questions[0].gold, traces.traces[0][0].answer) == ("4", "5")


@pytest.mark.parametrize(("label", "same"), [(1, True), ("different", False), (0.0, False)])
def test_labelled_pairs(tmp_path, label, same):
    row = {"Trace1": "so 2", "trace2": "so 3", "label": label, "problem": "1+1?"}
    (tmp_path / "pairs.json").write_text(json.dumps({"data": [row]}))
    (one,) = read_released(tmp_path).pairs
    assert (one.pair.question, one.pair.first, one.same) == ("1+1?", "so 2", same)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", '{"instruction": "x", "weights": 1}\n', "row 1: expected .* saw instruction"),
        ("a.jsonl", '{"question": ', "cannot be read"),
        ("a.parquet", "not parquet", "cannot be read"),
        ("a.jsonl", '{"first": "a", "second": "b", "label": "perhaps"}\n', "saw 'perhaps'"),
        ("README.md", "nothing here", "expected data files"),
    ],
)
def test_what_cannot_be_read_says_what_was_seen(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(ReleasedError, match=says):
        read_released(tmp_path)
