"""Tables as data: written as CSV, Markdown and LaTeX, the same bytes every time."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

NOTHING = "–"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "τ": r"$\tau$", "η": r"$\eta$", "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "×": r"$\times$",
    "±": r"$\pm$", "−": r"$-$", "\u202f": r"\,", "∞": r"$\infty$", "→": r"$\to$", "α": r"$\alpha$",
    "γ": r"$\gamma$", "…": r"\ldots{}",
}  # fmt: skip


def write_atomically(path: Path, text: str | bytes) -> Path:
    """Write a file under a temporary name, then move it in place; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fresh.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


Cell = str | float | int | None


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
        """Return the table as CSV with a header line."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.cells())
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
