"""A killable process that compares two mathematical expressions with math-verify.

Checkers of mathematical answers can hang for minutes on text that a model wrote. So they run
in a process of their own, one pair at a time, and are killed when the time is up.

``python -m deepprune_core.grading.checker`` reads JSON pairs on standard input and writes one
JSON boolean a line.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from functools import lru_cache
from queue import Empty, Queue

START_SECONDS = 60.0
PAIR_SECONDS = 5.0
MEMORY_BYTES = 2 << 30  # of address space, which the imports alone fill to a quarter


class _Worker:
    """The child process and a thread that reads its replies."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deepprune_core.grading.checker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.replies: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.replies.get(timeout=START_SECONDS)  # "ready"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.replies.put(line)

    def ask(self, first: str, second: str) -> bool:
        """Return the verdict; raises Empty when the time is up and OSError when it died."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([first, second]) + "\n")
        self.process.stdin.flush()
        return bool(json.loads(self.replies.get(timeout=PAIR_SECONDS)))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()


_worker: _Worker | None = None
_lock = threading.Lock()  # one pair at a time, whichever thread asks


@lru_cache(maxsize=100_000)
def equivalent(first: str, second: str) -> bool:
    """Return whether two expressions are equal; a pair that takes over five seconds is not.

    ``first`` and ``second`` should come in sorted order: the check is not symmetric.
    """
    global _worker
    with _lock:
        if _worker is None:
            _worker = _Worker()
            atexit.register(stop)
        try:
            return _worker.ask(first, second)
        except (Empty, OSError, ValueError):
            stop()
            return False


def stop() -> None:
    """Stop the process; the next question starts a new one."""
    global _worker
    if _worker is not None:
        _worker.stop()
        _worker = None


def main() -> None:
    """Answer pairs until the input ends."""
    import resource

    from math_verify import parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    verify(parse("$1/2$"), parse("$0.5$"))  # the first parse imports what the others need
    print("ready", flush=True)
    for line in sys.stdin:
        first, second = json.loads(line)
        verdict = bool(verify(parse(f"${first}$"), parse(f"${second}$")))
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    main()
