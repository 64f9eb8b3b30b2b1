from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting.tables import Estimate, Table, latex, read_cells, write_table

BUSY = Table(
    "busy",
    "100 % of cons@N & τ ≥ 0.5",
    ("method_name", "a|b", "x"),
    (("DeepPrune – net", 0.70149, None), ("50 % & a|b", 3, "0.701 [0.65, 0.74]")),
    ("N: 1\u202f234 pairs_",),
)


def test_floats_have_three_digits_and_nothing_is_a_dash() -> None:
    assert BUSY.cells()[0] == ["DeepPrune – net", "0.701", "–"]


def test_a_row_of_the_wrong_length_is_refused_by_its_number() -> None:
    with pytest.raises(ValueError, match="expected 2 cells in row 1, got 1"):
        Table("t", "c", ("a", "b"), ((1, 2), (3,)))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs", "Cc"]))] * 2), max_size=4)
)
def test_csv_reads_back_as_what_was_written(rows: list[tuple[str, str]]) -> None:
    table = Table("t", "c", ("a", "b"), tuple(rows))
    read = list(csv.reader(io.StringIO(table.to_csv(), newline="")))
    assert read == [["a", "b"], *map(list, rows)]


def test_an_estimate_takes_three_columns_and_reads_back(tmp_path: Path) -> None:
    rows = (("a", Estimate("0.853", "0.800", "0.900")), ("b", None))
    write_table(Table("t", "c", ("name", "AUROC"), rows), tmp_path)
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "name,AUROC,\"AUROC, low\",\"AUROC, high\"", "a,0.853,0.800,0.900", "b,–,,",
    ]  # fmt: skip
    columns, (first, second) = read_cells(tmp_path / "t.csv")
    assert columns == ("name", "AUROC") and second == ("b", "–")
    assert first[1] == "0.853 [0.800, 0.900]"
    assert isinstance(first[1], Estimate) and first[1].parts == ("0.853", "0.800", "0.900")


def test_every_markdown_row_has_the_same_bars() -> None:
    lines = [line for line in BUSY.to_markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert len({len(line) for line in lines}) == 1


def test_latex_is_ascii_with_every_special_character_escaped() -> None:
    text = BUSY.to_latex()
    assert text.isascii()
    assert not re.search(r"(?<!\\)%", text)
    assert r"100 \% of cons@N \& $\tau$ $\geq$ 0.5" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [2, 2, 2]
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_a_backslash_is_escaped_once() -> None:
    assert latex(r"\boxed{1}_~^#$") == (
        r"\textbackslash{}boxed\{1\}\_\textasciitilde{}\textasciicircum{}\#\$"
    )


def test_files_are_the_same_bytes_when_repeated(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        write_table(BUSY, tmp_path / folder)
    for suffix in ("csv", "md"):
        first, second = (tmp_path / f / f"busy.{suffix}" for f in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_writing_makes_the_folder_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "a" / "b.txt", "τ")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomically(tmp_path / "a.txt", "old")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, "new")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
