"""The judge from the reasoner's own states, on birch and its own traces, end to end."""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepprune_core.formats.trace_files import read_traces, write_parquet
from deepprune_core.truncation import Truncation
from replication.live import live_prompt
from replication.make_judges import STATES, main
from replication.miniature.tokenizer import prompt_text
from replication.own_states import COSINE, NAME, states_judges
from replication.readers import NUMBERS, readers_at_lengths
from replication.run import Run, graded_traces
from replication.table2_run import open_online
from replication.untrained import judge_tokenizer
from replication.workflow.profile import ROOT, load_profile

BIRCH = ROOT / "data" / "miniature" / "models" / "birch"
TRACES = ROOT / "data" / "miniature" / "traces" / "birch.parquet"
PARTS = {"train": slice(0, 16), "development": slice(16, 24), "test": slice(24, 36)}
PROFILE = """
name: tiny
caption: "A try."
traces:
  redundancy: [{0}/test.parquet]
  unseen: [{0}/test.parquet]
  train: {0}/train.parquet
  development: {0}/development.parquet
  test_per_question: 4
judge:
  base: {0}/birch
  own_states:
    {{reasoner: birch, layers: [2, 3], tokens: [40], ridges: [100, 1000], penalties: [1],
     heads: {0}/heads, scores: {0}/scores.parquet}}
collect:
  folder: {0}
  instruction: "Answer."
  choice_instruction: "Answer."
  reasoners:
    birch: {{model: {0}/birch, card: none, billions: 0.002, mean_tokens: 500}}
  jobs: {{}}
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("states")
    shutil.copytree(BIRCH, folder / "birch")
    (folder / "birch" / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")
    whole = read_traces(TRACES).first(4)
    for name, part in PARTS.items():
        some = replace(whole, questions=whole.questions[part], traces=whole.traces[part])
        write_parquet(some, folder / f"{name}.parquet")
    (folder / "tiny.yaml").write_text(PROFILE.format(folder))
    return folder / "tiny.yaml"


def make(profile: Path) -> str:
    """Train and score what is missing; return what was printed."""
    told = io.StringIO()
    with redirect_stdout(told):
        assert main(["--profile", str(profile), STATES]) == 0
    return told.getvalue()


@pytest.fixture(scope="module")
def trained(profile: Path) -> str:
    """What the first training printed; head and scores are there."""
    return make(profile)


def test_it_is_trained_once_and_its_scores_are_kept(
    profile: Path, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = len(graded_traces(profile.parent / "test.parquet", 4).pairs)
    assert all(f"{name}, 40 tokens: {pairs} scores computed" in trained for name in (NAME, COSINE))
    monkeypatch.setattr("replication.own_states.open_states", lambda _: pytest.fail("read again"))
    assert "40 tokens: 0 scores computed" in make(profile)
    run = Run(load_profile(profile), profile.parent / "out", profile.parent / "work")
    numbers, cosine, states = readers_at_lengths(run, judge_tokenizer(run))
    assert (states.name, cosine.name) == (NAME, COSINE)
    assert numbers.name == NUMBERS and states.num_pairs == numbers.num_pairs == pairs
    scores = states.parts[0].scores
    assert np.isfinite(scores).all() and scores.std() > 0.01


def test_it_prunes_with_stored_scores_and_a_prefix_costs_its_reading(
    profile: Path, trained: str, tmp_path: Path
) -> None:
    pruning = profile.with_name("pruning.yaml")
    text = profile.read_text().replace("  own_states:", "  prunes: states\n  own_states:")
    text = text.replace("  train:", f"  online: [{profile.parent}/test.parquet]\n  train:")
    pruning.write_text(text + "cuts: {tokens: 40, pruning_by: tokens}\n")
    run = Run(load_profile(pruning), tmp_path, tmp_path)
    found = open_online(run)
    question = found.questions[0][0]
    tokenizer, asked = found.tokenizer, run.online[0].traces.questions[0].text
    prefix = Truncation("tokens", 40).cut(run.online[0].traces.traces[0][0].text, tokenizer)
    prompt = tokenizer.encode(f"{asked}\n\nAnswer.", add_special_tokens=False)
    assert question.encode_tokens is not None
    assert question.encode_tokens[0] == len(prompt) + prefix.num_tokens
    assert len(found.questions[0]) == 12


def test_a_judge_of_other_lessons_is_refused(profile: Path, trained: str, tmp_path: Path) -> None:
    run = Run(load_profile(profile), tmp_path, tmp_path)
    cut = Truncation("tokens", 40)
    states_judges(run, cut)
    with pytest.raises(FileNotFoundError, match="no trained head; run `make judges`"):
        states_judges(run, Truncation("tokens", 41))
    other = profile.with_name("other.yaml")
    other.write_text(profile.read_text().replace("train.parquet", "test.parquet"))
    with pytest.raises(ValueError, match="trained on other traces or settings"):
        states_judges(Run(load_profile(other), tmp_path, tmp_path), cut)


def test_a_reasoner_that_is_not_collected_is_told(profile: Path, tmp_path: Path) -> None:
    other = profile.with_name("unknown.yaml")
    other.write_text(profile.read_text().replace("reasoner: birch", "reasoner: oak"))
    run = Run(load_profile(other), tmp_path, tmp_path)
    with pytest.raises(ValueError, match="got 'oak'"):
        states_judges(run, Truncation("tokens", 40))


def test_a_live_model_is_asked_as_its_traces_were(profile: Path, tmp_path: Path) -> None:
    for model, expected in (("birch", "how many?\n\nAnswer."), ("oak", prompt_text("how many?"))):
        live = profile.with_name(f"live-{model}.yaml")
        section = f"live: {{model: {profile.parent}/{model}, benchmark: mini-24}}\n"
        live.write_text(profile.read_text() + section)
        run = Run(load_profile(live), tmp_path, tmp_path)
        assert live_prompt(run, judge_tokenizer(run))("how many?") == expected
