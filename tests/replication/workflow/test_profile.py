"""Profiles: all that ship load, and faults are told in one line with the nearest key."""

from pathlib import Path

import pytest

from replication.workflow.profile import ROOT, ProfileError, load_profile, model_place

PROFILES = sorted((ROOT / "replication" / "profiles").glob("*.yaml"))
GOOD = "name: x\ncaption: c\ntraces: {redundancy: [a.parquet]}\n"


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_shipped_profile_loads(path, monkeypatch):
    monkeypatch.setenv("DEEPPRUNE_TRACES", str(Path(__file__)))
    assert load_profile(path).name


def test_the_default_traces_exist():
    traces = load_profile(ROOT / "replication/profiles/mini.yaml").traces
    for path in (*traces.redundancy, *traces.online, traces.train, traces.development):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "seeed: 1\n", "unknown key 'seeed'; did you mean 'seed'"),
        (GOOD + "pruning: {tua: 0.5}\n", "unknown key 'pruning.tua'; did you mean 'tau'"),
        (GOOD + "live: {modl: a}\n", "did you mean|live.model"),
        (GOOD + "pruning: {tau: 1.5}\n", "pruning.tau: .*less than or equal to 1.*1.5"),
        (GOOD + "pruning: {overflow: drop}\n", "pruning.overflow"),
        (GOOD + "pruning: {max_clusters: 0}\n", "pruning.max_clusters: .*at least 1|equal to 1"),
        (GOOD + "pruning: {k2: many}\n", "pruning.k2: .*integer.*'many'"),
        (GOOD + "bootstrap_draws: 0\n", "bootstrap_draws"),
        (GOOD + "judge: {sharded: true}\n", "judge.sharded: .*lora_rank null"),
        (GOOD + "judge: {rows: [best]}\n", "judge.rows.0"),
        ("name: x\ncaption: c\ntraces: {redundancy: []}", "traces.redundancy: .*at least 1"),
        ("name: [", "not YAML"),
        ("name: x\ncaption: c\ntraces: {redundancy: ['${DEEPPRUNE_TRACES}']}", "TRACES="),
    ],
)
def test_a_fault_is_told_in_one_line_with_the_file(text, words, tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPPRUNE_TRACES", raising=False)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ProfileError, match=words) as caught:
        load_profile(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_missing_profile_names_those_that_exist(tmp_path):
    with pytest.raises(ProfileError, match="mini"):
        load_profile(tmp_path / "nope.yaml")


def test_a_model_that_is_fetched_first_is_named_with_its_command() -> None:
    with pytest.raises(ProfileError, match="run `make models MODELS=qwen-99b`"):
        model_place("build/models/qwen-99b")
    assert model_place("Qwen/Qwen2.5-Coder-1.5B-Instruct") == "Qwen/Qwen2.5-Coder-1.5B-Instruct"
    assert model_place("data/miniature/models/birch") == ROOT / "data/miniature/models/birch"


def test_a_profile_takes_over_what_its_parent_says(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "name: base\ncaption: a\ntraces: {redundancy: [a.parquet], test_per_question: 6}\n"
        "judge: {base: some/model, gamma: 3.0}\n"
    )
    child = tmp_path / "child.yaml"
    child.write_text(
        "parent: base\nname: child\ntraces: {test_per_question: 2}\njudge: {base: null}\n"
    )
    found = load_profile(child)
    assert (found.name, found.caption) == ("child", "a")
    assert found.traces.redundancy == (Path("a.parquet"),) and found.traces.test_per_question == 2
    assert found.judge.gamma == 3.0 and found.judge.base is None
    child.write_text("parent: child\nname: child\n")
    with pytest.raises(ProfileError, match="got itself"):
        load_profile(child)
    child.write_text("parent: nobody\nname: child\n")
    with pytest.raises(ProfileError, match=r"nobody\.yaml: no such profile"):
        load_profile(child)
