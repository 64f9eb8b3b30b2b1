"""Say what is about to run and how long it took last time.

``make --dry-run figures | python -m replication.workflow.announce --build build/mini``
reads the commands that make would run. A notebook's seconds are those of its last run, which
:mod:`run_notebook` keeps beside the executed copy.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

TRACES_VARIABLE = "DEEPPRUNE_TRACES"  # set by make for PROFILE=replay
_COMMAND = re.compile(r"workflow\.run_notebook (\S+\.ipynb)")


def seconds_file(build: Path, notebook: Path) -> Path:
    """Return the file that holds the seconds of a notebook's last run."""
    return build / f"{notebook.stem.split('_')[0]}.seconds"


def last_seconds(build: Path, notebook: Path) -> float | None:
    """Return the seconds of a notebook's last run; None if there was none."""
    try:
        return float(seconds_file(build, notebook).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def announcement(commands: Iterable[str], build: Path) -> str:
    """Return one line on the notebooks that the commands run; empty if they run none."""
    notebooks = [Path(m[1]) for line in commands if (m := _COMMAND.search(line))]
    if not notebooks:
        return ""
    known = [last_seconds(build, notebook) for notebook in notebooks]
    timed = [seconds for seconds in known if seconds is not None]
    count = f"{len(notebooks)} notebook{'s' if len(notebooks) > 1 else ''} to run"
    if not timed:
        return f"{count}; no times from an earlier run (the README says what to expect)"
    total = sum(timed)
    about = f"{total / 60:.0f} min" if total >= 90 else f"{total:.0f} s"
    missing = len(notebooks) - len(timed)
    return f"{count}; last time {about}" + (f", {missing} of them without one" if missing else "")


def main(arguments: list[str] | None = None) -> None:
    """Print which notebooks are about to run and how long they took last time.

    Of a user's own trace file also what was read in it; one that cannot be read ends make here.
    """
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.announce", description=main.__doc__
    )
    parser.add_argument("--build", required=True, type=Path, help="folder of executed copies")
    options = parser.parse_args(arguments)
    if path := os.environ.get(TRACES_VARIABLE):
        from deepprune_core.formats.trace_files import TraceFileError, read_with_report

        try:
            traces, report = read_with_report(path)
        except TraceFileError as error:
            sys.exit(str(error))
        print(f"read {report.line(path, traces)}")
    if line := announcement(sys.stdin, options.build):
        print(line)


if __name__ == "__main__":
    main()
