"""Trace files: round trips bit for bit, and faults told in one line."""

import gzip
import json

import numpy as np
import pytest

from deepprune_core.formats.trace_files import TraceFileError, read_traces, write_parquet
from deepprune_core.traces import Question, Trace, TraceSet

LINE = {
    "question_id": "q1",
    "question": "?",
    "gold": "4",
    "model": "m",
    "traces": [{"text": "so four", "answer": "4", "n_tokens": 3}, {"text": "five it is"}],
}


def sample():
    rng = np.random.default_rng(0)
    questions = tuple(Question(f"b/{i}", f"text {i}", "4", "b") for i in range(3))
    groups = tuple(
        tuple(
            Trace(q.question_id, str(t), f"é {t}\n", 5, None, "stop", rng.random(5, np.float32)
                  .astype(np.float16))
            for t in range(2)
        )
        for q in questions
    )  # fmt: skip
    return TraceSet("m", questions, groups)


def test_parquet_returns_what_was_written_bit_for_bit(tmp_path):
    write_parquet(sample(), tmp_path / "t.parquet")
    again = read_traces(tmp_path / "t.parquet")
    assert again.questions == sample().questions and again.model == "m"
    for a, b in zip(sum(again.traces, ()), sum(sample().traces, ()), strict=True):
        assert (a.text, a.num_tokens, a.trace_id) == (b.text, b.num_tokens, b.trace_id)
        assert a.confidences.tobytes() == b.confidences.tobytes()


def test_writing_twice_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write_parquet(sample(), tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_jsonl_is_read_and_missing_counts_are_words(tmp_path, suffix):
    path, text = tmp_path / f"mine{suffix}", json.dumps(LINE) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    found = read_traces(path)
    assert found.benchmarks == ("mine",) and found.counts_are_words
    assert [t.num_tokens for t in found.traces[0]] == [3, 3]


def changed(**fields):
    return json.dumps({**LINE, **fields})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no question"),
        ("{", "bad.jsonl:1: not JSON"),
        (json.dumps(LINE) + "\n{", "bad.jsonl:2: not JSON"),
        ("[1]", "expected an object"),
        (changed(question_id=None), "expected 'question_id'"),
        (changed(traces="x"), "'traces' of type list"),
        (changed(traces=[1]), "trace 0 is no object"),
        (changed(traces=[{"answer": "4"}]), "'text' of type str"),
        (changed(traces=[{"text": "a", "n_tokens": -1}]), "'n_tokens' >= 0"),
        (changed(traces=[{"text": "a", "trace_id": 1}, {"text": "b", "trace_id": 1}]), "twice"),
        (json.dumps(LINE) + "\n" + json.dumps(LINE), "'q1' occurs twice"),
        (json.dumps(LINE) + "\n" + changed(question_id="q2", model="n"), "several models"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_fault_names_file_line_and_fix(tmp_path, content, words):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TraceFileError, match=words) as caught:
        read_traces(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(TraceFileError, match="no such file"):
        read_traces(tmp_path / name)


def test_damage_in_gzip_and_parquet_is_told(tmp_path):
    good = gzip.compress((json.dumps(LINE) + "\n").encode())
    (tmp_path / "a.jsonl.gz").write_bytes(good[:-12])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    for name in ("a.jsonl.gz", "b.parquet"):
        with pytest.raises(TraceFileError, match="fetch the file again"):
            read_traces(tmp_path / name)


def test_selections_keep_questions_and_traces_together():
    found = sample().select(["b/2", "b/0"]).first(1)
    assert [q.question_id for q in found.questions] == ["b/0", "b/2"]
    assert found.num_traces == 2 and found.has_confidences
