"""The real Makefile with notebooks of our own: what a failure leaves, and what make then does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from replication.workflow.profile import ROOT

SHARED = (
    "Makefile", "deepprune_core", "replication", "requirements.lock", "requirements-vllm-cpu.txt",
)  # fmt: skip
WRITES = "from pathlib import Path\nPath(out).mkdir(parents=True, exist_ok=True)\n"


def write_notebook(path: Path, code: str) -> None:
    parameters = new_code_cell('profile = ""\nout = ""', metadata={"tags": ["parameters"]})
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(WRITES + code)]), path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    if shutil.which("make") is None or not (Path(sys.prefix) / ".installed").is_file():
        pytest.skip("needs make and the environment that it made")
    for name in SHARED:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def make(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = (f"BUILD={project}/build/x", f"FIGURES={project}/figures/x")
    return subprocess.run(
        ["make", "PROFILE=mini", *arguments, *places],  # it needs no models; a later one counts
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_failing_cell_is_named_and_make_k_finishes_the_rest(project: Path) -> None:
    first, second = (project / "notebooks" / name for name in ("01_bad.ipynb", "02_good.ipynb"))
    write_notebook(first, "Path(out, 'a.txt').write_text('half')\nraise ValueError('no luck')")
    write_notebook(second, "Path(out, 'b.txt').write_text('whole')")
    found = make(project, "-k", "figures")
    build = project / "build" / "x"
    assert found.returncode != 0
    assert any(
        "01_bad.ipynb: cell 2: ValueError: no luck" in line
        for line in (found.stdout + found.stderr).splitlines()[-6:]
    )
    assert not (build / "01.done").exists() and (build / "01_bad.failed.ipynb").is_file()
    assert (build / "02.done").is_file()

    done = (build / "02.done").stat().st_mtime_ns
    write_notebook(first, "Path(out, 'a.txt').write_text('whole')")
    found = make(project, "figures")
    assert found.returncode == 0, found.stderr
    assert (project / "figures" / "x" / "a.txt").read_text() == "whole"
    assert (build / "02.done").stat().st_mtime_ns == done  # not run again
    assert not (build / "01_bad.failed.ipynb").exists()


def test_a_kernel_that_dies_is_a_failure_too(project: Path) -> None:
    write_notebook(project / "notebooks" / "01_dies.ipynb", "import os\nos._exit(9)")
    found = make(project, "figures")
    assert found.returncode != 0 and "01_dies.ipynb: cell 2: DeadKernelError" in found.stderr
    assert not (project / "build" / "x" / "01.done").exists()


@pytest.mark.parametrize(
    ("profile", "touched", "stale"),
    [
        ("real", "data/real/scores/a.parquet", True),
        ("real", "data/real/judges/one/manifest.json", True),
        ("real", "data/miniature/judges/one/manifest.json", False),
        ("real", "data/thinking/scores/a.parquet", False),
        ("thinking", "data/thinking/scores/a.parquet", True),
        ("thinking", "data/real/scores/a.parquet", False),
        ("mini", "data/miniature/judges/one/manifest.json", True),
        ("mini", "data/real/scores/a.parquet", False),
        ("mini", "data/paper_reference.yaml", True),
    ],
)
def test_each_profile_depends_on_its_own_data(
    project: Path, profile: str, touched: str, stale: bool
) -> None:
    write_notebook(project / "notebooks" / "01_good.ipynb", "")
    for room in ("real", "thinking", "miniature"):
        for name in ("scores/a.parquet", "judges/one/manifest.json"):
            place = project / "data" / room / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    for name in ("requirements-models.txt", "data/paper_reference.yaml",
                 "data/public_traces.yaml", "data/public/.done",
                 "build/models/smollm2/model.safetensors", "build/x/01.done"):  # fmt: skip
        place = project / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    asked = ("--question", "ANNOUNCED=1", f"PROFILE={profile}", "figures")
    assert make(project, *asked).returncode == 0
    assert make(project, f"--what-if={touched}", *asked).returncode == (1 if stale else 0)
