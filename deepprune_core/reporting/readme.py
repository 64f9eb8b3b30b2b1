"""Write a run's tables into the README: ``python -m deepprune_core.reporting.readme``.

The README holds marks such as ``<!-- table1:start -->`` and ``<!-- table1:end -->``. What
stands between them is replaced by the table (or note) of that name; ``real/table1`` is that of
another run, ``figures/real``.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from deepprune_core.reporting.tables import write_atomically

_BLOCK = re.compile(r"<!-- ([\w/-]+):start -->\n.*?<!-- \1:end -->", re.DOTALL)


def filled(text: str, figures: Path) -> str:
    """Return a README's text with every marked block taken from ``figures``.

    Raises:
        FileNotFoundError: a block names a table that the run did not make.
    """

    def block(match: re.Match[str]) -> str:
        name = match[1]
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
    """Fill the README's marked blocks, or check that they hold what the run made."""
    parser = argparse.ArgumentParser(
        prog="python -m deepprune_core.reporting.readme", description=main.__doc__
    )
    parser.add_argument("--figures", type=Path, default=Path("figures/mini"), help="a run's folder")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--check", action="store_true", help="change nothing; fail if they differ")
    parser.add_argument(
        "--except", nargs="*", default=[], dest="ignored", metavar="BLOCK",
        help="blocks that --check leaves out, such as live: a live engine repeats in "
        "distribution only",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    before = options.readme.read_text(encoding="utf-8")
    try:
        after = filled(before, options.figures)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if not options.check:
        write_atomically(options.readme, after)
        return 0
    wrong = [a[1] for a, b in zip(_BLOCK.finditer(before), _BLOCK.finditer(after), strict=True)
             if a[0] != b[0] and a[1] not in options.ignored]  # fmt: skip
    if wrong:
        print(f"{options.readme}: {', '.join(wrong)} differ from {options.figures}; run "
              "`make readme`", file=sys.stderr)  # fmt: skip
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
