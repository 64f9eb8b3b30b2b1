"""Tables as data: written as CSV, Markdown and LaTeX, the same bytes every time."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from deepprune_core.formats.files import write_atomically

NOTHING = "–"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "τ": r"$\tau$", "η": r"$\eta$", "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "×": r"$\times$",
    "±": r"$\pm$", "−": r"$-$", "\u202f": r"\,", "∞": r"$\infty$", "→": r"$\to$", "α": r"$\alpha$",
    "γ": r"$\gamma$", "…": r"\ldots{}",
}  # fmt: skip


class Estimate(str):
    """A number with its interval as a cell shows it, ``0.853 [0.800, 0.900]``.

    A CSV file holds its three numbers in columns of their own.
    """

    parts: tuple[str, str, str]

    def __new__(cls, value: str, low: str, high: str) -> Estimate:
        """Take the numbers as they are to be written."""
        made = super().__new__(cls, f"{value} [{low}, {high}]")
        made.parts = (value, low, high)
        return made


Cell = str | float | int | None
LOW, HIGH = ", low", ", high"  # what a column's name gets where it holds an interval's ends


@dataclass(frozen=True)
class Table:
    """A table; ``notes`` follow it as lines. Floats are shown with three digits.

    Raises:
        ValueError: a row's length differs from the number of columns.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"{self.name}: expected {len(self.columns)} cells in row {i}, got {len(row)}"
                )

    def cells(self) -> list[list[str]]:
        """Return all rows as text."""
        return [[show(cell) for cell in row] for row in self.rows]

    def to_csv(self) -> str:
        """Return the table as CSV with a header line; an estimate takes three columns."""
        columns = []
        for i, name in enumerate(self.columns):
            cells = [row[i] for row in self.rows]
            if any(isinstance(cell, Estimate) for cell in cells):
                three = [c.parts if isinstance(c, Estimate) else (show(c), "", "") for c in cells]
                ends = zip(*three, strict=True)
                columns += [(name + end, *e) for end, e in zip(("", LOW, HIGH), ends, strict=True)]
            else:
                columns.append((name, *map(show, cells)))
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(zip(*columns, strict=True))
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """Return caption, table and notes as Markdown; columns are padded to line up."""
        head, *rows = ([c.replace("|", "\\|") for c in r] for r in (self.columns, *self.cells()))
        wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

        def line(cells: list[str]) -> str:
            padded = (cell.ljust(width) for cell, width in zip(cells, wide, strict=True))
            return f"| {' | '.join(padded)} |"

        rule = "|" + "|".join("-" * (width + 2) for width in wide) + "|"
        body = [line(head), rule, *map(line, rows)]
        notes = [f"\n{note}" for note in self.notes]
        return "\n".join([f"**{self.caption}**\n", *body, *notes]) + "\n"

    def to_latex(self) -> str:
        """Return a ``table`` environment for the booktabs package."""
        body = [" & ".join(map(latex, row)) + r" \\" for row in self.cells()]
        lines = [
            r"\begin{table}[t]", r"\centering", rf"\caption{{{latex(self.caption)}}}",
            rf"\label{{tab:{self.name}}}", rf"\begin{{tabular}}{{{'l' * len(self.columns)}}}",
            r"\toprule", " & ".join(map(latex, self.columns)) + r" \\", r"\midrule", *body,
            r"\bottomrule", r"\end{tabular}", *(rf"\\ {{\small {latex(n)}}}" for n in self.notes),
            r"\end{table}",
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()


def read_cells(path: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return columns and rows of a table's CSV file, estimates put together again.

    Raises:
        ValueError: the file is empty, or a row's length differs from the header's.
    """
    with path.open(encoding="utf-8", newline="") as file:
        lines = [tuple(line) for line in csv.reader(file)]
    if not lines:
        raise ValueError(f"{path}: expected a header line, got nothing; run its notebook again")
    names, *rows = lines
    for i, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(
                f"{path}: expected {len(names)} cells in row {i}, got {len(row)}; "
                "run its notebook again"
            )
    columns, found, i = list(zip(*lines, strict=True)), [], 0
    while i < len(columns):
        name, *cells = columns[i]
        if names[i + 1 : i + 3] == (name + LOW, name + HIGH):
            three = zip(cells, columns[i + 1][1:], columns[i + 2][1:], strict=True)
            cells, i = [Estimate(v, a, b) if a else v for v, a, b in three], i + 2
        found.append((name, *cells))
        i += 1
    header, *back = zip(*found, strict=True)
    return header, back


def show(cell: Cell) -> str:
    """Return a cell as text: floats with three digits, None as a dash."""
    if cell is None:
        return NOTHING
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def latex(text: str) -> str:
    """Return text with every special character as a LaTeX command."""
    return "".join(_LATEX.get(character, character) for character in text)


def write_table(table: Table, folder: Path) -> Table:
    """Write ``name.csv`` and ``name.md``; return the table, whose ``to_latex()`` has LaTeX."""
    write_atomically(folder / f"{table.name}.csv", table.to_csv())
    write_atomically(folder / f"{table.name}.md", table.to_markdown())
    return table
