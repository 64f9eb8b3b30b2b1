"""Execute one notebook: ``python -m replication.workflow.run_notebook 01_x.ipynb ...``.

A notebook receives two strings, ``profile`` and ``out``. The executed copy is whole or absent,
and the stamp that ``make`` looks at is written last.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import time
from pathlib import Path
from typing import Any

from deepprune_core.engines.trace_log import sole_writer
from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting.report import NOTEBOOKS
from replication.workflow.announce import last_seconds, seconds_file
from replication.workflow.notebook_sources import ROOT, make_rule, notebook_code, sources

PARAMETERS = ("profile", "out")
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
    "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the same name at home
}


class NotebookError(RuntimeError):
    """A notebook that cannot be run or that failed; one line with notebook, place and reason."""


def defined_parameters(notebook: Any) -> tuple[str, ...]:
    """Return the names that the cell tagged ``parameters`` assigns, in order.

    Raises:
        NotebookError: there is not exactly one such cell.
    """
    tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise NotebookError(f"expected one cell tagged 'parameters', got {len(tagged)}; tag one")
    names: list[str] = []
    for node in ast.parse(tagged[0]["source"]).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return tuple(names)


def check_parameters(notebook: Any) -> None:
    """Accept a notebook that defines exactly ``profile`` and ``out``.

    papermill only warns about a parameter that it does not know; here it is an error.

    Raises:
        NotebookError: another set of names.
    """
    names = defined_parameters(notebook)
    if sorted(names) != sorted(PARAMETERS):
        raise NotebookError(
            f"expected the parameters {', '.join(PARAMETERS)}, got {', '.join(names) or 'none'}; "
            "change the cell tagged 'parameters'"
        )


def stopped_at(executed: Any) -> int | None:
    """Return the number of the last cell that was begun, counted from 1 as in the source.

    Cells that papermill put in do not count. None if no cell was begun. Not the cell marked as
    failed: papermill marks none when the kernel dies.
    """
    added = {"injected-parameters", "papermill-error-cell-tag"}
    cells = [c for c in executed["cells"] if not added & set(c["metadata"].get("tags", []))]
    states = [cell["metadata"].get("papermill", {}).get("status", "pending") for cell in cells]
    return max((i for i, state in enumerate(states, 1) if state != "pending"), default=None)


def set_environment() -> None:
    """Set what the kernel inherits: no hub, a fixed hash seed, no windows."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.update(ENVIRONMENT)


def _failure(notebook: Path, kept: Path, error: Exception) -> NotebookError:
    import nbformat

    where = ""
    if kept.is_file():
        number = stopped_at(nbformat.read(kept, as_version=4))
        where = "" if number is None else f"cell {number}: "
    name, value = getattr(error, "ename", ""), getattr(error, "evalue", "")
    if not name:
        name, value = type(error).__name__, str(error)
    reason = next((line for line in str(value).splitlines() if line.strip()), "")
    see = f" (see {kept})" if kept.is_file() else ""
    return NotebookError(f"{where}{name}: {reason}{see}")


def run_notebook(notebook: Path, *, profile: str, out: str, build: Path, root: Path = ROOT) -> Path:
    """Return the executed copy of a notebook, ``<build>/<name>.ipynb``.

    Also writes ``<out>/notebooks/<name>.html``, ``<build>/NN.d`` (the modules it depends on, for
    make) and, last, the stamp ``<build>/NN.done``. ``profile`` and ``out`` reach the notebook as
    they are; it runs in ``root``.

    Raises:
        NotebookError: wrong parameters, or a cell failed; the copy stays as
            ``<build>/<name>.failed.ipynb``.
    """
    import nbformat
    import papermill

    source = nbformat.read(notebook, as_version=4)
    check_parameters(source)
    build.mkdir(parents=True, exist_ok=True)
    stamp = build / f"{notebook.stem.split('_')[0]}.done"
    executed, failed = build / notebook.name, build / f"{notebook.stem}.failed.ipynb"
    running = build / f".{notebook.stem}.running.ipynb"
    for stale in (stamp, running, failed):
        stale.unlink(missing_ok=True)
    last = last_seconds(build, notebook)
    print(f"{notebook.name}: starts" + (f", last time {last:.0f} s" if last else ""), flush=True)
    started = time.monotonic()
    try:
        papermill.execute_notebook(
            notebook, running, {"profile": profile, "out": out},
            kernel_name="python3", language="python", cwd=root,
            stderr_file=sys.stderr,  # progress bars of long cells, as they move
            progress_bar=sys.stderr.isatty(),
            # Its sockets stay on this machine; each kernel warns that they are not encrypted.
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
        )  # fmt: skip
    except Exception as error:
        if getattr(error, "ename", "") != "LeftOut":
            if running.is_file():
                os.replace(running, failed)
            raise _failure(notebook, failed, error) from error
        print(f"{notebook.name}: left out: {getattr(error, 'evalue', '')}")
    os.replace(running, executed)
    write_page(executed, root / out / NOTEBOOKS)
    seconds = time.monotonic() - started
    print(f"{notebook.name}: {seconds:.0f} s", flush=True)
    write_atomically(seconds_file(build, notebook), f"{seconds:.1f}\n")
    needs = make_rule(stamp, sources(notebook_code(source), root))
    write_atomically(stamp.with_suffix(".d"), needs)
    write_atomically(stamp, f"{notebook.name}\n")
    return executed


def write_page(executed: Path, folder: Path) -> Path:
    """Write an executed notebook as a page, ``<folder>/<name>.html``, figures inside."""
    from nbconvert import HTMLExporter

    text, _ = HTMLExporter().from_filename(str(executed))
    return write_atomically(folder / f"{executed.stem}.html", text)


def main(arguments: list[str] | None = None) -> int:
    """Run one notebook with papermill; exit code 1 and one line on the error stream if it fails."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.run_notebook", description=main.__doc__,
        epilog="Writes <build>/<name>.ipynb, <build>/NN.d and, last, <build>/NN.done.",
    )  # fmt: skip
    parser.add_argument("notebook", type=Path, help="for example notebooks/01_redundancy.ipynb")
    parser.add_argument("--profile", required=True, help="YAML file, the notebook's `profile`")
    parser.add_argument("--out", required=True, help="folder of figures, the notebook's `out`")
    parser.add_argument("--build", required=True, type=Path, help="folder of the executed copy")
    options = parser.parse_args(arguments)
    for file in (options.notebook, Path(options.profile)):
        if not file.is_file():
            parser.error(f"{file}: no such file")
    set_environment()
    try:
        with sole_writer(options.build / f".{options.notebook.stem}.lock"):
            run_notebook(
                options.notebook, profile=options.profile, out=options.out, build=options.build
            )
    except (NotebookError, BlockingIOError) as error:
        print(f"{options.notebook}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
