"""Asynchronous work for callers that are not asynchronous, a notebook's cells among them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def run_async(work: Callable[[], Awaitable[T]]) -> T:
    """Return the result of an asynchronous function, inside a notebook or outside of one.

    A notebook's own event loop is busy, so the work gets a thread with a fresh loop.
    """
    box: list[T] = []
    failure: list[BaseException] = []

    async def main() -> None:
        box.append(await work())

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return box[0]
