"""One self-contained HTML file from a run's figures, tables and notes.

``python -m deepprune_core.reporting.report FOLDER`` reads ``*.png``, ``*.csv`` with ``*.md``, and
``notes/NN.md`` with each ``notes/NN-name.md``. The page needs no server and no network: images
are inlined.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting import DRAWN_DPI
from deepprune_core.reporting.tables import read_cells

TEMPLATES = Path(__file__).parent / "templates"
LONG = 16  # a table of more rows is folded
PAGE_DPI = 115  # pixels of the page to an inch of a figure: two panels fill it
LEADS = ("known", "table2_figure")  # the first that is there stands on the first screen
# What a figure shows: its caption, and what is read out in its place.
CAPTIONS = {
    "figure2a": "Share of pairs of traces with the same answer, the paper's reasoners and ours "
    "(Figure 2a). A ring marks a sample that is not fair; the table says why.",
    "figure2bc": "Readers without training: false negative rate against true negative rate "
    "(Figures 2b and 2c), a mean over reasoners. The dashed line is at a false negative rate of "
    "0.2; the diamond on it is the paper's value.",
    "training": "How the judges learn: loss, and AUROC on questions that taught none of them.",
    "table1_figure": "Table 1: AUROC of each training, ours with its interval, the paper's beside "
    "it.",
    "table2_figure": "Table 2: tokens against the gain in accuracy over a plain vote of random "
    "traces that costs the same. Above the line a method is worth its judge.",
    "table2_many_figure": "The same with as many traces as are stored. The judge reads each "
    "prefix once.",
    "table3_figure": "Table 3: what the threshold does. Each point is a threshold.",
    "hero": "One question, chosen because it saves much: each bar is a trace, coloured by "
    "cluster; the pale part was never generated.",
    "traces": "Each bar is a trace, coloured by cluster; the pale part was not generated.",
    "figure4": "Figure 4: AUROC against the length of the prefix, and the paper's line.",
    "known": "What beginnings hold: AUROC within questions against the share of a trace that is "
    "read, from the floor (number overlap) to the ceiling of any judge, measured by letting each "
    "prefix's own reasoner go on many times.",
}
TERMS = (
    ("trace", "one sampled chain of thought with its answer"),
    ("prefix", "the beginning of a trace, up to the cut; it shows no answer"),
    ("pair", "two traces of one question; it is the same or different by their final answers"),
    ("judge", "a model that reads two prefixes and predicts whether the traces will agree"),
    ("survivors", "the traces that finish, one a cluster"),
    ("cons@N", "the plain majority vote of N finished traces"),
    ("AUROC", "how often a pair that agrees is scored above one that does not; chance is 0.5"),
    ("AUROC within questions", "the same among the pairs of one question, averaged: knowing which "
     "questions are easy does not help there"),
    ("TNR@0.2", "of the pairs that differ, the share kept apart when one in five of those that "
     "agree may be missed"),
    ("gross, net", "tokens that the reasoner generates; with the judge's own tokens added at their "
     "price"),
    ("τ", "the threshold: a trace joins a cluster when its mean score reaches it"),
    ("K2", "how many traces of the largest cluster finish and vote"),
)  # fmt: skip
NOTEBOOKS = "notebooks"  # the folder of a run's executed notebooks, as pages
NOT_MADE = "Nothing was made for this section."


class ReportError(ValueError):
    """A folder that gives no report; one line with the file and the fix."""


@dataclass(frozen=True)
class Section:
    """A section of the report: number NN, title, and the names of its artifacts in order."""

    number: str
    title: str
    artifacts: tuple[str, ...]


SECTIONS = (
    Section("01", "Redundancy between traces", ("figure2a", "redundancy")),
    Section("02", "SentenceBERT and zero-shot judges", ("figure2bc", "similarity")),
    Section("03", "Training the judge", ("training",)),
    Section(
        "04",
        "Table 1: the judge on unseen reasoners",
        (
            "table1",
            "table1_figure",
            "table1_paired",
            "table1_second",
            "table1_second_paired",
            "readers",
            "leakage",
            "leak_crossed",
        ),
    ),
    Section(
        "05",
        "Table 2: accuracy and tokens",
        ("table2", "table2_figure", "table2_paper", "control", "judge_costs", "live", "hero"),
    ),
    Section(
        "06",
        "Table 3: the threshold",
        ("table3", "table3_figure", "representatives", "representatives_once"),
    ),
    Section(
        "07",
        "Figure 4: truncation, and what can be known",
        ("figure4", "truncation", "known", "known_pruning"),
    ),
    Section(
        "08",
        "A judge that reads each prefix once",
        ("encode_once", "self_judge", "table2_many_figure", "table2_many", "control_many"),
    ),
)
# Files that no section claims are shown here, not dropped.
OTHER = Section("09", "Other results", ())


@dataclass(frozen=True)
class Picture:
    """A PNG file: its name, what it shows, its bytes in base64, its width on the page."""

    name: str
    caption: str
    base64: str
    width: int


@dataclass(frozen=True)
class ReportTable:
    """A table as read back from its CSV, with the caption and the notes of its Markdown."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    @property
    def long(self) -> bool:
        """Whether it is folded."""
        return len(self.rows) > LONG


@dataclass(frozen=True)
class First:
    """The first screen: what was run, claims with their verdicts, one figure, more numbers."""

    about: str
    findings: tuple[tuple[str, str, str], ...]
    lead: Picture | None = None
    claims: ReportTable | None = None


@dataclass(frozen=True)
class Filled:
    """A section with what was found for it."""

    number: str
    title: str
    paragraphs: tuple[str, ...]
    pictures: tuple[Picture, ...]
    tables: tuple[ReportTable, ...]
    notebook: str = ""  # the page of its executed notebook, from the report


def section_of(name: str, sections: Sequence[Section] = SECTIONS) -> tuple[Section, int]:
    """Return the section of an artifact and its place there.

    The longest artifact name that equals ``name``, or starts it up to an underscore, decides.

    >>> section_of("table2_paper")[0].number
    '05'
    >>> section_of("table20")[0].title
    'Other results'
    """
    found = [
        (len(artifact), section, place)
        for section in sections
        for place, artifact in enumerate(section.artifacts)
        if name == artifact or name.startswith(f"{artifact}_")
    ]
    if not found:
        return OTHER, 0
    _, section, place = max(found, key=lambda hit: hit[0])
    return section, place


def read_table(path: Path) -> ReportTable:
    """Return a table from ``name.csv``; caption and notes come from ``name.md`` if it is there.

    Raises:
        ReportError: the CSV file is empty, or a row's length differs from the header's.
    """
    try:
        columns, rows = read_cells(path)
    except ValueError as error:
        raise ReportError(str(error)) from None
    caption, notes = _caption_and_notes(path.with_suffix(".md"), path.stem)
    return ReportTable(path.stem, caption, columns, tuple(rows), notes)


def _caption_and_notes(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    if not path.is_file():
        return name, ()
    lines = path.read_text(encoding="utf-8").splitlines()
    caption = next((line.strip("* ") for line in lines if line.startswith("**")), name)
    last = max((i for i, line in enumerate(lines) if line.startswith("|")), default=len(lines))
    return caption, tuple(line for line in lines[last + 1 :] if line.strip())


def _notes(folder: Path, number: str) -> tuple[str, ...]:
    """Return the paragraphs of a section's notes: ``NN.md`` first, then each ``NN-name.md``."""
    notes = folder / "notes"
    paths = [notes / f"{number}.md", *sorted(notes.glob(f"{number}-*.md"))]
    blocks = [
        block
        for path in paths
        if path.is_file()
        for block in path.read_text(encoding="utf-8").split("\n\n")
    ]
    return tuple(" ".join(block.split()) for block in blocks if block.strip())


def fill(
    folder: Path, section: Section, sections: Sequence[Section] = SECTIONS, lead: str = ""
) -> Filled:
    """Return a section with its note, pictures and tables, in the order of its artifacts.

    A section without any of them says so. ``lead``: the picture that stands on the first screen.
    """

    def mine(suffix: str) -> list[Path]:
        places = {p: section_of(p.stem, sections) for p in folder.glob(f"*.{suffix}")}
        paths = [p for p, (found, _) in places.items() if found == section]
        return sorted(paths, key=lambda p: (places[p][1], p.stem))

    pictures = tuple(picture(path) for path in mine("png") if path.stem != lead)
    tables = tuple(map(read_table, mine("csv")))
    paragraphs = _notes(folder, section.number)
    if not (pictures or tables or paragraphs):
        paragraphs = (NOT_MADE,)
    pages = sorted((folder / NOTEBOOKS).glob(f"{section.number}_*.html"))
    notebook = f"{NOTEBOOKS}/{pages[0].name}" if pages else ""
    return Filled(section.number, section.title, paragraphs, pictures, tables, notebook)


def first_screen(folder: Path) -> First:
    """Return the first screen from ``headlines/``; empty where there are none.

    ``headlines/claims.csv`` holds the claims, each ``NN.jsonl`` a notebook's numbers.

    Raises:
        ReportError: a file of headlines cannot be read.
    """
    rows: list[tuple[str, str, str]] = []
    for path in sorted(folder.glob("headlines/*.jsonl")):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            rows += [(what, paper, ours) for what, paper, ours in map(json.loads, lines)]
        except ValueError as error:
            raise ReportError(f"{path}: {error}; run its notebook again") from None
    about = folder / "headlines" / "about.txt"
    told = about.read_text(encoding="utf-8").strip() if about.is_file() else ""
    leads = [folder / f"{name}.png" for name in LEADS]
    lead = next((picture(p) for p in leads if p.is_file()), None)
    claims = folder / "headlines" / "claims.csv"
    return First(told, tuple(rows), lead, read_table(claims) if claims.is_file() else None)


def picture(path: Path) -> Picture:
    """Return a PNG file ready to be put into the page."""
    kind = path.stem.rpartition("_")[2]
    caption = CAPTIONS.get(path.stem) or CAPTIONS.get(kind, path.stem)
    content = path.read_bytes()
    pixels = int.from_bytes(content[16:20], "big")  # where a PNG keeps it
    width = round(pixels * PAGE_DPI / DRAWN_DPI)
    return Picture(path.stem, caption, b64encode(content).decode("ascii"), width)


def marked(text: str) -> Markup:
    """Return text with its few marks as HTML: ``*so*`` and a word between backticks.

    >>> str(marked("*fast* & `make`"))
    '<em>fast</em> &amp; <code>make</code>'
    """
    safe = str(escape(text))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return Markup(re.sub(r"(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])", r"<em>\1</em>", safe))


def write_report(folder: Path, title: str, sections: Sequence[Section] = SECTIONS) -> Path:
    """Write ``report.html`` into the folder and return its path; the same files give same bytes.

    Files that none of ``sections`` claims go into a section of their own, the last.

    Raises:
        ReportError: the folder is not there, or a table in it cannot be read.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder}: expected a folder of figures, got none; run the notebooks")
    first = first_screen(folder)
    lead = first.lead.name if first.lead else ""
    filled = [fill(folder, section, sections, lead) for section in sections]
    other = fill(folder, OTHER, sections)
    if other.pictures or other.tables:
        filled.append(other)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["marked"] = marked
    page = environment.get_template("report.html").render(
        title=title, first=first, sections=filled, terms=TERMS
    )
    return write_atomically(folder / "report.html", page)


def main(arguments: list[str] | None = None) -> int:
    """Write the report of a folder; exit code 1 and one line on the error stream if it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m deepprune_core.reporting.report", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="folder of figures and tables")
    folder = parser.parse_args(arguments).folder
    try:
        write_report(folder, f"DeepPrune, replicated: {folder.name}")
    except ReportError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
