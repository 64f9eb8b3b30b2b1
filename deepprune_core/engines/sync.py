"""Asynchronous work for callers that are not asynchronous, a notebook's cells among them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TypeVar

T = TypeVar("T")


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Return the result of an asynchronous function, inside a notebook or outside of one.

    All calls share one event loop in a thread of its own: a notebook's own loop is busy, and an
    engine belongs to the loop in which it first worked.
    """

    async def main() -> T:
        return await work()

    future = asyncio.run_coroutine_threadsafe(main(), _loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="deepprune", daemon=True).start()
    return loop
