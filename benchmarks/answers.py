"""How long 512 different answers of one question take to grade, each kind from an empty cache.

``python benchmarks/answers.py`` prints seconds, and the ratio to plain numbers. The goal is
under five seconds for algebra, which alone asks the checker's process.
"""

from __future__ import annotations

import time

from deepprune_core.answers import partition
from deepprune_core.grading import checker
from deepprune_core.grading.reading import read

COUNT = 512
KINDS = {
    "numbers": "{i}.5",
    "units": "{i} apples",
    "tuples": "({i}, {i}/7)",
    "large powers": "2^{{{i}000}}",
    "algebra": r"(x+{i})^2 + \frac{{{i}}}{{7}}",
    "roots": r"\sqrt{{{i}}} + \frac{{{i}}}{{7}}",
}


def main() -> None:
    """Print one row a kind."""
    checker.fingerprint("x+1")  # the process's start is paid once a run
    base = None
    for name, spelling in KINDS.items():
        read.cache_clear()
        checker.fingerprint.cache_clear()
        start = time.perf_counter()
        classes = partition([spelling.format(i=i) for i in range(1, COUNT + 1)])
        seconds = time.perf_counter() - start
        base = base or seconds
        print(f"{name:14s} {seconds:6.3f} s {seconds / base:8.1f} x  {len(set(classes))} classes")


if __name__ == "__main__":
    main()
