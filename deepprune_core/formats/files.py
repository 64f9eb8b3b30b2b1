"""Files that appear whole or not at all, whatever stops the program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANIFEST = "manifest.json"  # what a trained judge's folder tells of itself


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a place beside ``path`` to write to; what lies there takes its name when all went well.

    Folders are made. Where the block fails nothing is left, and an older file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_atomically(path: Path, text: str | bytes) -> Path:
    """Write a file, whole or not at all; return its path."""
    with whole_file(path) as fresh:
        fresh.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return path
