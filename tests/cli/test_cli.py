"""The command line as a user meets it: help, exit codes, JSON, one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from deepprune_core.cli.app import app
from deepprune_core.cli.options import BAD_INPUT, ENGINE_FAULT, parse_rule, require_url
from deepprune_core.cli.prune import RULES, worth
from deepprune_core.cli.report import tie_told
from deepprune_core.engines.discovery import WordTokenizer
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.deepprune import DeepPrune
from deepprune_core.live.stored import ADAPTIVE, Outcomes
from deepprune_core.truncation import Truncation

RUNNER = CliRunner()
KINDS = (0, 1, 0, 0, 2, 1, 0, 0)


def trace(kind: int, i: int) -> str:
    first = f"Start {kind}. so a. so b. so c."
    return f"{first} then {'more words ' * (20 + i)} \\boxed{{{kind}}}"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    line = {
        "question_id": "q1", "question": "Which?", "gold": "0", "model": "m",
        "traces": [{"text": trace(kind, i)} for i, kind in enumerate(KINDS)],
    }  # fmt: skip
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(line) + "\n")
    return path


def test_help_teaches_with_examples() -> None:
    for command in ("ask", "prune", "serve"):
        found = RUNNER.invoke(app, [command, "--help"])
        assert found.exit_code == 0 and f"\n    deepprune {command}" in found.output
    assert RUNNER.invoke(app, ["--version"]).output.startswith("deepprune 0.")


def test_what_is_not_named_is_the_fast_rule_or_the_papers() -> None:
    fast, papers = (parse_rule(None, 32, None, 20, paper=paper) for paper in (False, True))
    assert fast == parse_rule("weighted", 32, 1, 20)
    assert papers == parse_rule("largest", 32, 10, 20)
    assert parse_rule("survivors", 32, 3, 20, paper=True) == parse_rule("survivors", 32, 3, 20)


def test_prune_prints_what_each_way_to_vote_costs(stored: Path) -> None:
    asked = ["prune", str(stored), "--judge", "same_text", "--cut", "3 words", "--json"]
    found = RUNNER.invoke(app, asked)
    assert found.exit_code == 0, found.output
    rows = {row["method"]: row for row in json.loads(found.stdout)}
    assert rows["all traces"]["saved"] == 0 and rows["all traces"]["right"] == 1
    assert rows["weighted"]["agrees"] == 1 and rows["weighted"]["right"] == 1
    assert 0.3 < rows["weighted"]["saved"] < 0.9
    lengths = [len(trace(kind, i).split()) for i, kind in enumerate(KINDS)]
    assert rows["all traces"]["generated"] == sum(lengths)
    table = RUNNER.invoke(app, asked[:-1])
    assert "weighted" in table.output and "plain, cost of weighted" in table.output
    assert "On these traces pruning is" in table.output


def test_prune_suggests_a_cut_that_the_traces_reach(stored: Path) -> None:
    given = RUNNER.invoke(app, ["prune", str(stored), "--judge", "same_text", "--cut", "90 words"])
    assert "traces are longer than 90 words, so most are judged when they have" in given.stderr
    chosen = RUNNER.invoke(app, ["prune", str(stored), "--judge", "same_text"])
    lengths = sorted(len(trace(kind, i).split()) for i, kind in enumerate(KINDS))
    quarter = int(np.median(lengths)) // 4
    assert f"cut: {quarter} tokens, a quarter of the median trace; only " in chosen.stderr
    folder = RUNNER.invoke(app, ["prune", str(stored.parent)])
    assert folder.exit_code == BAD_INPUT and "a folder; name one trace file in it" in folder.stderr


@pytest.mark.parametrize(
    ("right", "plain", "saved", "told"),
    [
        ([1.0] * 9, [0.5] * 9, 0.5, "pruning is worth it: it beats"),
        ([0.5] * 9, [1.0] * 9, 0.5, "a plain vote that costs as much does better"),
        ([1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], 0.5, "no better than a plain vote"),
        ([1.0] * 9, [0.5] * 9, -0.2, "costs more than it saves"),
    ],
)
def test_the_last_line_of_prune_follows_from_paired_differences(right, plain, saved, told) -> None:
    whole = np.full(len(right), 100.0)

    def outcomes(method: str, values: list[float], spent: float) -> Outcomes:
        nothing = np.zeros(len(values))
        return Outcomes(method, whole * spent, nothing, whole, np.array(values), np.array(values))

    found = [
        part
        for name in RULES
        for part in (
            outcomes(name, right, 1 - saved),
            outcomes(f"plain, cost of {name}", plain, 1 - saved),
        )
    ]
    line = worth([*found, outcomes(ADAPTIVE, plain, 0.4)])
    assert told in line and "saves 60%" in line


def test_report_makes_a_page_of_saved_results(tmp_path: Path) -> None:
    texts, tokenizer = [trace(kind, i) for i, kind in enumerate(KINDS)], WordTokenizer()
    engine = ReplayEngine({"Which <one>?": texts}, tokenizer)
    config = OnlineConfig(Truncation("reasoning_words", 3))
    result = DeepPrune(engine, SameTextJudge(), config).answer_sync("Which <one>?", n=len(KINDS))
    saved, page = tmp_path / "one.json", tmp_path / "page.html"
    saved.write_text(result.to_json())
    found = RUNNER.invoke(app, ["report", str(saved), "--out", str(page)])
    assert found.exit_code == 0, found.output
    html = page.read_text()
    assert "Which &lt;one&gt;?" in html and "the answer is 0" in html and "data:image/png" in html
    assert f"{result.ledger.generated:,}" in html
    saved.write_text("{}")
    told = RUNNER.invoke(app, ["report", str(saved), "--out", str(page)])
    assert told.exit_code == BAD_INPUT and "no result of `deepprune ask`" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prune", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["prune", "{stored}", "--cut", "many"], "expected such as '25 words'"),
        (["prune", "{stored}", "--judge", "nobody"], "nobody: no such folder"),
        (["ask", "What?"], "give --url"),
        (["ask", "", "-u", "http://127.0.0.1:9/v1"], "the question is empty"),
        (["ask", "What?", "-u", "http://127.0.0.1:9/v1", "--mode", "fast"], "online or pause"),
        (["ask", "What?", "-u", "http://127.0.0.1:9/v1", "--rule", "best"], "expected one of"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: list[str], told: str, stored: Path) -> None:
    found = RUNNER.invoke(app, [a.replace("{stored}", str(stored)) for a in arguments])
    assert found.exit_code == BAD_INPUT
    assert told in found.stderr and len(found.stderr.strip().splitlines()) == 1


def test_a_server_that_is_not_there_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    found = RUNNER.invoke(app, ["ask", "What?", "-u", "http://127.0.0.1:9/v1"])
    assert found.exit_code == ENGINE_FAULT and "is the server running there" in found.stderr
    assert "sk-secret" not in found.output


def test_an_adapter_that_names_no_base_is_told_in_one_line(stored: Path, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    found = RUNNER.invoke(app, ["prune", str(stored), "--judge", str(folder)])
    assert found.exit_code == BAD_INPUT and "name its folder with --judge-base" in found.stderr


def test_an_address_without_a_scheme_is_taken_as_http() -> None:
    assert require_url(["localhost:8000/v1", "https://a/v1"]) == [
        "http://localhost:8000/v1", "https://a/v1",
    ]  # fmt: skip


def test_a_tie_is_told_with_how_it_was_broken() -> None:
    ballots = [{"answer": "7", "weight": 8.0}, {"answer": "9", "weight": 8.0}]
    assert "a tie of 2: the answer that came first wins" in tie_told(ballots)
    assert tie_told(ballots[:1]) == tie_told([]) == ""
