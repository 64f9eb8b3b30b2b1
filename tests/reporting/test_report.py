from __future__ import annotations

import re
from base64 import b64decode
from pathlib import Path

import pytest

from deepprune_core.formats.files import write_atomically
from deepprune_core.reporting.report import (
    CAPTIONS,
    LONG,
    NOT_MADE,
    OTHER,
    SECTIONS,
    ReportError,
    main,
    read_table,
    section_of,
    write_report,
)
from deepprune_core.reporting.tables import Table, write_table

PNG = b"\x89PNG\r\n\x1a\n made up \xfb\xff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("table1", "table2_paper", "redundancy", "surprise"):
        write_table(Table(name, f"About {name}", ("a", "b"), (("<x>", 0.5),), ("N: 4.",)), tmp_path)
    for name in ("figure2a", "hero", "table1_figure"):
        write_atomically(tmp_path / f"{name}.png", PNG)
    write_atomically(tmp_path / "notes" / "01.md", "One.\nTwo.\n\nThree & <four>.\n")
    write_atomically(tmp_path / "notes" / "01-more.md", "Five.\n")
    write_atomically(tmp_path / "notes" / "06.md", "Left out: no judge.\n")
    return tmp_path


def page(folder: Path) -> str:
    return write_report(folder, "A <title>").read_text(encoding="utf-8")


def part(text: str, number: str) -> str:
    return text.split(f'<section id="s{number}">')[1].split("</section>")[0]


def test_nothing_is_fetched_from_outside(folder: Path) -> None:
    text = page(folder)
    assert not re.search(r"https?:|//\w|<link|<script|@import|url\(", text)
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 3
    for source in sources:
        assert b64decode(source.removeprefix("data:image/png;base64,"), validate=True) == PNG


def test_every_artifact_stands_once_in_its_section(folder: Path) -> None:
    text = page(folder)
    where = {"01": ["figure2a", "redundancy"], "04": ["table1", "table1_figure"],
             "05": ["hero", "table2_paper"], "09": ["surprise"]}  # fmt: skip
    for number, names in where.items():
        found = re.findall(r'(?:figcaption|table) id="([^"]*)"', part(text, number))
        assert sorted(found) == names
    assert len(re.findall(r'(?:figcaption|table) id="', text)) == 7


def test_the_contents_lead_to_every_section(folder: Path) -> None:
    text = page(folder)
    targets = re.findall(r'href="#(\w+)"', text)
    assert targets == re.findall(r'<section id="(\w+)"', text)
    assert targets == [f"s0{i}" for i in range(1, 10)]


def test_the_first_screen_sets_ours_beside_the_papers(folder: Path) -> None:
    write_atomically(folder / "headlines" / "04.jsonl", '["AUROC <x>", "0.87", "0.81"]\n')
    write_atomically(folder / "headlines" / "about.txt", "Profile mini, seed 7.\n")
    before = page(folder).split("<nav")[0]
    assert "Profile mini, seed 7." in before
    assert "<td>AUROC &lt;x&gt;</td><td>0.87</td><td>0.81</td>" in before


def test_claims_stand_first_and_numbers_are_folded(folder: Path) -> None:
    write_atomically(folder / "headlines" / "04.jsonl", '["AUROC", "0.87", "0.81"]\n')
    write_atomically(folder / "headlines" / "claims.csv", "claim,verdict\n<it> saves,fails here\n")
    found = write_report(folder, "t").read_text()
    assert found.index("&lt;it&gt; saves") < found.index("More numbers") < found.index("0.81")
    assert 'id="claims-caption"' not in found  # no section shows it once more


def test_the_figure_of_the_first_screen_stands_there_alone(folder: Path) -> None:
    write_atomically(folder / "known.png", PNG)
    text = page(folder)
    assert text.split("<nav")[0].count("<img") == 1 and 'id="known"' in text.split("<nav")[0]
    assert text.count('id="known"') == 1 and "What beginnings hold" in text


def test_a_long_table_is_folded_and_names_its_file(folder: Path) -> None:
    rows = tuple((str(i), 0.5) for i in range(LONG + 1))
    write_table(Table("table2", "About *fast* ways", ("a", "b"), rows), folder)
    found = part(page(folder), "05")
    assert f"<summary>{LONG + 1} rows (also in table2.csv)</summary>" in found
    assert found.count("<details>") == found.count("</details>") == 1
    assert "About <em>fast</em> ways" in found


def test_every_figure_of_a_run_has_a_caption() -> None:
    figures = {
        path.stem for run in ("mini", "small") for path in Path("figures", run).glob("*.png")
    }
    assert figures and figures <= set(CAPTIONS)


def test_a_torn_file_of_headlines_is_named(folder: Path) -> None:
    write_atomically(folder / "headlines" / "04.jsonl", '["AUROC", "0.8')
    with pytest.raises(ReportError, match=r"04\.jsonl: .*run its notebook again"):
        page(folder)


def test_a_section_without_files_shows_its_note_or_says_so(folder: Path) -> None:
    text = page(folder)
    assert "<p>Left out: no judge.</p>" in part(text, "06")
    assert NOT_MADE not in part(text, "06")
    assert f"<p>{NOT_MADE}</p>" in part(text, "07")


def test_text_is_escaped_and_notes_keep_their_paragraphs(folder: Path) -> None:
    text = page(folder)
    assert "<title>A &lt;title&gt;</title>" in text
    assert "<td>&lt;x&gt;</td>" in text
    assert "<p>One. Two.</p>\n<p>Three &amp; &lt;four&gt;.</p>\n<p>Five.</p>" in part(text, "01")


def test_a_table_comes_back_with_caption_and_notes(folder: Path) -> None:
    table = read_table(folder / "table1.csv")
    assert (table.caption, table.notes) == ("About table1", ("N: 4.",))
    assert (table.columns, table.rows) == (("a", "b"), (("<x>", "0.500"),))


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    assert page(folder) == page(folder)


def test_names_go_by_whole_words_and_every_artifact_to_its_own_section() -> None:
    assert section_of("table10")[0] == OTHER
    assert section_of("table2_figure_small")[0].number == "05"
    for section in SECTIONS:
        for place, name in enumerate(section.artifacts):
            assert section_of(name) == (section, place)


def test_faults_are_one_line_with_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "table1.csv").write_text("a,b\n1\n")
    with pytest.raises(ReportError, match=r"table1.csv: expected 2 cells in row 0, got 1"):
        write_report(folder, "t")
    assert main([str(folder / "absent")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_takes_a_folder_and_names_the_page_after_it(folder: Path) -> None:
    assert main([str(folder)]) == 0
    title = f"DeepPrune, replicated: {folder.name}"
    assert title in (folder / "report.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main([])
