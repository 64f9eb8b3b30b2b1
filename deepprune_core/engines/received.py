"""What one request has received: its text as it came, its tokens counted beside it."""

from __future__ import annotations

import numpy as np

from deepprune_core.engines.base import Chunk, Request
from deepprune_core.engines.openai_events import Delta
from deepprune_core.truncation import Tokenizer

LONGEST_TAIL = 200  # characters without a blank that are counted anew with every event


class Progress:
    """What one request has received so far: its text as it came, and its tokens counted apart.

    ``ids`` are the server's, as long as it tells them with every text. Thinking that it sends
    apart stands between ``<think>`` and ``</think>``.
    """

    def __init__(self, tokenizer: Tokenizer, sofar: Chunk | None = None) -> None:
        self.text, self.ids = "", list[int]()
        self.confidences: list[float] = []
        self.finish: str | None = None
        self._told = True  # all ids, with every text
        before = (sofar.text if sofar else None) or ""
        self._thinking = before.count("<think>") > before.count("</think>")
        self._tokenizer = tokenizer
        self._settled = self._tail_count = 0
        self._tail = ""

    @property
    def num_tokens(self) -> int:
        return len(self.ids) if self._told else self._settled + self._tail_count

    def take(self, delta: Delta) -> None:
        """Add what an event brought."""
        if delta.thought:
            self._add("" if self._thinking else "<think>\n")
            self._thinking = True
            self._add(delta.thought)
        if self._thinking and (delta.text or delta.finish):
            self._thinking = False
            self._add("\n</think>\n\n")
        self._add(delta.text)
        self._told = self._told and (delta.ids is not None or not delta.thought + delta.text)
        self.ids.extend(delta.ids or ())
        self.confidences.extend(delta.confidences)
        self.finish = delta.finish or self.finish

    def _add(self, text: str) -> None:
        """Append text; count it anew only from the last blank on, so counting stays linear."""
        if not text:
            return
        self.text += text
        self._tail += text
        cut = len(self._tail) if len(self._tail) > LONGEST_TAIL else _word_start(self._tail)
        if cut:
            self._settled += self._count(self._tail[:cut])
            self._tail = self._tail[cut:]
        self._tail_count = self._count(self._tail)

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False)) if text else 0

    def chunk(self, request: Request, *, confidences: bool) -> Chunk:
        """Return all of it."""
        shown = np.array(self.confidences, np.float16) if confidences else None
        counted = None if self._told else self.num_tokens
        return Chunk(request.request_id, tuple(self.ids), self.finish, shown, self.text, counted)


def _word_start(text: str) -> int:
    """Return where the blank before the last word begins; 0 where there is no word before it."""
    words = text.rstrip()
    blank = max(words.rfind(" "), words.rfind("\n"))
    return len(words[:blank].rstrip()) if blank > 0 else 0
