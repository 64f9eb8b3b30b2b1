"""What other tools put into a field: right answers, messages with their thinking, own answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepprune_core.answers import find_answer
from deepprune_core.grading.reading import MAX_CHARACTERS

Record = Mapping[str, Any]
_ATTACHMENT = "attachment://"
_NO_ANSWER = ("", "[invalid]", "[no match]", "None", "null")


def gold_of(target: Any) -> str | None:
    """Return the right answer in a target, which may be a whole solution; None if it is unknown.

    >>> gold_of("She has 3 + 4 = 7.\\n#### 7"), gold_of(["A"]), gold_of(12), gold_of("x" * 999)
    ('7', 'A', '12', None)
    """
    if isinstance(target, list | tuple):
        target = target[0] if target else None
    if target is None or isinstance(target, dict | bool) or str(target) in _NO_ANSWER:
        return None
    text = str(target)
    if (found := find_answer(text)) is not None:
        return found.answer
    return text if len(text) <= MAX_CHARACTERS else None


def first_of(record: Record, *names: str) -> Any:
    """Return the first field of a record, by name, that is there and not null."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def message_text(message: Any) -> str:
    """Return a message's text, its thinking between ``<think>`` and ``</think>`` before it.

    A message has ``content`` (text, or a list of parts) and may have its thinking apart, in
    ``reasoning_content`` or ``reasoning``, or in parts of that kind.
    """
    thought, said = message_parts(message) if isinstance(message, dict) else ([], [])
    before, after = "\n".join(thought), "\n".join(said)
    return f"<think>\n{before}\n</think>\n\n{after}" if before else after


def message_parts(message: Record) -> tuple[list[str], list[str]]:
    """Return (thinking, text) of a chat message, whole or a piece of a stream, part by part."""
    apart = first_of(message, "reasoning_content", "reasoning")
    thought, said = [apart] if isinstance(apart, str) else [], list[str]()
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict):
            names = ("text", "thinking", "reasoning", "content", "refusal")
            found = next((part[name] for name in names if part.get(name)), "")
            if isinstance(found, list):
                found = "".join(
                    text for texts in message_parts({"content": found}) for text in texts
                )
            (thought if part.get("type") in ("reasoning", "thinking") else said).append(str(found))
        elif part is not None:
            said.append(str(part))
    return [text for text in thought if text], [text for text in said if text]


def resolved(value: Any, attachments: Record) -> Any:
    """Return a value with inspect-ai's ``attachment://NAME`` replaced by what it stands for."""
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return attachments.get(value.removeprefix(_ATTACHMENT), value)
    if isinstance(value, list):
        return [resolved(one, attachments) for one in value]
    if isinstance(value, dict):
        return {key: resolved(one, attachments) for key, one in value.items()}
    return value


def response_parts(items: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a Responses body: reasoning summaries, then the messages' texts."""
    for item in items:
        kind = item.get("type")
        parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
        for part in parts:
            if kind in ("reasoning", "message"):
                yield {"type": "reasoning" if kind == "reasoning" else "text", **{
                    key: part[key] for key in ("text", "refusal") if part.get(key)}}  # fmt: skip


def own_answers(filtered: Any, count: int) -> tuple[str | None, ...]:
    """Return a tool's own answers, one a text; none where their number is another."""
    while isinstance(filtered, list) and len(filtered) == 1 and isinstance(filtered[0], list):
        filtered = filtered[0]
    filtered = filtered if isinstance(filtered, list) else [filtered]
    if len(filtered) != count:
        return ()
    return tuple(told_answer(answer) for answer in filtered)


def told_answer(answer: Any) -> str | None:
    """Return an answer that a tool extracted; None for its marks of having found nothing."""
    if not isinstance(answer, str | int | float) or isinstance(answer, bool):
        return None
    return None if str(answer).strip() in _NO_ANSWER else str(answer)
