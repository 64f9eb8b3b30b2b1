"""The authors' released data, read by looking at what is there.

Their data set's schema is not documented. A row is taken for one trace, for one question with
its traces, or for one labelled pair, by the names of its fields; every name that is understood
stands in :data:`FIELDS`. A row that fits none is an error which lists the fields that were seen.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

from tqdm import tqdm

from deepprune_core.answers import extract_answer
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.traces import Question, Trace, TraceSet

Row = Mapping[str, Any]
Kind = Literal["trace", "question", "pair"]
HUB_NAME = "THU-KEG/DeepPrune"
SUFFIXES = (".parquet", ".jsonl", ".json", ".jsonl.gz", ".json.gz")

# Ours: the names under which others keep it, the likelier first. Case does not matter.
FIELDS: dict[str, tuple[str, ...]] = {
    "question": ("question", "problem", "query", "prompt"),
    "question_id": ("question_id", "problem_id", "unique_id", "id", "idx", "index"),
    "gold": ("gold", "ground_truth", "reference_answer", "expected_answer", "target", "gt",
             "answer", "solution"),
    "model": ("model", "model_name", "generator", "source_model"),
    "benchmark": ("benchmark", "dataset", "data_source", "source", "subset"),
    "text": ("trace", "response", "output", "completion", "generation", "reasoning", "text"),
    "given": ("extracted_answer", "predicted_answer", "pred", "prediction", "final_answer",
              "answer"),
    "tokens": ("num_tokens", "n_tokens", "token_count", "completion_tokens", "length"),
    "traces": ("traces", "responses", "outputs", "completions", "generations", "samples"),
    "first": ("trace1", "trace_1", "trace_a", "first", "response1", "response_1", "text1"),
    "second": ("trace2", "trace_2", "trace_b", "second", "response2", "response_2", "text2"),
    "same": ("same", "label", "is_same", "is_equivalent", "equivalent", "y"),
}  # fmt: skip
NEEDED: dict[Kind, tuple[str, ...]] = {
    "pair": ("first", "second", "same"),
    "question": ("question", "traces"),
    "trace": ("question", "text"),
}
_LABELS = {
    "1": True, "true": True, "same": True, "identical": True, "yes": True, "equivalent": True,
    "0": False, "false": False, "different": False, "no": False, "not equivalent": False,
}  # fmt: skip


class ReleasedError(ValueError):
    """Data that cannot be read; one line with the file, what was seen and the fix."""


@dataclass(frozen=True)
class ReleasedPair:
    """A labelled pair of traces as released; ``same``: they reach the same answer."""

    pair: JudgeInput
    same: bool


@dataclass(frozen=True)
class Released:
    """What a release holds: trace sets by model, labelled pairs, and how its fields were read.

    ``mapping``: the release's field for each of ours, by file; ``unread``: fields that no one
    asked for.
    """

    traces: tuple[TraceSet, ...] = ()
    pairs: tuple[ReleasedPair, ...] = ()
    mapping: dict[str, dict[str, str]] = field(default_factory=dict)
    unread: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_released(folder: Path, default_model: str = "unnamed") -> Released:
    """Return what the files below ``folder`` hold, in order of their names.

    Raises:
        ReleasedError: no file of a known kind, a damaged one, or rows that fit nothing known.
    """
    files = sorted(p for p in folder.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
    files = [p for p in files if not any(part.startswith(".") for part in p.parts[1:])]
    if not files:
        seen = sorted(p.name for p in folder.glob("*"))[:10] if folder.is_dir() else "no folder"
        raise ReleasedError(f"{folder}: expected data files ({', '.join(SUFFIXES)}), saw {seen}")
    found = Released()
    groups: dict[str, dict[str, _Group]] = {}
    pairs: list[ReleasedPair] = []
    for path in tqdm(files, desc="released data", unit="file", delay=5):
        name = str(path.relative_to(folder))
        for number, row in enumerate(_rows(path), start=1):
            place = f"{path}, row {number}"
            names = _names(row)
            kind = _kind(names, row, place)
            found.mapping.setdefault(name, names)
            found.unread.setdefault(name, tuple(sorted(set(row) - set(names.values()))))
            if kind == "pair":
                pairs.append(_pair(row, names, place))
            else:
                _keep(groups, row, names, kind, default_model)
    sets = tuple(_trace_set(model, questions) for model, questions in groups.items())
    return Released(sets, tuple(pairs), found.mapping, found.unread)


def _names(row: Row, wanted: Iterable[str] = FIELDS) -> dict[str, str]:
    """Return which of the row's fields is which of ours; each field serves once."""
    lower = {name.lower(): name for name in reversed(list(row))}
    found: dict[str, str] = {}
    for ours in wanted:
        for name in FIELDS[ours]:
            if name in lower and lower[name] not in found.values():
                found[ours] = lower[name]
                break
    return found


def _kind(names: Mapping[str, str], row: Row, place: str) -> Kind:
    for kind, needed in NEEDED.items():
        fits = all(name in names for name in needed)
        if fits and (kind != "question" or isinstance(row[names["traces"]], list)):
            return kind
    wanted = "; or ".join(" + ".join(needed) for needed in NEEDED.values())
    raise ReleasedError(
        f"{place}: expected fields for {wanted}; saw {', '.join(map(str, row))}. Rename them to "
        "names in replication/workflow/released.py, or add theirs there"
    )


def _pair(row: Row, names: Mapping[str, str], place: str) -> ReleasedPair:
    label = str(row[names["same"]]).strip().lower().removesuffix(".0")
    if label not in _LABELS:
        known = ", ".join(sorted(_LABELS))
        raise ReleasedError(f"{place}: expected a label ({known}), saw {label[:60]!r}")
    asked = str(row[names["question"]]) if "question" in names else ""
    texts = (str(row[names[key]]) for key in ("first", "second"))
    return ReleasedPair(JudgeInput(asked, *texts), _LABELS[label])


@dataclass
class _Group:
    question: Question
    traces: list[Trace] = field(default_factory=list)
    counted: bool = True


def _keep(
    groups: dict[str, dict[str, _Group]],
    row: Row,
    names: Mapping[str, str],
    kind: Kind,
    default_model: str,
) -> None:
    """Add a row's traces to their model's question; rows of one question may be apart."""

    def value(ours: str) -> str | None:
        found = row.get(names[ours]) if ours in names else None
        return None if found is None or found == "" else str(found)

    asked = str(row[names["question"]])
    name = value("question_id") if kind == "question" else None
    questions = groups.setdefault(value("model") or default_model, {})
    group = questions.setdefault(
        asked,
        _Group(Question(name or f"q{len(questions):05d}", asked, value("gold"),
                        value("benchmark") or "released")),
    )  # fmt: skip
    entries = row[names["traces"]] if kind == "question" else [row]
    for entry in entries:
        group.traces.append(_trace(entry, group))


def _trace(entry: Any, group: _Group) -> Trace:
    """Return one trace from a text, or from an object with one."""
    text, given, tokens = entry, None, None
    if isinstance(entry, Mapping):
        names = _names(entry, ("text", "given", "tokens"))
        text = entry[names["text"]] if "text" in names else ""
        given = entry.get(names["given"]) if "given" in names else None
        tokens = entry.get(names["tokens"]) if "tokens" in names else None
    text = str(text or "")
    count = int(tokens) if isinstance(tokens, int | float) and tokens > 0 else 0
    group.counted &= count > 0
    answer = str(given) if given not in (None, "") else extract_answer(text)
    name = group.question.question_id
    return Trace(name, str(len(group.traces)), text, count, answer)


def _trace_set(model: str, questions: Mapping[str, _Group]) -> TraceSet:
    """Return a model's traces; where one has no token count, words stand in for all."""
    groups, by_words = list(questions.values()), not all(g.counted for g in questions.values())
    traces = (
        tuple(
            replace(t, num_tokens=max(1, len(t.text.split()))) if by_words else t for t in g.traces
        )
        for g in groups
    )
    return TraceSet(model, tuple(g.question for g in groups), tuple(traces), by_words)


def _rows(path: Path) -> Iterator[Row]:
    """Yield a file's rows: Parquet, JSON lines, or a JSON list (also under one key)."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(path).iter_batches(batch_size=256):
                yield from batch.to_pylist()
            return
        with _opened(path) as file:
            if ".jsonl" in path.name:
                yield from (json.loads(line) for line in file if line.strip())
            else:
                yield from _listed(json.load(file))
    except (OSError, EOFError, ValueError) as error:  # pyarrow's errors are ValueErrors
        if isinstance(error, ReleasedError):
            raise
        reason = " ".join(str(error).split())[:120]
        raise ReleasedError(f"{path}: cannot be read ({reason}); fetch it again") from None


def _listed(content: Any) -> Sequence[Row]:
    if isinstance(content, dict):
        content = next((v for v in content.values() if isinstance(v, list)), [content])
    return [row for row in content if isinstance(row, dict)]


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
