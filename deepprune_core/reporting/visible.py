"""Text from a model or a server, made harmless for a terminal or a figure."""

from __future__ import annotations

KEPT = "\n\t"


def visible(text: str) -> str:
    r"""Return text with control characters spelled out, so that none moves a cursor.

    >>> visible("4\x1b[2J2\u202e")
    '4\\x1b[2J2\\u202e'
    """
    return "".join(c if c.isprintable() or c in KEPT else repr(c)[1:-1] for c in text)


def shortened(text: str, limit: int = 40) -> str:
    """Return visible text on one line, cut at ``limit`` characters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
