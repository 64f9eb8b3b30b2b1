"""A log of finished traces: one line a trace, written as it ends, safe against kills.

A line that a kill cut short is dropped on reading, and that trace is sampled again; the lines
before it stand. Confidences are kept as float16.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.traces import Trace


class TraceLog:
    """The finished traces of one question, by index; two of the same index count once."""

    def __init__(self, path: Path, question_id: str) -> None:
        self.path, self.question_id = path, question_id

    def read(self) -> dict[int, Trace]:
        """Return the traces that are whole."""
        found: dict[int, Trace] = {}
        if not self.path.exists():
            return found
        for line in self.path.read_bytes().split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:  # cut short by a kill, or the empty end
                continue
            found.setdefault(int(entry["index"]), _trace(self.question_id, entry))
        return found

    def append(self, index: int, trace: Trace) -> None:
        """Add one trace; after this returns, a kill or a power cut does not lose it."""
        line = json.dumps(_entry(index, trace), ensure_ascii=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            # A line of its own begins and ends the entry: a torn one before it stays alone.
            file.write(b"\n" + line.encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _entry(index: int, trace: Trace) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "index": index,
        "text": trace.text,
        "num_tokens": trace.num_tokens,
        "answer": trace.answer,
        "finish_reason": trace.finish_reason,
    }
    if trace.confidences is not None:
        packed = np.asarray(trace.confidences, "<f2").tobytes()
        entry["confidences"] = base64.b64encode(packed).decode("ascii")
    return entry


def _trace(question_id: str, entry: dict[str, Any]) -> Trace:
    packed = entry.get("confidences")
    return Trace(
        question_id=question_id,
        trace_id=str(entry["index"]),
        text=entry["text"],
        num_tokens=entry["num_tokens"],
        answer=entry["answer"],
        finish_reason=entry["finish_reason"],
        confidences=None
        if packed is None
        else np.frombuffer(base64.b64decode(packed), "<f2").astype(np.float16),
    )


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold a lock on a file while a run writes beside it; it ends with the process, killed or not.

    Raises:
        BlockingIOError: another process holds it; says which file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"{path.parent}: another run is working here; wait for it or stop it"
            ) from None
        yield
