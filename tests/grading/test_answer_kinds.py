"""Kinds of answers that people write, in pairs, with what is right; and what holds for all."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepprune_core.answers import UNGRADABLE, canonical, partition
from deepprune_core.grading.arithmetic import value_of

SAME = [
    ("x^2+y^2", "x^2 + y^2"), ("x^2y^2", "x^{2}y^{2}"), (r"2^2\cdot3^3", "108"),
    ("e^x+e^{-x}", "e^{-x}+e^{x}"), ("2^{2024}", "2^{2024}"), ("20!", "20!"),
    ("2^{2008}-2", "2^{2008}-2"), ("10!", "3628800"), ("**A**", "A"), ("(B)", r"\textbf{(B)}"),
    ("(10,100)", "(10, 100)"), ("[0,100)", "[0, 100)"), (r"\{100,200\}", r"\{200, 100\}"),
    (r"50\%", "50"), ("1 1/4", "5/4"), (r"2\frac{1}{2}", "2.5"), ("Yes", "yes"),
    (r"\text{None}", "none"), (r"\text{Even}", "even"), (r"5\,\text{cm}", "5"),
    ("12 dollars", "12"), ("１２", "12"), ("√2", r"\sqrt{2}"), ("½", "1/2"), ("∞", r"\infty"),
    ("–5", "-5"), ("1e-05", "0.00001"), ("1e3", "1000"), ("x^3+y^3+z^3", "x^{3} + y^{3}+z^3"),
    ("a^2b^3", "b^3a^2"), (r"2^3\cdot 5^2", "200"), ("2^{10}", "1024"), ("x^2-y^2", "(x-y)(x+y)"),
    ("30!", "30!"), ("2^{5000}", "2^{5000}"), ("3^{100000}", "3^{100000}"),
    ("9^{9^{9}}", "9^{9^9}"), ("9**9**9", "9^{9^9}"), ("12!", "479001600"), ("100!-1", "100!-1"),
    ("1111111111111111111111111111111111111111", "1111111111111111111111111111111111111111"),
    ("0001111111111111111111111111111111111111111", "1111111111111111111111111111111111111111"),
    ("**B**", "B"), ("*C*", "C"), ("`D`", "D"), ("__A__", "A"), ("(D).", "D"), ("D)", "D"),
    (r"\mathbf{C}", "C"), (r"\text{B}", "(B)"), ("**(C)**", "C"), ("Option B", "B"),
    ("(1,000)", "(1, 000)"), ("1,234", "1234"), ("1,234,567", "1234567"), ("(1,2]", "(1, 2]"),
    (r"\{1,2,3\}", r"\{3,2,1\}"), ("1, 2", "2, 1"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)"), ("25%", "25"), ("25 percent", r"25\%"),
    (r"12.5\%", "12.5"), (r"1.6\times10^{-19}", "1.6e-19"), (r"6.02 \times 10^{23}", "6.02e23"),
    ("1.6 x 10^-19", "1.6e-19"), ("3 1/2", "7/2"), (r"3\frac12", "3.5"),
    (r"-1\frac{1}{2}", "-1.5"), ("1½", "3/2"), ("1½", "1.5"), ("2¾", "11/4"), ("NO", "no"),
    ("True", "TRUE"), (r"\text{Odd}", "odd"), (r"\textbf{None}", "NONE"), ("Monday", "monday"),
    (r"\mathrm{Undefined}", "undefined"), ("5 kg", "5"), ("7 days", "7"), ("7 days", "1 week"),
    (r"8\text{ pm}", r"8\text{ PM}"), ("8 a.m.", "8 am"), ("10 am", "10"), ("$15", "15"),
    (r"\$15", "15 dollars"), ("15 euros", "€15"), ("$15", "15.00"), ("$1,500", "1500"),
    (r"90^\circ", "90"), ("90 degrees", "90°"), ("5 cm", "5cm"), ("5 cm", "50 mm"),
    ("5 square meters", r"5\text{ m}^2"), ("12 apples", "12"),
    (r"10\text{ cm}", "10 centimeters"), ("60 mph", "60 miles per hour"), ("４２", "42"),
    ("−3", "-3"), ("—3", "-3"), ("√3", r"\sqrt3"), ("2√3", r"2\sqrt{3}"), ("√(12)", r"2\sqrt{3}"),
    ("π", r"\pi"), ("2π", r"2\pi"), ("x²", "x^2"), ("¼", "0.25"), ("−∞", r"-\infty"), ("٣", "3"),
    ("5×3", "15"), ("3·4", "12"), ("x₁", "x_1"), ("≤5", r"\le 5"), ("⅔", "2/3"),
    ("10⁻³", "0.001"), ("1E-5", "0.00001"), ("2.5e+3", "2500"), ("1.0", "1"),
    ("0.30000000000000004", "0.3"), ("1e+06", "1000000"), ("-2e-2", "-0.02"), ("1.0e3", "1000"),
    ("3.0000000000000004", "3"), ("0.5", "1/2"), ("x=5", "5"), ("x = 3 or x = -3", r"\pm 3"),
    ("3, -3", r"\pm 3"), ("y=2x+3", "2x+3"),
    (r"(-\infty,2]\cup[3,\infty)", r"[3,\infty) \cup (-\infty, 2]"), (r"x\in[1,2]", "[1,2]"),
    ("x>5", "5<x"), (r"x\geq 5", "x ≥ 5"), (r"0.\overline{3}", "1/3"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"), (r"\sqrt{8}", r"2\sqrt2"),
    (r"\frac{1}{2}x", "0.5x"), ("x/2", r"\frac{x}{2}"), (r"\sin^2 x+\cos^2 x", "1"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\log_2 8", "3"), ("3:4", "3 : 4"), ("A, C", "C, A"), ("1+2i", "2i+1"),
    (r"\emptyset", r"\{\}"), (r"\frac{3}{4}\pi", r"3\pi/4"), (r"5\text{ and }6", "5, 6"),
    ("2 and 3", "3 and 2"), (r"\text{June 20}", "june 20"), (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    ("$5$", "5"), (r"\(5\)", "5"), ("5.", "5"), (r"\boxed{5}", "5"), ("['a', 'b']", '["a","b"]'),
    ("[1, 2, 3]", "[1,2,3]"), (r"1\,000", "1000"), ("1{,}000", "1000"), (r"10,\!236", "10236"),
    (r"\dfrac{7}{3}", "7/3"), ("2 + 3", "5"), ("sqrt(2)", r"\sqrt{2}"), ("sqrt(2)", "√2"),
    ("2*x", "2x"), ("pi/4", r"\frac{\pi}{4}"), ("x**2", "x^2"), (r"\ln 2", "ln(2)"),
    ("5 x 10^3", "5000"), ("f(x)=x^2", "x^2"), ("6 - 5i", "6-5i"), ("y = -2x + 1", "-2x+1"),
    ("2x+3=y", "y=2x+3"), ("5 units", "5"), (r"5 \text{ square units}", "5"),
    (r"\$12.50", "12.5"), ("3/4 cup", "3/4"), (r"\frac{3}{4}\text{ cup}", "0.75"),
    (r"\frac12 \text{ hour}", "30 minutes"), ("100°", "100"), (r"100\degree", r"100^\circ"),
    (r"\angle ABC", r"\angle ABC"), ("ABC", "abc"), (r"$\frac{1}{2}$", "0.5"), ("12$", "12"),
    ("5%", "5 %"), (r"2 \sqrt{3} \text{ cm}", r"2\sqrt{3}"),
    ("3 hours 20 minutes", "3 hours 20 minutes"), (r"\frac{x+1}{x-1}", r"1+\frac{2}{x-1}"),
    ("7:00 PM", "7:00 pm"), ("-0", "0"), ("+5", "5"), ("0.50", "0.5"),
    ("(x+1)^{99999}", "(x+1)^{99999}"), (r"\frac{1}{0}", r"\frac{1}{0}"),
    ("x^2y^2z^2", "z^2x^2y^2"), ("a^2+b^2=c^2", "c^2=a^2+b^2"), ("3^{x+1}", r"3\cdot3^x"),
    ("2^{100}+1", "2^{100}+1"), (r"\binom{100}{50}", r"\binom{100}{50}"), ("50!/48!", "2450"),
    ("10^{100}", "1" + "0" * 100),
    ("10^{21}", "1000000000000000000000"), ("**Option B**", "B"), ("B) 5 cm", "B"),
    (r"\textbf{(B) }5", "B"), ("(b)", "B"), (r"\left\{100,200\right\}", r"\{200,100\}"),
    ("(−1, 2)", "(-1,2)"), ("{1,2,3}", r"\{3,2,1\}"), ("x=1, y=2", "y=2, x=1"),
    ("(a,b)=(1,2)", "(1,2)"), ("(1{,}000, 2)", "(1000,2)"), ("(0.5, 1)", "(1/2,1)"),
    ("10,100", "10100"), ("12.5%", "12.5"), (r"\frac{1}{2}\%", "0.5"), ("50 per cent", "50%"),
    ("1.0e-5", "0.00001"), (r"3.2 \cdot 10^{-19}", "3.2e-19"), (r"1\frac{1}{4}", "1.25"),
    ("-2 1/2", "-2.5"), ("3 ½", "3.5"), ("1 1/4 cups", "1.25"), ("1 1/4 cups", "1.25 cups"),
    ("2 1/3", "7/3"), ("12 3/4", "51/4"), ("North", "NORTH"), ("no solution", "No Solution"),
    (r"\text{no real solutions}", "No real solutions."), ("Yes!", "yes"), ('"yes"', "yes"),
    (r"5\text{cm}", "5 cm"), (r"5 \mathrm{~cm}", "5 cm"), (r"5\ \text{cm}", "5"),
    (r"5\,cm", "5 cm"), (r"60^{\circ}\text{C}", "60 degrees Celsius"), (r"\$5.00", "5"),
    ("5 USD", "$5"), ("20 mph", "20 miles/hour"), ("5 m/s", r"5 \text{ m/s}"),
    ("3:30 pm", "3:30 PM"), ("5 sq. ft", "5 square feet"), ("2 hours", "120 minutes"),
    ("50 cents", "$0.50"), ("5 kg", "5000 g"), ("180miles", "180"), ("120degrees", "120"),
    ("3inches", "3"), ("12 eggs", "12"), ("£5", "5"), ("x²+1", "x^2+1"), ("2³", "8"),
    ("１／２", "1/2"), ("3×10⁵", "300000"), ("√(x+1)", r"\sqrt{x+1}"), ("√x", r"\sqrt{x}"),
    ("∛8", "2"), ("π/2", r"\frac{\pi}{2}"), ("5°", "5"), ("x≠0", r"x \ne 0"), ("“yes”", "yes"),
    ("−½", "-1/2"), ("∅", r"\emptyset"), ("α+1", r"\alpha+1"), ("x ∈ ℝ", r"\mathbb{R}"),
    ("2⋅3", "6"), ("½x", "x/2"), ("–½", "-0.5"), ("３．５", "3.5"), ("x₁+x₂", "x_1+x_2"),
    ("√ 2", r"\sqrt 2"), ("2√2", "√8"), (r"\sqrt{1/2}", "√½"), ("1.5E+3", "1500"),
    ("-1e-05", "-0.00001"), ("1.", "1"), ("1e0", "1"), ("0.1e1", "1"),
    ("1e+16", "10000000000000000"), ("2.0", "2"), ("0.1", "0.10000000000000001"),
    ("1e-7", "0.0000001"), ("1E5", "100000"), ("6.0221e23", r"6.0221 \times 10^{23}"),
    ("1e-05", "1e-5"), ("100000.0", "1e5"), (r"h^{-1}(x)=\frac{x+5}{6}", r"\frac{x+5}{6}"),
    (r"\angle A=120", "120"), ("AB = 5", "5"), (r"125\textnormal{}", "125"),
    (r"\frac{\pi}{6}+k\pi", r"\frac{\pi}{6}+\pi k"), ("A,B,C", "C,B,A"), ("A and C", "A, C"),
    (r"0^\circ", "0"), ("i^2", "-1"), (r"e^{i\pi}", "-1"), ("|-3|", "3"),
    (r"\lfloor 3.7 \rfloor", "3"), (r"\sqrt{16}", "4"), ("4^{1/2}", "2"),
    (r"8^{\frac{1}{3}}", "2"), (r"\frac{0}{5}", "0"), ("(2)", "2"), ("2,", "2"), ("2;3", "2,3"),
    (r"\dfrac{-3}{4}", r"-\frac34"), (r"-\frac{3}{-4}", "3/4"),
    (r"\left(-\infty, 3\right]", r"(-\infty,3]"), ("3 < x < 5", "3<x<5"), (r"\sin(x)", r"\sin x"),
    (r"\tan^{-1}(1)", r"\frac{\pi}{4}"), (r"\log_{10}(100)", "2"),
    (r"\frac{1}{\sqrt{2}+1}", r"\sqrt{2}-1"), (r"(1+\sqrt5)/2", r"\frac{1+\sqrt{5}}{2}"),
    (r"5\sqrt{2}\text{ cm}", r"5\sqrt2"), (r"\pi r^2", r"r^2\pi"),
    (r"2\pi\text{ units}", r"2\pi"), (r"1,2,3,\ldots", r"1,2,3,\ldots"),
    (r"\text{Jan 1}", "jan 1"),
]  # fmt: skip
DIFFERENT = [
    ("x^4+x^2+1", "x^4+x^2+2"), ("(12,144)", "12144"), ("(100,200)", "(200,100)"), ("50", "0.5"),
    (r"5\%", "0.05"), (r"1.6\times10^{-19}", r"9.1\times10^{-31}"),
    (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}"), ("1 1/4", "11/4"), ("2 3", "23"),
    (r"5\text{ cm}", r"5 \text{ km}"), (r"10\text{ am}", r"10\text{ pm}"), ("€12", r"\$12"),
    ("x^{10}-1", "x^{10}+1"), ("30!", "29!"), ("2^{5000}", "2^{5001}"),
    ("3^{100000}", "3^{100001}"), ("100!-1", "100!-2"), ("10^{30}", "10^{31}"),
    ("1111111111111111111111111111111111111111", "1111111111111111111111111111111111111112"),
    ("A", "B"), ("(3,5)", "3,5"), ("(1,234)", "1234"), ("[1,2]", "(1,2)"), ("(1,2,3)", "(3,2,1)"),
    ("(2,500)", "2500"), ("[10,000]", "10000"), ("1,2,3", "123"), ("12,34", "1234"),
    ("0.25", r"25\%"), ("50", "1/2"), ("0.0000000001", "0.0000000002"),
    (r"\frac{1}{10^{50}}", r"\frac{1}{10^{51}}"), ("1e-300", "2e-300"), ("1e-400", "2e-400"),
    ("3 1/2", "31/2"), ("11/2", "1 1/2"), ("4 5", "45"), ("1 2 3", "123"), ("Alice", "Bob"),
    (r"\text{yes}", "no"), (r"3\text{ m}", r"3 \text{ km}"), (r"3\text{ m}^2", r"3 \text{ m}^3"),
    ("5 kg", "5 g"), ("8 am", "8 p.m."), ("10:30 am", "10:30 pm"), ("£15", "$15"),
    ("12 apples", "12 oranges"), ("1/3", "0.333333"), ("1/3", "0.33"), ("22/7", r"\pi"),
    ("3.14", r"\pi"), ("x>5", "x<5"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"), ("a", "A"),
    ("x", "y"), ("e", "2.718281828"), ("i", "1"), ("x^2+C", "x^2+c"), ("10101_2", "10101"),
    ("5x", "5y"), ("1 000", "1000"), (r"\overline{AB}", r"\overline{BA}"), ("about 5", "5"),
    (r"\infty", "infinity"), ("|x|", "x"), (r"\sqrt{x^2}", "x"), ("1.5", "1,5"),
    ("7^{2023}", "7^{2024}"), ("2^{100}+1", "2^{100}+2"), ("b", "B"), ("[1,2)", "[1,2]"),
    ("x=1, y=2", "x=2, y=1"), ("(1000,2)", "(10002)"), ("(10,100)", "10100"), ("100%", "1"),
    (r"50\%", r"\frac12"), ("0.05", "5"), ("1e-20", "0"), ("10^{-30}", "10^{-31}"),
    ("0.0000001", "0"), ("2 1/3", "21/3"), ("left", "right"), ("YES", "no"),
    (r"\text{(even)}", "even"), ("5 m/s", "5 km/h"), ("3:30 pm", "3:30 am"), ("5 lb", "5 kg"),
    ("12 eggs", "13"), ("$5 per hour", "$5"), ("3 people", "3 persons"), ("5—3", "5-3"),
    ("٣٫٥", "3.5"), ("∞", "inf"), ("1:2", "1/2"), ("ABC", "CBA"), (r"\frac{2}{3}", "0.667"),
    ("0.667", "0.6667"), ("[2]", "2"), (r"\text{A}", "a"), (r"(-\infty,3)", r"(-\infty,3]"),
    ("0,123", "123"), ("0,500", "500"), ("0,5", "0.5"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_answer_are_one_class(one: str, other: str) -> None:
    assert partition([one, other]).tolist() == partition([other, one]).tolist() == [0, 0]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_answers_that_differ_are_two_classes(one: str, other: str) -> None:
    assert partition([one, other]).tolist() == partition([other, one]).tolist() == [0, 1]


def test_a_spelling_never_joins_two_answers_that_differ() -> None:
    assert partition(["5%", "5", "0.05"]).tolist() == [0, 0, 1]
    assert partition(["1/3", "0.333333", "333333/1000000"]).tolist() == [0, 1, 1]
    assert partition(["5", "5 cm", "5 km"]).tolist() == [0, 1, 2]
    assert partition(["5", "5 cm", "5 centimeters"]).tolist() == [0, 0, 0]
    assert partition(["1", "100 cm", "1 m"]).tolist() == [0, 1, 1]


_NUMBERS = st.builds(
    lambda top, bottom, how: how.format(a=top, b=bottom, v=top / bottom),
    st.integers(-30, 30), st.sampled_from([1, 2, 4, 5, 8, 10]),
    st.sampled_from([r"\frac{{{a}}}{{{b}}}", "{a}/{b}", "{v}", "{v:e}", "{v} cm", "{v}%", "${v}$",
                     r"x = {a} / {b}", r"\left( {a}, {b} \right)", "{a},{b}", r"{a}x + {b}",
                     r"{a} \sqrt{{{b}}}", "{a} apples", r"{a}\text{{ km}}"]),
)  # fmt: skip
_TEXTS = st.text(st.sampled_from([*"0123456789x+-*/^!(){}[]\\,.$%= ½√π"]), min_size=1, max_size=12)
_WORDS = st.sampled_from(["A", "(A)", "a", "yes", "YES", "None", "", "9^{9^9}", "2^{2024}", "20!"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_NUMBERS, _TEXTS, _WORDS, st.none()), max_size=10))
def test_the_partition_is_an_equivalence_whatever_else_is_answered(
    answers: list[str | None],
) -> None:
    whole, size = partition(answers), len(answers)
    order = np.random.default_rng(size).permutation(size)
    more = partition([*(answers[i] for i in order), *answers])  # another order, and duplicates
    back = more[:size][np.argsort(order)]
    np.testing.assert_array_equal(back, more[size:])
    np.testing.assert_array_equal(whole[:, None] == whole, back[:, None] == back)
    keys = [canonical(answer) for answer in answers]
    for i, j in zip(*np.triu_indices(size), strict=True):
        assert (whole[i] == UNGRADABLE) == (keys[i] is None)
        if keys[i] == keys[j]:  # what is the same by itself is the same in company
            assert whole[i] == whole[j]


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda inner: st.builds(
            "({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner
        ),
        max_leaves=8,
    )
)
def test_arithmetic_agrees_with_python(text: str) -> None:
    exact = re.sub(r"\d+", r"Fraction(\g<0>)", text)
    try:
        wanted = eval(exact, {"Fraction": Fraction})
    except ZeroDivisionError:
        wanted = None
    assert value_of(text) == wanted
