"""The text of a trace that is still growing, decoded a few tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence

from deepprune_core.truncation import Tokenizer


class GrowingText:
    """Text of ids that only ever get longer; each id is decoded twice at most.

    A character whose bytes have not all arrived is held back. Decoding starts a few tokens
    early, since some tokenizers spell a token by what stands before it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._start = self._done = 0
        self.text = ""

    def extend(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``, which begin with those of the last call."""
        if len(ids) > self._done:
            before = self._decode(ids[self._start : self._done])
            now = self._decode(ids[self._start :])
            if not now.endswith("\ufffd"):
                self.text += now[len(before) :]
                self._start, self._done = self._done, len(ids)
        return self.text

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True) if ids else ""
