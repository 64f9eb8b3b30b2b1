"""Trace files: JSON lines (one line a question, gzip or not) and Parquet (one row a trace).

A JSONL line reads ``{"question_id", "question", "gold", "model", "traces": [{"text",
"answer"?, "n_tokens"?, "trace_id"?, "finish_reason"?}]}``. In Parquet the questions and the
model's name lie in the schema's metadata, the confidences as float16 bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.formats import foreign
from deepprune_core.formats.fields import first_of, gold_of
from deepprune_core.formats.files import whole_file
from deepprune_core.formats.read_report import ReadReport, counted
from deepprune_core.formats.records import TraceFileError, archive_records, json_records
from deepprune_core.traces import Question, Trace, TraceSet

_log = logging.getLogger(__name__)
COLUMNS = ("question_id", "trace_id", "text", "num_tokens", "answer", "finish_reason")


COLUMN_KINDS = {
    "question_id": ("string",), "trace_id": ("string",), "text": ("string",),
    "num_tokens": ("int64", "int32", "int16", "uint32", "uint64"),
}  # fmt: skip


def required_field(record: dict[str, Any], key: str, kind: type, where: str) -> Any:
    """Return a field of a record; TraceFileError if it is absent or of another type."""
    value = record.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TraceFileError(
            f"{where}: expected {key!r} of type {kind.__name__}, got {type(value).__name__}; "
            f"add or mend {key!r}"
        )
    return value


def _named(trace: Trace) -> str:
    return f"trace {trace.trace_id!r} of question {trace.question_id!r}"


def _text_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def _trace(entry: Any, index: int, question_id: str, where: str) -> Trace:
    """Return one trace of a JSONL line; a missing token count becomes the number of words."""
    if not isinstance(entry, dict):
        raise TraceFileError(f"{where}: trace {index} is no object; write one object a trace")
    text = required_field(entry, "text", str, f"{where}: trace {index}")
    count = entry.get("n_tokens")
    if count is None:
        count = len(text.split())
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise TraceFileError(f"{where}: trace {index}: expected 'n_tokens' >= 0, got {count!r}")
    return Trace(
        question_id=question_id,
        trace_id=str(entry.get("trace_id", index)),
        text=text,
        num_tokens=count,
        answer=_text_or_none(entry.get("answer")),
        finish_reason=_text_or_none(entry.get("finish_reason")),
    )


def _question(record: dict[str, Any], path: Path, where: str) -> Question:
    question_id = record.get("question_id")
    if not isinstance(question_id, str | int) or isinstance(question_id, bool):
        raise TraceFileError(
            f"{where}: expected 'question_id' (text) and 'traces', got "
            f"{', '.join(sorted(record)[:8]) or 'no field'}; add them, or give a file of "
            f"{'; '.join(one.name for one in foreign.FORMATS)}"
        )
    name = str(question_id)
    return Question(
        question_id=name,
        text=str(record.get("question") or ""),
        gold=gold_of(first_of(record, "gold", "target")),
        benchmark=str(record.get("benchmark") or path.name.split(".")[0]),
    )


def _own(records: Iterable[tuple[str, dict[str, Any]]], path: Path) -> TraceSet:
    """Return the trace set in records of our own format."""
    questions: list[Question] = []
    groups: list[tuple[Trace, ...]] = []
    models: dict[str, str] = {}
    words = False
    for where, record in records:
        question = _question(record, path, where)
        entries = required_field(record, "traces", list, where)
        entries = [_lowered(e) if isinstance(e, dict) else e for e in entries]
        group = tuple(_trace(e, i, question.question_id, where) for i, e in enumerate(entries))
        if len({t.trace_id for t in group}) != len(group):
            raise TraceFileError(f"{where}: a trace_id occurs twice; give each trace its own")
        words = words or any(isinstance(e, dict) and e.get("n_tokens") is None for e in entries)
        models.setdefault(str(record.get("model") or path.stem), where)
        questions.append(question)
        groups.append(group)
    refuse_bad_set(path, [q.question_id for q in questions], list(models))
    return TraceSet(next(iter(models)), tuple(questions), tuple(groups), words)


def _lowered(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with field names in small letters."""
    return record if all(map(str.islower, record)) else {k.lower(): v for k, v in record.items()}


def _read_records(
    records: Iterable[tuple[str, dict[str, Any]]], path: Path
) -> tuple[TraceSet, ReadReport]:
    rows = [(where, _lowered(record)) for where, record in records]
    found = next((f for _, record in rows if (f := foreign.format_of(record))), None)
    if found is None or "traces" in rows[0][1]:
        return _own(rows, path), ReadReport("our own records")
    _log.info("%s: read as %s", path, foreign.described(rows[0][1]))
    reading = foreign.read_samples(
        found, rows, lambda where, fault: TraceFileError(f"{where}: {fault}")
    )
    if not reading.samples:
        raise TraceFileError(
            f"{path}: no trace in {len(rows)} records of {found.name} "
            f"({counted(reading.left_out)}); give a run with answers"
        )
    traces = _own(((str(path), r) for r in foreign.joined(reading.samples, path.stem)), path)
    name = found.name + (f", filter {reading.filter}" if reading.filter else "")
    return traces, ReadReport(name, dict(reading.left_out))


def refuse_bad_set(path: Path, ids: list[str], models: list[str]) -> None:
    """Raise TraceFileError for no question, one that occurs twice, or several models."""
    if not ids:
        raise TraceFileError(f"{path}: holds no question; give a file with at least one line")
    twice = next((i for i in ids if ids.count(i) > 1), None) if len(set(ids)) < len(ids) else None
    if twice is not None:
        raise TraceFileError(f"{path}: question_id {twice!r} occurs twice; merge the two lines")
    if len(models) > 1:
        raise TraceFileError(f"{path}: several models {sorted(models)[:4]}; write one file a model")


def write_parquet(traces: TraceSet, path: Path) -> None:
    """Write a trace set to Parquet, whole or not at all; TraceFileError for text it cannot hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [trace for group in traces.traces for trace in group]
    for trace in rows:
        try:
            trace.text.encode()
        except UnicodeEncodeError:
            raise TraceFileError(
                f"{path}: {_named(trace)}: half a character (a lone surrogate); replace it"
            ) from None
    columns: dict[str, Any] = {name: [getattr(t, name) for t in rows] for name in COLUMNS}
    columns["confidences"] = pa.array(
        [
            None if t.confidences is None else np.asarray(t.confidences, np.float16).tobytes()
            for t in rows
        ],
        pa.binary(),
    )
    header = {
        "model": traces.model,
        "counts_are_words": traces.counts_are_words,
        "questions": [question.__dict__ for question in traces.questions],
    }
    table = pa.table(columns).replace_schema_metadata({b"deepprune": json.dumps(header).encode()})
    with whole_file(path) as fresh:
        pq.write_table(table, fresh, compression="zstd", compression_level=19)


def read_parquet(path: Path) -> TraceSet:
    """Return the trace set in a Parquet file; raises :class:`TraceFileError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise TraceFileError(f"{path}: no such file; give the path of a trace file")
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TraceFileError(f"{path}: not Parquet ({reason}); fetch the file again") from None
    missing = sorted(set(COLUMNS) - set(table.column_names))
    if missing:
        raise TraceFileError(f"{path}: columns {missing} are missing; write them")
    for name, kind in COLUMN_KINDS.items():
        column = table.column(name)
        if str(column.type).removeprefix("large_") not in kind or column.null_count:
            raise TraceFileError(
                f"{path}: column {name!r}: expected {kind[0]} and no nulls, got {column.type} with "
                f"{column.null_count} nulls; convert it"
            )
    if b"deepprune" not in (table.schema.metadata or {}):
        raise TraceFileError(f"{path}: no question table in its metadata; use write_parquet")
    header = json.loads(table.schema.metadata[b"deepprune"])
    questions = tuple(Question(**entry) for entry in header["questions"])
    groups: dict[str, list[Trace]] = {q.question_id: [] for q in questions}
    for row in table.to_pylist():
        blob = row.get("confidences")
        confidences = None if blob is None else np.frombuffer(blob, np.float16)
        if row["question_id"] not in groups:
            raise TraceFileError(
                f"{path}: a trace names the unknown question {row['question_id']!r}"
            )
        fields = {name: row[name] for name in COLUMNS}
        trace = Trace(**fields, confidences=confidences)
        if confidences is not None and not np.isfinite(confidences).all():
            raise TraceFileError(
                f"{path}: {_named(trace)}: confidences that are no numbers; compute them again"
            )
        groups[row["question_id"]].append(trace)
    for name, group in groups.items():
        ids = [trace.trace_id for trace in group]
        if len(set(ids)) < len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise TraceFileError(f"{path}: trace_id {twice!r} occurs twice in question {name!r}")
    ordered = tuple(tuple(groups[q.question_id]) for q in questions)
    return TraceSet(header["model"], questions, ordered, header["counts_are_words"])


def _foreign_rows(path: Path) -> list[tuple[str, dict[str, Any]]] | None:
    """Return the rows of another tool's Parquet file, None if it is ours or none that is known."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if set(COLUMNS) <= set(pq.read_schema(path).names):
            return None
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError):
        return None
    if not rows or foreign.format_of(_lowered(rows[0])) is None:
        return None
    return [(f"{path}: row {number}", row) for number, row in enumerate(rows)]


def read_with_report(path: str | Path) -> tuple[TraceSet, ReadReport]:
    """Return what :func:`read_traces` does, and how the file was read.

    Raises:
        TraceFileError: one line that names the file, the place, the fault and the fix.
    """
    path = Path(path)
    if path.suffix == ".parquet" and (rows := _foreign_rows(path)) is not None:
        return _read_records(rows, path)
    if path.suffix == ".parquet":
        return read_parquet(path), ReadReport("our own table")
    return _read_records(
        archive_records(path) if path.suffix == ".eval" else json_records(path), path
    )


def read_traces(path: str | Path) -> TraceSet:
    """Return the trace set in a ``.jsonl``, ``.jsonl.gz``, ``.json``, ``.parquet`` or ``.eval``.

    Other tools' files are known by their fields (:mod:`deepprune_core.formats.foreign`).

    Raises:
        TraceFileError: one line that names the file, the place, the fault and the fix.
    """
    return read_with_report(path)[0]
