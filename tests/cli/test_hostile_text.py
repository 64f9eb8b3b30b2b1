"""Text from a model that would like to run a page's scripts or a terminal's commands."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deepprune_core.cli.app import app
from deepprune_core.cli.view import AskView, summary
from deepprune_core.engines.discovery import WordTokenizer
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.deepprune import DeepPrune
from deepprune_core.live.result import PrunedAnswer
from deepprune_core.reporting.visible import visible
from deepprune_core.truncation import Truncation

HOSTILE = (
    "<script>alert(1)</script> [/red] [bold]x[/bold] \x1b[2J\x1b]0;title\x07 \u202e\x00 "
    "$\\frac$ \\frac12"
)


@pytest.fixture
def result() -> PrunedAnswer:
    texts = [f"so a. so b. so c. then d \\boxed{{{HOSTILE}}}"] * 3
    engine = ReplayEngine({HOSTILE: texts}, WordTokenizer())
    config = OnlineConfig(Truncation("reasoning_words", 3))
    return DeepPrune(engine, SameTextJudge(), config).answer_sync(HOSTILE, n=3)


def test_a_terminal_shows_hostile_text_and_obeys_none_of_it(result: PrunedAnswer) -> None:
    assert result.answer is not None and "\x1b" in result.answer
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=200)
    console.print(summary(result))
    console.print(AskView(result.question, 3, "judged at 3 tokens"))
    shown = out.getvalue()
    assert "<script>" in shown and "[bold]x[/bold]" in shown and "\\x1b[2J" in shown
    assert not set("\x1b\x07\x00\u202e") & set(shown)
    assert visible("a\tb\nü √ 漢") == "a\tb\nü √ 漢"


def test_a_page_shows_hostile_text_as_text(result: PrunedAnswer, tmp_path: Path) -> None:
    saved, page = tmp_path / "one.json", tmp_path / "page.html"
    saved.write_text(result.to_json())
    assert json.loads(saved.read_text())["question"] == HOSTILE  # nothing is lost on the way
    found = CliRunner().invoke(app, ["report", str(saved), "--out", str(page)])
    assert found.exit_code == 0, found.output
    html = page.read_text(encoding="utf-8")
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html
