"""The README's marked blocks, filled from a run; and what sentences rest on, in the tables."""

import re

import pytest

from replication.reporting.readme import main
from replication.workflow.profile import ROOT

TEXT = """a
<!-- table1:start -->
old
<!-- table1:end -->
b
<!-- note-05:start -->
<!-- note-05:end -->
"""


def run(tmp_path, *more):
    readme, figures = tmp_path / "README.md", tmp_path / "figures"
    if not readme.exists():
        readme.write_text(TEXT)
    (figures / "notes").mkdir(parents=True, exist_ok=True)
    return main(["--readme", str(readme), "--figures", str(figures), *more]), readme, figures


def test_blocks_take_the_runs_tables_and_notes(tmp_path):
    _, _, figures = run(tmp_path)
    (figures / "table1.md").write_text("| x |\n")
    (figures / "notes" / "05.md").write_text("Saved 80 %.\n")
    code, readme, _ = run(tmp_path)
    assert code == 0
    assert "| x |" in readme.read_text() and "Saved 80 %." in readme.read_text()
    assert readme.read_text().startswith("a\n") and "old" not in readme.read_text()
    assert run(tmp_path, "--check")[0] == 0
    (figures / "notes" / "05.md").write_text("Saved 70 %.\n")
    assert run(tmp_path, "--check")[0] == 1
    assert run(tmp_path, "--check", "--except", "note-05")[0] == 0


def test_a_missing_table_is_named_and_nothing_is_written(tmp_path, capsys):
    code, readme, _ = run(tmp_path)
    assert code == 1 and readme.read_text() == TEXT
    assert "table1.md" in capsys.readouterr().err


INTERVAL = re.compile(r"-?\d+(?:\.\d+)? \[-?\d+(?:\.\d+)?, -?\d+(?:\.\d+)?\]")
RUNS = sorted(path.parent.parent for path in (ROOT / "figures").glob("*/notes/01.md"))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_interval_in_a_sentence_stands_in_a_table_of_its_run(run):
    tables = {cell for path in run.glob("*.md") for cell in INTERVAL.findall(path.read_text())}
    notes = {path.name: INTERVAL.findall(path.read_text()) for path in run.glob("notes/*.md")}
    assert sum(map(len, notes.values())) > 5
    lonely = {name: set(found) - tables for name, found in notes.items()}
    assert {name: found for name, found in lonely.items() if found} == {}
