"""Answers that were written to hang, crash or run something; and the same asked by threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepprune_core.answers import UNGRADABLE, extract_answer, partition
from deepprune_core.grading import checker

BOMBS = {
    "tower": "9**9**9",
    "latex tower": "9^{9^{9^{9}}}",
    "issue 65": r"\dfrac{5^{(5^{(5^{(5^5)})}-4)}-5}{16}",
    "factorial": "10000000!",
    "power": "2^{10^9}",
    "digits": "7" * 20_000,
    "parentheses": "(" * 3000 + "1" + ")" * 3000,
    "fractions": r"\frac{" * 10_000,
    "matrix": r"\begin{matrix}" + " & ".join("1" * 200) + r"\end{matrix}",
    "a megabyte": "x+" * 500_000 + "1",
    "code": "__import__('os').system('touch PWNED')",
    "dunder": "().__class__.__bases__[0].__subclasses__()",
    "homoglyph": "__\u0456mport__('os')",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=list(BOMBS))
def test_a_bomb_gets_a_verdict_and_harms_nobody(
    bomb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    partition(["x+1", "1+x"])  # the checker's start is not the bomb's
    started = time.monotonic()
    extract_answer(rf"so \boxed{{{bomb}}}")
    classes = partition([bomb, "x+1", "1+x", "7"])
    assert time.monotonic() - started < 3 * checker.EXPRESSION_SECONDS + 2
    assert classes[0] not in classes[1:].tolist()
    assert classes[1] == classes[2] != UNGRADABLE
    assert not list(tmp_path.iterdir())


def test_threads_get_the_same_verdicts_as_one_after_the_other() -> None:
    texts = [f"(x+{i})^{{{2 + i % 3}}}" for i in range(1, 25)]
    checker.fingerprint.cache_clear()
    alone = [checker.fingerprint(text) for text in texts]
    checker.fingerprint.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(checker.fingerprint, texts))
    assert together == alone and None not in alone and len(set(alone)) == len(texts)


@pytest.mark.parametrize(
    ("group", "apart"),
    [
        (("A", "(A)", "A.", r"\text{(A)}"), ("B", "a", "5")),
        (("540", r"540^\circ"), ("54",)),
        (("0.5", "1/2"), ("5", "50")),
        (("5", "5.0"), ("500", "-5")),
    ],
)
def test_dresses_of_one_answer_and_what_is_not_it(
    group: tuple[str, ...], apart: tuple[str, ...]
) -> None:
    classes = partition([*group, *apart]).tolist()
    assert len(set(classes[: len(group)])) == 1
    assert not set(classes[: len(group)]) & set(classes[len(group) :])
