"""What comes back from an OpenAI-compatible endpoint: events, and what servers put into them.

Servers differ in what they call an end, in where they put thinking, in how they tell a fault, and
in what they send that is no event; all of that is read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepprune_core.engines.base import CONFIDENCE_TOP_K
from deepprune_core.formats.fields import message_parts

LONGEST_REMARK = 2_000  # characters of a body that is no event stream
_AT_LIMIT = ("length", "max_tokens", "max_length", "model_length", "max_output_tokens",
             "max_completion_tokens", "token_limit")  # fmt: skip
_FAILED = ("abort", "aborted", "cancelled", "canceled", "content_filter", "error", "safety",
           "recitation", "failed", "timeout", "insufficient_system_resource")  # fmt: skip


@dataclass(frozen=True)
class Delta:
    """What one event adds to a trace.

    ``thought`` and ``text``: thinking that the server sends apart, and what it says; ``ids`` is
    None where the server tells none. ``finish``: ``stop``, ``length``, or None; ``failed``: the
    server's word for an end that is a failure.
    """

    thought: str
    text: str
    ids: list[int] | None
    confidences: list[float]
    finish: str | None
    failed: str | None


def read_choice(choice: dict[str, Any]) -> Delta:
    """Return what a choice of a streamed event adds, or of a body that came in one piece."""
    message = _object(choice.get("delta")) or _object(choice.get("message"))
    thought, text = map("".join, message_parts(message))
    if isinstance(choice.get("text"), str):
        text = choice["text"] + text
    logprobs = _object(choice.get("logprobs"))
    tops = [list(top.values()) for top in logprobs.get("top_logprobs") or () if top]
    for token in logprobs.get("content") or ():
        tops.append([top["logprob"] for top in token.get("top_logprobs") or ()])
    ids = choice.get("token_ids")
    finish, failed = _end(choice.get("finish_reason"))
    return Delta(
        thought, text, list(ids) if isinstance(ids, list) else None,
        [_confidence(top) for top in tops if top], finish, failed,
    )  # fmt: skip


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _end(word: Any) -> tuple[str | None, str | None]:
    """Return (``stop`` or ``length``, None), (None, a failure's word), or two Nones."""
    if word is None or word == "":
        return None, None
    folded = str(word).casefold()
    if folded in _FAILED:
        return None, str(word)
    return ("length" if folded in _AT_LIMIT else "stop"), None


def _confidence(logprobs: list[float]) -> float:
    """Return minus the mean of the 20 highest log-probabilities at a position."""
    return -float(np.mean(sorted(logprobs, reverse=True)[:CONFIDENCE_TOP_K]))


@dataclass
class Remark:
    """What a stream said that was no event, up to some length: an error page, a lone word."""

    text: str = ""

    def add(self, text: str) -> None:
        self.text = f"{self.text}\n{text}".strip()[:LONGEST_REMARK]


async def read_events(
    chunks: AsyncIterator[bytes], remark: Remark
) -> AsyncIterator[dict[str, Any] | None]:
    """Yield the objects of a server-sent event stream; None is its ``[DONE]``.

    Lines end where the wire says so, not at U+2028 or U+0085 within a text. What is no object
    (``null``, ``ping``, a lone string) goes to ``remark``, and so does a body that is no stream:
    one that is a JSON object is yielded as an event.

    Raises:
        json.JSONDecodeError: an object that is broken.
    """
    rest, streamed = b"", False
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            event = _event(line, remark)
            streamed = streamed or line.startswith(b"data:")
            if event is _DONE:
                yield None
                return
            if isinstance(event, dict):
                yield event
    event = _event(rest, remark)
    if event is _DONE:
        yield None
    elif isinstance(event, dict):
        yield event
    elif not streamed and remark.text.startswith("{"):
        try:
            whole = json.loads(remark.text)
        except ValueError:
            return
        yield whole


_DONE = object()


def _event(line: bytes, remark: Remark) -> Any:
    """Return the object in a line, _DONE, or None."""
    text = line.decode("utf-8", "replace").strip("\r\n ")
    if not text.startswith("data:"):
        if text and not re.match(r":|(?:event|id|retry):", text):
            remark.add(text)
        return None
    data = text.removeprefix("data:").strip(" ")
    if data == "[DONE]":
        return _DONE
    if data.startswith("{"):
        return json.loads(data, strict=False)
    if data not in ("", "null", "ping"):
        remark.add(data)
    return None


def fault_in(event: dict[str, Any]) -> str | None:
    """Return what an event says went wrong, None if nothing."""
    if event.get("error") or event.get("error_message"):
        return said(event)
    if event.get("object") == "error" or (event.get("choices") is None and event.get("message")):
        return said(event)
    return None


def said(body: Any) -> str:
    """Return what an error's body says, in one line."""
    for name in ("error", "error_message", "message", "detail"):
        if isinstance(body, dict) and body.get(name):
            body = body[name]
    if isinstance(body, str) and re.match(r"\s*<(?:!doctype|html|head|body)", body, re.IGNORECASE):
        body = re.sub(r"<(style|script)[\s\S]*?</\1>|<[^>]*>", " ", body)
    return " ".join(str(body).split())[:200]
