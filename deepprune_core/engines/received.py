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
        self._place = self._settled = self._counted = 0

    @property
    def num_tokens(self) -> int:
        return len(self.ids) if self._told else self._counted

    def take(self, delta: Delta) -> None:
        """Add what an event brought."""
        if delta.thought:
            self.text += "" if self._thinking else "<think>\n"
            self._thinking = True
            self.text += delta.thought
        if self._thinking and (delta.text or delta.finish):
            self._thinking = False
            self.text += "\n</think>\n\n"
        self.text += delta.text
        self._told = self._told and (delta.ids is not None or not delta.thought + delta.text)
        self.ids.extend(delta.ids or ())
        self.confidences.extend(delta.confidences)
        self.finish = delta.finish or self.finish
        if not self._told:
            self._recount()

    def _recount(self) -> None:
        """Count the text anew only from its last blank on, so that counting stays linear."""
        tail = self.text[self._place :]
        cut = _word_start(tail) or (len(tail) if len(tail) > LONGEST_TAIL else 0)
        self._settled += self._count(tail[:cut])
        self._place += cut
        self._counted = self._settled + self._count(tail[cut:])

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
