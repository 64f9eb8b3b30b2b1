"""Trace files of other tools, read as they are: the format is found by looking at a record.

Known: lm-evaluation-harness ``samples_*.jsonl``, inspect-ai logs (JSON and ``.eval``), OpenAI
batch output, and the lists of ``code`` that verl and Qwen2.5-Math write. Each becomes samples,
which are then joined by question. Nothing is unpickled or evaluated.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """Traces of one question from one record; ``num_tokens`` is None where nobody counted."""

    question_id: str
    question: str
    gold: str | None
    model: str | None
    texts: tuple[str, ...]
    num_tokens: int | None = None


@dataclass(frozen=True)
class Format:
    """A tool's format: how to know a record, how to read it, and which fields that uses."""

    name: str
    matches: Callable[[Record], bool]
    read: Callable[[Record], Sample]
    mapping: Mapping[str, str]


def _harness(record: Record) -> Sample:
    repeats = record["resps"][0]
    texts = repeats if isinstance(repeats, list) else [repeats]
    doc = record["doc"] if isinstance(record.get("doc"), dict) else {}
    asked = next((doc[key] for key in ("question", "problem", "query") if key in doc), "")
    gold = record.get("target")
    return Sample(
        str(record["doc_id"]), str(asked), None if gold is None else str(gold), None,
        tuple(str(text) for text in texts),
    )  # fmt: skip


def _text_of(content: Any) -> str:
    """Return a chat message's text; reasoning parts come first, as they were written."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(
        str(part.get("reasoning") or part.get("text") or "")
        for part in parts
        if isinstance(part, dict)
    )


def _inspect(record: Record) -> Sample:
    output, asked, gold = record["output"], record.get("input"), record.get("target")
    if isinstance(asked, list):
        asked = "\n".join(_text_of(m.get("content")) for m in asked if m.get("role") == "user")
    choices = output.get("choices") or []
    usage = output.get("usage") or {}
    counted = usage.get("output_tokens") if len(choices) == 1 else None
    return Sample(
        str(record["id"]), str(asked or ""), gold if isinstance(gold, str) else None,
        output.get("model"), tuple(_text_of(c["message"]["content"]) for c in choices), counted,
    )  # fmt: skip


def _batch(record: Record) -> Sample:
    body = record["response"].get("body") or {}
    choices = body.get("choices") or []
    usage = body.get("usage") or {}
    counted = usage.get("completion_tokens") if len(choices) == 1 else None
    name = str(record["custom_id"]).rsplit("#", 1)[0]
    texts = tuple(_text_of(c["message"]["content"]) for c in choices)
    return Sample(name, "", None, body.get("model"), texts, counted)


def _code(record: Record) -> Sample:
    gold = next((record[key] for key in ("gt", "answer", "gold") if key in record), None)
    name = next((record[key] for key in ("idx", "id", "index") if key in record), None)
    asked = str(record.get("question") or record.get("problem") or "")
    return Sample(
        str(asked if name is None else name), asked, None if gold is None else str(gold),
        record.get("model"), tuple(str(text) for text in record["code"]),
    )  # fmt: skip


FORMATS: tuple[Format, ...] = (
    Format(
        "lm-evaluation-harness samples",
        lambda r: {"doc_id", "resps"} <= set(r),
        _harness,
        {"doc_id": "question_id", "doc": "question", "target": "gold", "resps": "traces"},
    ),
    Format(
        "OpenAI batch output",
        lambda r: "custom_id" in r and isinstance(r.get("response"), dict),
        _batch,
        {"custom_id": "question_id (up to the last #)", "response": "traces, model, tokens"},
    ),
    Format(
        "inspect-ai sample",
        lambda r: {"id", "output"} <= set(r) and isinstance(r["output"], dict),
        _inspect,
        {"id": "question_id", "input": "question", "target": "gold", "output": "traces, model",
         "epoch": "order of traces"},
    ),
    Format(
        "list of code (verl, Qwen2.5-Math)",
        lambda r: isinstance(r.get("code"), list),
        _code,
        {"idx": "question_id", "question": "question", "gt": "gold", "code": "traces"},
    ),
)  # fmt: skip


def format_of(record: Record) -> Format | None:
    """Return the format of a record, None if it is none of the known ones."""
    return next((one for one in FORMATS if one.matches(record)), None)


def joined(samples: Iterable[Sample], default_model: str) -> Iterator[dict[str, Any]]:
    """Yield one record of our own JSONL format a question, in order of first appearance."""
    records: dict[str, dict[str, Any]] = {}
    for sample in samples:
        record = records.setdefault(
            sample.question_id,
            {"question_id": sample.question_id, "question": sample.question, "gold": sample.gold,
             "model": sample.model or default_model, "traces": []},
        )  # fmt: skip
        for text in sample.texts:
            entry: dict[str, Any] = {"text": text}
            if sample.num_tokens is not None:
                entry["n_tokens"] = sample.num_tokens
            record["traces"].append(entry)
    yield from records.values()


def inspect_samples(path: Path) -> Iterator[Record]:
    """Yield the samples of an inspect-ai log: a JSON file, or a ``.eval`` zip of JSON files.

    Raises:
        ValueError: not a zip, not JSON, or a log without samples.
    """
    if path.suffix == ".eval":
        try:
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if n.startswith("samples/")]
                samples = [json.loads(archive.read(name)) for name in names]
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from None
    else:
        samples = json.loads(path.read_text(encoding="utf-8")).get("samples") or []
    if not samples:
        raise ValueError("holds no samples")
    yield from sorted(samples, key=lambda s: s.get("epoch") or 0)


def described(record: Record) -> str:
    """Return how a foreign record is read, and which of its fields are not."""
    found = format_of(record)
    if found is None:
        names = "; ".join(one.name for one in FORMATS)
        return f"no known format among: {names}; fields are {', '.join(sorted(record))}"
    used = ", ".join(f"{k} → {v}" for k, v in found.mapping.items() if k in record)
    unknown = sorted(set(record) - set(found.mapping))
    return f"{found.name}: {used}" + (f"; not read: {', '.join(unknown)}" if unknown else "")
