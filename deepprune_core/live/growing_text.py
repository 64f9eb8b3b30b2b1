"""The text of a trace that is still growing, decoded a few tokens at a time."""

from __future__ import annotations

from collections.abc import Sequence

from deepprune_core.engines.base import Chunk
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

    def take(self, chunk: Chunk | None) -> str:
        """Return the text of all that a trace has generated.

        What a server sent counts as it came where it told no ids. An ended trace holds nothing
        back: bytes that are no character are spelled as the tokenizer spells them.
        """
        if chunk is None:
            return self.text
        if chunk.counted is not None and chunk.text is not None:
            self.text = chunk.text
            return self.text
        self.extend(chunk.token_ids)
        if chunk.finish_reason is not None and self._done < len(chunk.token_ids):
            before = self._decode(chunk.token_ids[self._start : self._done])
            return self.text + self._decode(chunk.token_ids[self._start :])[len(before) :]
        return self.text

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True) if ids else ""
