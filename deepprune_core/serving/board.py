"""The last questions and their events, for whoever watches the page."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

from deepprune_core.live.result import Event, PrunedAnswer

KEPT = 20
MOST_UNREAD = 10_000  # messages that wait for a watcher; a slower one is dropped


@dataclass
class Entry:
    """One question: its events so far, and its result once there is one."""

    number: int
    question: str
    num_traces: int
    events: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain data."""
        return asdict(self)


class Board:
    """Keeps the last twenty questions and tells every watcher what changes."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self._count = 0
        self._watchers: set[asyncio.Queue[dict[str, Any]]] = set()

    def open(self, question: str, num_traces: int) -> Entry:
        """Return a new entry for a question."""
        self._count += 1
        entry = Entry(self._count, question, num_traces)
        self.entries.append(entry)
        self._tell({"kind": "question", **entry.to_dict()})
        return entry

    def take(self, entry: Entry, event: Event) -> None:
        """Add an event to a question."""
        plain = asdict(event)
        entry.events.append(plain)
        self._tell({"kind": "event", "number": entry.number, "event": plain})

    def close(self, entry: Entry, result: PrunedAnswer | None, error: str = "") -> None:
        """Add a question's result, or why there is none."""
        entry.error = error
        if result is not None:
            entry.result = brief(result)
        self._tell({"kind": "result", **entry.to_dict()})

    async def watch(self) -> AsyncIterator[str]:
        """Yield server-sent events: all that is known, then what changes."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_UNREAD)
        self._watchers.add(queue)
        try:
            known = [entry.to_dict() for entry in self.entries]
            yield _sent({"kind": "all", "entries": known})
            while queue in self._watchers:
                try:
                    yield _sent(await asyncio.wait_for(queue.get(), timeout=15))
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._watchers.discard(queue)

    def _tell(self, message: dict[str, Any]) -> None:
        for queue in list(self._watchers):
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:  # its page reads all anew when it comes back
                self._watchers.discard(queue)


def brief(result: PrunedAnswer) -> dict[str, Any]:
    """Return a result without the texts of its traces."""
    found = result.to_dict()
    for trace in found["traces"]:
        del trace["text"]
    return found


def _sent(message: dict[str, Any]) -> str:
    return f"data: {json.dumps(message, ensure_ascii=False)}\n\n"
