"""Trace files from strangers: each is read as it is, or refused in one line with the fix."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepprune_core.answers import UNGRADABLE, grade_all
from deepprune_core.formats.trace_files import TraceFileError, read_traces, write_parquet
from deepprune_core.traces import Question, Trace, TraceSet
from replication.run import graded_traces


def line(name: str, *texts: str, **fields: object) -> str:
    record = {"question_id": name, "question": "?", "gold": "4", "model": "m",
              "traces": [{"text": text} for text in texts]}  # fmt: skip
    return json.dumps({**record, **fields})


def refused(path: Path, words: str) -> None:
    with pytest.raises(TraceFileError, match=words) as caught:
        read_traces(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_windows_line_ends_a_byte_order_mark_and_blank_lines_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    text = "\r\n".join([line("a", "x"), "", line("b", "y"), ""])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [q.question_id for q in read_traces(path).questions] == ["a", "b"]


def test_a_last_line_cut_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_text(line("a", "x") + "\n" + line("b", "y")[:-9])
    refused(path, r"cut\.jsonl:2: not JSON")
    half = "é".encode()[:1]
    path.write_bytes((line("a", "x") + '\n{"question_id": "').encode() + half)
    refused(path, r"cut\.jsonl:2: byte \d+ is not UTF-8")


@pytest.mark.parametrize("suffix", [".pkl", ".jsonl", ".parquet", ".json"])
def test_a_pickle_is_never_opened(tmp_path: Path, suffix: str) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "PWNED"), "w"))

    path = tmp_path / f"traces{suffix}"
    path.write_bytes(pickle.dumps(Evil()))
    refused(path, "is a pickle, which can run" if suffix != ".parquet" else "fetch")
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "a\u2028b", "\u202eabc", "x" * 5_000_000])
def test_odd_text_survives_the_round_trip(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(line("a", text, "b"))
    found = read_traces(path)
    assert found.traces[0][0].text == text
    if "\ud800" not in text:  # Parquet's text is UTF-8
        write_parquet(found, tmp_path / "odd.parquet")
        assert read_traces(tmp_path / "odd.parquet").traces[0][0].text == text


def test_a_lone_surrogate_cannot_be_written_and_the_error_names_the_trace(tmp_path: Path) -> None:
    question = Question("a", "?")
    traces = TraceSet("m", (question,), ((Trace("a", "7", "\ud800", 1),),))
    with pytest.raises(TraceFileError, match=r"trace '7' of question 'a'"):
        write_parquet(traces, tmp_path / "odd.parquet")
    assert not list(tmp_path.iterdir())


def test_questions_with_no_trace_one_or_no_answer_are_counted_not_dropped(tmp_path: Path) -> None:
    path = tmp_path / "few.jsonl"
    rows = [line("none"), line("one", r"\boxed{4}"), line("cut", "so we", r"so \boxed{4}")]
    path.write_text("\n".join(rows))
    graded = graded_traces(path)
    assert [len(g.classes) for g in graded.graded] == [0, 1, 2]
    assert graded.graded[2].classes.tolist() == [UNGRADABLE, 0]
    assert len(graded.pairs) == 0


def test_a_file_without_right_answers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(line("a", r"\boxed{4}", r"\boxed{5}", gold=None))
    assert grade_all(read_traces(path))[0].gold_class == UNGRADABLE


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("text", pa.array([1, 2]), "column 'text'"),
        ("num_tokens", pa.array(["a", "b"]), "column 'num_tokens'"),
        ("trace_id", pa.array([1.5, 2.5]), "column 'trace_id'"),
        ("text", pa.array(["a", None]), "column 'text'"),
        ("trace_id", pa.array(["0", "0"]), "trace_id '0' occurs twice"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(
    tmp_path: Path, column: str, values: pa.Array, words: str
) -> None:
    good, path = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    texts = (Trace("a", "0", "x", 1), Trace("a", "1", "y", 1))
    write_parquet(TraceSet("m", (Question("a", "?"),), (texts,)), good)
    table = pq.read_table(good)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, values), path)
    refused(path, words)


def test_confidences_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nan.parquet"
    values = np.array([1.0, np.nan], np.float16)
    traces = (Trace("a", "0", "x y", 2, confidences=values),)
    write_parquet(TraceSet("m", (Question("a", "?"),), (traces,)), path)
    refused(path, "trace '0' of question 'a': confidences that are no numbers")


def test_a_hundred_thousand_traces_of_one_question_are_read_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text(line("a", *(f"so \\boxed{{{i % 7}}}" for i in range(100_000))))
    started = time.process_time()
    found = read_traces(path)
    assert found.num_traces == 100_000 and time.process_time() - started < 30
