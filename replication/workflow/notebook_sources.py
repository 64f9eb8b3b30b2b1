"""Which modules of the checkout a notebook uses, directly or through others.

Found by reading the source, not by running it; imports inside functions count. ``make`` reads
the result, so that a change runs only the notebooks it can reach.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepprune_core import HOMES

ROOT = Path(__file__).parents[2]
CORE = "deepprune_core"
PACKAGES = (CORE, "replication")


def notebook_code(notebook: Any) -> str:
    """Return the code of all code cells; lines for the shell or for IPython are blanked."""
    cells = (cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    lines = [line for source in cells for line in source.splitlines()]
    return "\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in lines)


def module_file(name: str, root: Path = ROOT) -> Path | None:
    """Return the file of a module of either package, None if there is none of that name.

    >>> module_file("deepprune_core.traces").name
    'traces.py'
    """
    path = root.joinpath(*name.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _statements(code: str) -> Iterator[ast.AST]:
    """Yield all nodes of the code but those that only a type checker reads."""
    waiting: deque[ast.AST] = deque([ast.parse(code)])
    while waiting:
        node = waiting.popleft()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _named(node: ast.ImportFrom, root: Path) -> Iterator[str]:
    """Yield the modules that ``from a import b, c`` needs."""
    for alias in node.names:
        name = f"{node.module}.{alias.name}"
        if module_file(name, root):
            yield name
        elif node.module == CORE and alias.name in HOMES:
            yield f"{CORE}.{HOMES[alias.name]}"
        elif node.module:
            yield node.module


def imported_modules(code: str, root: Path = ROOT) -> Iterator[str]:
    """Yield the names of both packages' modules that the code imports, at any depth of nesting.

    A name that the core offers at its top counts as its module. Imports for type checkers
    do not count.
    """
    for node in _statements(code):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = list(_named(node, root))
        else:
            continue
        yield from (n for n in names if n.split(".")[0] in PACKAGES and module_file(n, root))


def sources(code: str, root: Path = ROOT) -> tuple[Path, ...]:
    """Return the files of all modules that the code needs, sorted, relative to ``root``."""
    waiting, seen = list(imported_modules(code, root)), set[str]()
    while waiting:
        name = waiting.pop()
        file = module_file(name, root)
        if name in seen or file is None:
            continue
        seen.add(name)
        waiting += imported_modules(file.read_text(encoding="utf-8"), root)
        waiting += [name.rpartition(".")[0]] if "." in name else []
    files = {file.relative_to(root) for name in seen if (file := module_file(name, root))}
    return tuple(sorted(files))


def make_rule(target: Path, files: tuple[Path, ...]) -> str:
    """Return a make rule: the target needs the files, and a file that is gone is no error."""
    needs = " ".join(file.as_posix() for file in files)
    gone_is_fine = "".join(f"{file.as_posix()}:\n" for file in files)
    return f"{target.as_posix()}: {needs}\n{gone_is_fine}"
