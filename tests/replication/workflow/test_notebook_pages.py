"""A notebook that ran, as a page beside the report, and the report's way to it."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from deepprune_core.reporting.report import NOTEBOOKS, write_report
from replication.workflow.run_notebook import write_page

PNG = b64encode(b"\x89PNG\r\n\x1a\n made up").decode("ascii")


def test_a_page_holds_code_words_and_pictures_and_the_report_leads_to_it(tmp_path: Path) -> None:
    drawn = new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure>"})
    cells = [new_markdown_cell("# Title"), new_code_cell("x = 1 < 2", outputs=[drawn])]
    executed = tmp_path / "01_first.ipynb"
    nbformat.write(new_notebook(cells=cells), executed)
    page = write_page(executed, tmp_path / "out" / NOTEBOOKS)
    text = page.read_text(encoding="utf-8")
    assert PNG in "".join(text.split()) and "Title" in text
    report = write_report(tmp_path / "out", "t").read_text(encoding="utf-8")
    assert report.count('href="notebooks/01_first.html"') == 1
    assert report.count(f'href="{NOTEBOOKS}/') == 1  # the other sections have none
