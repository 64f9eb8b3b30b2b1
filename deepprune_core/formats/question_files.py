"""Files of questions to sample traces for: JSON lines with question_id, question and gold."""

from __future__ import annotations

import json
from pathlib import Path

from deepprune_core.formats.trace_files import TraceFileError
from deepprune_core.traces import Question


def read_questions(path: Path) -> tuple[Question, ...]:
    """Return the questions in a file, in order.

    A line is an object with ``question``; ``question_id`` (default: the line's number), ``gold``
    and ``benchmark`` may be absent.

    Raises:
        TraceFileError: no such file, or a line that is no question; names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise TraceFileError(f"{path}: no such file; give a file of questions") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TraceFileError(f"{path}: cannot be read ({error})") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            text = entry["question"]
            if not isinstance(text, str) or not text.strip():
                raise ValueError("the question is empty")
        except (ValueError, KeyError, TypeError) as error:
            raise TraceFileError(
                f"{path}: line {number}: expected an object with 'question' ({error!r})"
            ) from None
        gold = entry.get("gold")
        found.append(
            Question(
                str(entry.get("question_id", number)),
                text,
                None if gold is None else str(gold),
                str(entry.get("benchmark", "")),
            )
        )
    ids = [question.question_id for question in found]
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if not found or twice:
        what = f"question_id {twice[0]!r} occurs twice" if twice else "holds no question"
        raise TraceFileError(f"{path}: {what}; mend the file")
    return tuple(found)
