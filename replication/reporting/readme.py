"""Write a run's tables into README.md and other pages: ``python -m replication.reporting.readme``.

A page holds marks such as ``<!-- table1:start -->`` and ``<!-- table1:end -->``. What
stands between them is replaced by the table (or note) of that name; ``real/table1`` is that of
another run, ``figures/real``. ``brief`` is the summary of the findings.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from deepprune_core.formats.files import write_atomically
from replication.reporting.evidence import RunTables
from replication.reporting.findings import brief

_BLOCK = re.compile(r"<!-- ([\w/-]+):start -->\n.*?<!-- \1:end -->", re.DOTALL)


def filled(text: str, figures: Path) -> str:
    """Return a page's text with every marked block taken from ``figures``.

    Raises:
        FileNotFoundError: a block names a table that the run did not make.
    """

    def block(match: re.Match[str]) -> str:
        name = match[1]
        if name == "brief":
            runs = [RunTables(Path("figures/small")), RunTables(figures, "mini")]
            return f"<!-- {name}:start -->\n{brief(runs)}\n<!-- {name}:end -->"
        *run, artifact = name.split("/")
        folder = Path("figures", *run) if run else figures
        note = artifact.startswith("note-")
        path = folder / (f"notes/{artifact[5:]}.md" if note else f"{artifact}.md")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: not there; run `make reproduce` first")
        body = path.read_text(encoding="utf-8").strip()
        return f"<!-- {name}:start -->\n{body}\n<!-- {name}:end -->"

    return _BLOCK.sub(block, text)


def main(arguments: list[str] | None = None) -> int:
    """Fill the marked blocks of pages, or check that they hold what the run made."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.reporting.readme", description=main.__doc__
    )
    parser.add_argument("--figures", type=Path, default=Path("figures/mini"), help="a run's folder")
    parser.add_argument("--readme", type=Path, nargs="+", default=[Path("README.md")])
    parser.add_argument("--check", action="store_true", help="change nothing; fail if they differ")
    parser.add_argument(
        "--except", nargs="*", default=[], dest="ignored", metavar="BLOCK",
        help="blocks that --check leaves out, such as live: a live engine repeats in "
        "distribution only",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    texts = {path: path.read_text(encoding="utf-8") for path in options.readme}
    try:
        after = {path: filled(text, options.figures) for path, text in texts.items()}
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if not options.check:
        for path, text in after.items():
            write_atomically(path, text)
        return 0
    faults = 0
    for path, text in texts.items():
        pairs = zip(_BLOCK.finditer(text), _BLOCK.finditer(after[path]), strict=True)
        wrong = [a[1] for a, b in pairs if a[0] != b[0] and a[1] not in options.ignored]
        if wrong:
            print(f"{path}: {', '.join(wrong)} differ from {options.figures}; run `make readme`",
                  file=sys.stderr)  # fmt: skip
        faults += len(wrong)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
