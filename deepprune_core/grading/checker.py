"""A killable process that reads mathematical expressions with math-verify.

An expression becomes a *fingerprint*: its value at fixed points, to 40 digits. Equal expressions
have equal fingerprints however they are written, and since each is read alone, *equal* is an
equivalence. Readers of mathematics can hang for minutes on text that a model wrote; so they run
in a process of their own, one expression at a time, and are killed when the time is up.

``python -m deepprune_core.grading.checker`` reads JSON strings on standard input and writes a
JSON string, or null for what it cannot read, a line.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from fractions import Fraction
from functools import lru_cache
from hashlib import sha256
from queue import Empty, Queue
from typing import Any

START_SECONDS = 60.0
EXPRESSION_SECONDS = 5.0
MEMORY_BYTES = 2 << 30  # of address space, which the imports alone fill to a quarter
WORKING_DIGITS, KEPT_DIGITS = 60, 40
POINTS = 3  # at which an expression with variables is evaluated
LARGEST_DENOMINATOR = 10**9  # of a value that is told as a fraction


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

    def ask(self, expression: str) -> str | None:
        """Return the fingerprint; raises Empty when the time is up and OSError when it died."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(expression) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.replies.get(timeout=EXPRESSION_SECONDS))
        return None if found is None else str(found)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()


_worker: _Worker | None = None
_lock = threading.Lock()  # one expression at a time, whichever thread asks


@lru_cache(maxsize=100_000)
def fingerprint(expression: str) -> str | None:
    r"""Return an expression's fingerprint, None if it cannot be read in five seconds.

    A rational value comes as a fraction (``1/2``), another constant as ``≈`` and its digits.
    """
    global _worker
    with _lock:
        if _worker is None:
            _worker = _Worker()
            atexit.register(stop)
        try:
            return _worker.ask(expression)
        except (Empty, OSError, ValueError):
            stop()
            return None


def stop() -> None:
    """Stop the process; the next expression starts a new one."""
    global _worker
    if _worker is not None:
        _worker.stop()
        _worker = None


def _print_of(found: Any) -> str | None:
    """Return the fingerprint of what math-verify has read."""
    import sympy
    from sympy.core.relational import Relational

    if isinstance(found, sympy.MatrixBase):
        cells = [_print_of(cell) for cell in found]
        return None if None in cells else f"matrix{found.shape}:{','.join(map(str, cells))}"
    if isinstance(found, Relational):
        return _relation(found)
    if not isinstance(found, sympy.Expr):
        return None
    names = sorted(found.free_symbols, key=str)
    values = [_at(found, names, point) for point in range(POINTS if names else 1)]
    if any(value is None for value in values):
        return None
    if len(set(map(_spelled, values))) == 1:  # no variable, or one that cancels out
        return _constant(values[0])
    return "f:" + ",".join(_spelled(value) for value in values)


def _relation(found: Any) -> str | None:
    """Return the fingerprint of an equation or inequality; a common factor does not matter."""
    import sympy

    kind = {"Equality": "=", "Unequality": "!="}.get(type(found).__name__)
    left, right = (found.lhs, found.rhs) if kind else (found.gts, found.lts)
    kind = kind or (">" if "Strict" in type(found).__name__ else ">=")
    if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
        return None
    difference, names = left - right, sorted(found.free_symbols, key=str)
    values = [_at(difference, names, point) for point in range(POINTS + 1)]
    if not names or any(value is None for value in values):
        return None
    scale = values[0] if kind in ("=", "!=") else abs(values[0])
    return None if scale == 0 else f"{kind}:" + ",".join(_spelled(v / scale) for v in values)


def _at(expression: Any, names: list[Any], point: int) -> Any:
    """Return an expression's value at one of the fixed points; None if it has none."""
    import mpmath
    import sympy

    places = {name: sympy.I if str(name) == "i" else _place(str(name), point) for name in names}
    value = expression.subs(places).doit().evalf(WORKING_DIGITS)
    if not value.is_number or not value.is_finite:
        return None
    real, imaginary = value.as_real_imag()
    with mpmath.workdps(WORKING_DIGITS):
        return mpmath.mpc(real._to_mpmath(200), imaginary._to_mpmath(200))


def _place(name: str, point: int) -> Any:
    """Return a variable's value at a point: a fraction from its name, in size 1/4 to 2."""
    import sympy

    drawn = int.from_bytes(sha256(f"{name}/{point}".encode()).digest()[:6], "little")
    return (-1 if drawn % 2 else 1) * sympy.Rational(2**46 + drawn // 2, 2**48)


def _constant(value: Any) -> str:
    """Return a constant's fingerprint: a fraction where it is one to all digits."""
    import mpmath

    with mpmath.workdps(WORKING_DIGITS):
        if abs(value.imag) <= abs(value) * mpmath.mpf(10) ** -KEPT_DIGITS:
            near = Fraction(mpmath.nstr(value.real, WORKING_DIGITS)).limit_denominator(
                LARGEST_DENOMINATOR
            )
            error = abs(value.real - mpmath.mpf(near.numerator) / near.denominator)
            if error <= abs(value.real) * mpmath.mpf(10) ** -KEPT_DIGITS:
                return str(near)
    return "≈" + _spelled(value)


def _spelled(value: Any) -> str:
    """Return a complex number to 40 digits; a part that is nothing beside the other is 0."""
    import mpmath

    with mpmath.workdps(WORKING_DIGITS):
        least = abs(value) * mpmath.mpf(10) ** -KEPT_DIGITS
        parts = [part if abs(part) > least else mpmath.mpf(0) for part in (value.real, value.imag)]
        return "|".join(mpmath.nstr(part, KEPT_DIGITS) for part in parts)


def main() -> None:
    """Answer expressions until the input ends."""
    import resource

    from math_verify import LatexExtractionConfig, parse

    how = [LatexExtractionConfig()]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    _print_of(parse(r"$\sqrt{x}$", how)[0])  # the first parse imports what the others need
    print("ready", flush=True)
    for line in sys.stdin:
        expression = json.loads(line)
        try:
            found = parse(f"${expression}$", how)
            whole = len(found) == 2 and not isinstance(found[0], str)
            reply = _print_of(found[0]) if whole else None
        except Exception:  # whatever a reader of mathematics may raise on a model's text
            reply = None
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
