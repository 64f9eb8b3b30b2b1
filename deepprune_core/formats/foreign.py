"""Trace files of other tools, read as they are: the format is found by looking at a record.

Known: lm-evaluation-harness ``samples_*.jsonl``, inspect-ai logs, OpenAI batch output, the lists
of ``code`` that verl and Qwen2.5-Math write, and plain records with a question and a response.
Each becomes samples, which are then joined by question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deepprune_core.answers import find_answer
from deepprune_core.formats.fields import (
    Record,
    first_of,
    gold_of,
    message_text,
    own_answers,
    resolved,
    response_parts,
    told_answer,
)


class LeftOut(ValueError):  # noqa: N818 - no fault of the file: such a sample has no trace
    """A record without a trace; the text says why, in a few words."""


@dataclass(frozen=True)
class Sample:
    """Traces of one question from one record; ``num_tokens`` is None where nobody counted.

    ``answers``: what the tool itself extracted, one a text; they count where a text has no box.
    """

    question_id: str
    question: str
    gold: str | None
    model: str | None
    texts: tuple[str, ...]
    num_tokens: int | None = None
    answers: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Format:
    """A tool's format: how to know a record, how to read it, and which fields that uses."""

    name: str
    matches: Callable[[Record], bool]
    read: Callable[[Record], Sample]
    mapping: Mapping[str, str]


def _harness(record: Record) -> Sample:
    texts = record["resps"][0]
    texts = texts if isinstance(texts, list) else [texts]
    if any(not isinstance(text, str) for text in texts):
        raise TypeError(
            "expected texts in resps, got log-likelihoods; run a task that generates text"
        )
    told = record["doc"] if isinstance(record.get("doc"), dict) else {}
    doc = {str(name).lower(): value for name, value in told.items()}
    return Sample(
        str(record["doc_id"]), str(first_of(doc, "question", "problem", "query") or ""),
        gold_of(record.get("target")), None, tuple(texts),
        answers=own_answers(record.get("filtered_resps"), len(texts)),
    )  # fmt: skip


def _inspect(record: Record) -> Sample:
    kept = record.get("attachments") or {}
    output, asked = resolved(record["output"], kept), resolved(record.get("input"), kept)
    if record.get("error"):
        raise LeftOut("samples that failed")
    if isinstance(asked, list):
        asked = "\n".join(message_text(m) for m in asked if m.get("role") == "user")
    texts = tuple(message_text(c["message"]) for c in output.get("choices") or ())
    if not texts:
        raise LeftOut("samples without a choice")
    scores = [s for s in (record.get("scores") or {}).values() if isinstance(s, dict)]
    answer = next(
        (told_answer(s.get("answer")) for s in scores if told_answer(s.get("answer"))), None
    )
    counted = (output.get("usage") or {}).get("output_tokens") if len(texts) == 1 else None
    return Sample(
        str(record["id"]), str(asked or ""), gold_of(record.get("target")),
        output.get("model") or None, texts, counted, (answer,) if len(texts) == 1 else (),
    )  # fmt: skip


def _batch(record: Record) -> Sample:
    body = (record.get("response") or {}).get("body")
    if not isinstance(body, dict) or body.get("error"):
        raise LeftOut("requests that failed")
    if isinstance(body.get("output"), list):  # /v1/responses
        texts: tuple[str, ...] = (message_text({"content": list(response_parts(body["output"]))}),)
    else:
        texts = tuple(
            str(c["text"]) if isinstance(c.get("text"), str) else message_text(c["message"])
            for c in body.get("choices") or ()
        )
    if not any(texts):
        raise LeftOut("requests without an answer")
    usage = body.get("usage") or {}
    counted = first_of(usage, "completion_tokens", "output_tokens") if len(texts) == 1 else None
    name = str(record["custom_id"]).rsplit("#", 1)[0]
    return Sample(name, "", None, body.get("model") or None, texts, counted)


_ASKED = ("question", "problem", "prompt", "input", "query", "instruction")
_GOLD = ("gt", "gold", "answer", "target", "reference", "ground_truth", "expected")
_NAMED = ("question_id", "idx", "id", "index", "task_id", "doc_id", "unique_id")
_RESPONSES = ("response", "responses", "output", "outputs", "completion", "completions",
              "generation", "generations", "generated_text", "samples", "prediction")  # fmt: skip


def _code(record: Record) -> Sample:
    texts = tuple(str(text) for text in record["code"])
    asked = str(first_of(record, "question", "problem") or "")
    name = first_of(record, "idx", "id", "index")
    return Sample(
        str(asked if name is None else name), asked,
        gold_of(first_of(record, "gt", "answer", "gold")), record.get("model"), texts,
        answers=own_answers(record.get("pred"), len(texts)),
    )  # fmt: skip


def _responses(record: Record) -> list[str] | None:
    """Return the texts of a plain record with a response, or with a list of them."""
    found = first_of(record, *_RESPONSES)
    if isinstance(found, str):
        return [found]
    texts = found if isinstance(found, list) and found else None
    return texts if texts and all(isinstance(text, str) for text in texts) else None


def _plain(record: Record) -> Sample:
    asked, texts = first_of(record, *_ASKED), _responses(record)
    name = first_of(record, *_NAMED)
    if isinstance(asked, list):
        asked = "\n".join(message_text(m) for m in asked)
    if texts is None or (name is None and not asked):
        raise TypeError("expected a response, and a question or its id")
    return Sample(
        str(asked if name is None else name), str(asked or ""),
        gold_of(first_of(record, *_GOLD)), record.get("model"), tuple(texts),
    )  # fmt: skip


FORMATS: tuple[Format, ...] = (
    Format(
        "lm-evaluation-harness samples",
        lambda r: {"doc_id", "resps"} <= set(r),
        _harness,
        {"doc_id": "question_id", "doc": "question", "target": "gold", "resps": "traces",
         "filtered_resps": "answers where no box is", "filter": "one is read"},
    ),
    Format(
        "OpenAI batch output",
        lambda r: "custom_id" in r and "response" in r,
        _batch,
        {"custom_id": "question_id (up to the last #)", "response": "traces, model, tokens"},
    ),
    Format(
        "inspect-ai sample",
        lambda r: {"id", "output"} <= set(r) and isinstance(r["output"], dict),
        _inspect,
        {"id": "question_id", "input": "question", "target": "gold", "output": "traces, model",
         "epoch": "order of traces", "scores": "answers where no box is"},
    ),
    Format(
        "list of code (verl, Qwen2.5-Math)",
        lambda r: isinstance(r.get("code"), list),
        _code,
        {"idx": "question_id", "question": "question", "gt": "gold", "code": "traces",
         "pred": "answers where no box is"},
    ),
    Format(
        "records with a response",
        lambda r: _responses(r) is not None,
        _plain,
        dict.fromkeys(_NAMED, "question_id") | dict.fromkeys(_ASKED, "question")
        | dict.fromkeys(_GOLD, "gold") | dict.fromkeys(_RESPONSES, "traces"),
    ),
)  # fmt: skip


def format_of(record: Record) -> Format | None:
    """Return the format of a record, None if it is none of the known ones."""
    return next((one for one in FORMATS if one.matches(record)), None)


@dataclass
class Reading:
    """What a foreign file gave: its ``samples``, and how many records were ``left_out`` and why."""

    samples: list[Sample] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    filter: str | None = None


def read_samples(
    found: Format, records: Iterable[tuple[str, Record]], refuse: Callable[[str, str], Exception]
) -> Reading:
    """Return the samples of records; ``refuse`` makes the error of (place, fault)."""
    rows = sorted(records, key=_epoch)
    reading = Reading(filter=_chosen_filter(found, [record for _, record in rows]))
    for where, record in rows:
        if reading.filter is not None and record.get("filter") != reading.filter:
            continue
        try:
            reading.samples.append(found.read(record))
        except LeftOut as reason:
            reading.left_out[str(reason)] += 1
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            told = f"{error}" if isinstance(error, TypeError) else repr(error)
            raise refuse(
                where, f"not a record of {found.name} ({told}); mend or remove it"
            ) from None
    return reading


def _epoch(row: tuple[str, Record]) -> int:
    """Return an inspect sample's epoch, which orders a question's traces."""
    epoch = row[1].get("epoch")
    return epoch if isinstance(epoch, int) else 0


def _chosen_filter(found: Format, records: Sequence[Record]) -> str | None:
    """Return the harness filter to read: the first with an answer a text, else the first."""
    names = [str(r["filter"]) for r in records if isinstance(r.get("filter"), str)]
    if found.read is not _harness or not names:
        return None
    for record in records:
        resps = record.get("resps") or [[]]
        count = len(resps[0]) if isinstance(resps[0], list) else 1
        if isinstance(record.get("filter"), str) and own_answers(
            record.get("filtered_resps"), count
        ):
            return str(record["filter"])
    return names[0]


def joined(samples: Iterable[Sample], default_model: str) -> Iterator[dict[str, Any]]:
    """Yield one record of our own JSONL format a question, in order of first appearance."""
    samples, records = list(samples), dict[str, dict[str, Any]]()
    # A sample that names no model is of the model that the others name.
    model = next((sample.model for sample in samples if sample.model), default_model)
    for sample in samples:
        record = records.setdefault(
            sample.question_id,
            {"question_id": sample.question_id, "question": sample.question, "gold": sample.gold,
             "model": sample.model or model, "traces": []},
        )  # fmt: skip
        answers = sample.answers or (None,) * len(sample.texts)
        for text, answer in zip(sample.texts, answers, strict=True):
            entry: dict[str, Any] = {"text": text}
            if sample.num_tokens is not None:
                entry["n_tokens"] = sample.num_tokens
            found = find_answer(text)
            if answer is not None and (found is None or found.how != "box"):
                entry["answer"] = answer
            record["traces"].append(entry)
    yield from records.values()


def described(record: Record) -> str:
    """Return how a foreign record is read, and which of its fields are not."""
    found = format_of(record)
    if found is None:
        names = "; ".join(one.name for one in FORMATS)
        return f"no known format among: {names}; fields are {', '.join(sorted(record))}"
    used = ", ".join(f"{k} → {v}" for k, v in found.mapping.items() if k in record)
    unknown = sorted(set(record) - set(found.mapping))
    return f"{found.name}: {used}" + (f"; not read: {', '.join(unknown)}" if unknown else "")
