"""What the notebooks call, on a small trace file."""

from __future__ import annotations

import json

import pytest

from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.pair_data import cut_prefixes
from deepprune_core.live.stored import judged_pairs
from replication.encode_once import at_scale
from replication.judges import is_trained, online_spec
from replication.redundancy import redundancy_rows, redundancy_words
from replication.run import LeftOut, Run, open_run, share_of
from replication.table2_run import open_online
from replication.text import span
from replication.training import train_shown
from replication.untrained import judge_tokenizer
from replication.workflow.profile import ROOT, Split, load_profile

REPLAY = ROOT / "replication" / "profiles" / "replay.yaml"


def trace(words: int, answer: str) -> dict[str, object]:
    text = "so we add, " * words + rf"and get \boxed{{{answer}}}"
    return {"text": text, "answer": answer, "n_tokens": 10 * words}


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    answers = {"a": ["1", "1", "1", "2"], "b": ["3", "3", "3", "3"]}
    lines = [
        {
            "question_id": name, "question": "How much?", "gold": given[0], "model": "m",
            "traces": [trace(20 + 4 * i, answer) for i, answer in enumerate(given)],
        }
        for name, given in answers.items()
    ]  # fmt: skip
    path = tmp_path / "small.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setenv("DEEPPRUNE_TRACES", str(path))
    return Run(load_profile(REPLAY), tmp_path, tmp_path)


def test_cuts_shrink_to_a_share_of_short_traces(run):
    # Median of 20, 24, 28, 32 words is 26, of their tokens 260; a quarter of each.
    assert (run.cuts.words, run.cuts.tokens) == (6, 65)


def test_cuts_stay_where_traces_are_long_enough(run):
    long = run.profile.model_copy(update={"cuts": run.profile.cuts.model_copy(update={"words": 4})})
    assert Run(long, run.out, run.work).cuts.words == 4


def test_the_many_traces_of_small_begin_with_those_of_table_2(tmp_path):
    """So Table 2 with more traces differs from the other in their number, not in their luck."""
    small = Run(load_profile(ROOT / "replication/profiles/small.yaml"), tmp_path, tmp_path)
    (many,), few = at_scale(small).online, small.online[0].traces
    first = dict(zip(few.questions, few.traces, strict=True))
    assert {len(group) for group in many.traces.traces} == {64}
    assert all(
        [t.text for t in group[:16]] == [t.text for t in first[question]]
        for question, group in zip(many.traces.questions, many.traces.traces, strict=True)
    )
    templates = [q.question_id.split("/")[1] for q in many.traces.questions]
    assert len(set(templates)) == len(templates) == 15


def test_redundancy_counts_pairs_by_hand(run):
    whole = next(row for row in redundancy_rows(run) if row.benchmark == "all")
    assert whole.micro.value == pytest.approx((3 + 6) / 12)
    assert "lie between" not in redundancy_words(run, redundancy_rows(run))


def test_a_notebook_that_the_file_cannot_feed_is_left_out_and_says_why(run, tmp_path):
    with pytest.raises(LeftOut, match="no base model"):
        open_run(str(REPLAY), str(tmp_path / "figures"), "03")
    assert "Left out" in (tmp_path / "figures" / "notes" / "03.md").read_text()


def test_span_orders_numbers_not_letters():
    assert span(["10", "9", "-3"]) == "-3 to 10"
    assert span(["4", "4"]) == "4"


def test_a_split_gives_every_question_to_one_share_whatever_the_file(run):
    split = Split(train=0.5, development=0.2)
    names = [f"question {i}" for i in range(4000)]
    found = [share_of(name, split) for name in names]
    assert [share_of(name, split) for name in names] == found
    shares = {name: found.count(name) / len(found) for name in ("train", "development", "test")}
    assert shares == pytest.approx({"train": 0.5, "development": 0.2, "test": 0.3}, abs=0.03)


def test_shares_part_the_questions_of_a_run(run):
    path = run.profile.traces.redundancy[0]
    traces = run.profile.traces.model_copy(
        update={"split": Split(train=0.5, development=0.2), "train": path, "development": path,
                "leaky": path}
    )  # fmt: skip
    parted = Run(run.profile.model_copy(update={"traces": traces}), run.out, run.work)
    whole = {q.question_id for q in run.redundancy[0].traces.questions}
    parts = [
        {q.question_id for q in parted.teaching(name).traces.questions}
        for name in ("train", "development", "leaky")
    ]
    assert set().union(*parts) == whole and sum(map(len, parts)) == len(whole)
    test = {q.question_id for one in parted.unseen for q in one.traces.questions}
    assert parts[2] == test


def test_where_every_score_is_stored_the_judge_is_not_asked():
    class Nobody:
        def score(self, inputs):
            raise AssertionError("asked")

        num_tokens = score

    assert judged_pairs(Nobody(), []) == []


def given(run: Run, name: str) -> Run:
    judge = run.profile.judge.model_copy(update={"given": name})
    return Run(run.profile.model_copy(update={"judge": judge}), run.out, run.work)


def test_a_trained_judge_can_be_given_and_its_scores_are_kept(run):
    folder = ROOT / "data" / "miniature" / "judges" / "12-reasoning_words-both-train"
    setup = open_online(given(run, str(folder)))
    assert [len(q.classes) for q in setup.questions[0]] == [4, 4]
    inputs = [JudgeInput("How much?", q.text, r.text) for q, r in [prefixes(run)]]
    assert setup.questions[0][0].scores[0, 3] == pytest.approx(
        setup.judge.score(inputs)[0], abs=1e-3
    )
    kept = (run.work / "scores" / "given.parquet").stat().st_mtime_ns
    again = open_online(given(run, str(folder)))
    assert (run.work / "scores" / "given.parquet").stat().st_mtime_ns == kept
    assert (again.questions[0][1].scores == setup.questions[0][1].scores).all()


def prefixes(run: Run):
    cut = cut_prefixes(run.online[0].traces, run.cuts.online(), judge_tokenizer(run))
    return cut[0][0], cut[0][3]


def test_another_judge_makes_scores_of_its_own(run):
    first = open_online(given(run, "same_text"))
    assert "letter for letter" in first.check
    kept = (run.work / "scores" / "given.parquet").read_bytes()
    open_online(given(run, "embedding"))
    assert (run.work / "scores" / "given.parquet").read_bytes() != kept


def test_an_unknown_judge_is_refused(run):
    with pytest.raises(FileNotFoundError, match="no such folder; a judge is"):
        open_online(given(run, "nowhere/at-all"))


def test_a_short_training_of_other_settings_is_trained_again(tmp_path):
    profile = load_profile(ROOT / "replication" / "profiles" / "mini.yaml")
    judge = profile.judge.model_copy(update={"shown_pairs": 8, "compiled": False})
    before = train_shown(Run(profile.model_copy(update={"judge": judge}), tmp_path, tmp_path))
    other = judge.model_copy(update={"learning_rate": 2 * judge.learning_rate})
    after = train_shown(Run(profile.model_copy(update={"judge": other}), tmp_path, tmp_path))
    assert before is not None and after is not None
    assert before.result.folder == after.result.folder  # the first one is gone
    manifest = json.loads((after.result.folder / "manifest.json").read_text())
    assert manifest["config"]["learning_rate"] == other.learning_rate


def test_a_shipped_judge_counts_once_its_scores_are_there(tmp_path):
    profile = load_profile(ROOT / "replication" / "profiles" / "mini.yaml")
    judge = profile.judge.model_copy(update={"adapters": tmp_path / "shipped"})
    run = Run(profile.model_copy(update={"judge": judge}), tmp_path, tmp_path / "work")
    spec = online_spec(run)
    shipped, own = tmp_path / "shipped" / spec.name, tmp_path / "work" / "judges" / spec.name
    for folder in (shipped, own):
        folder.mkdir(parents=True)
    assert not is_trained(run, spec)
    (own / "manifest.json").write_text("{}")
    assert is_trained(run, spec)  # the run's own judge is scored when it is asked
    (shipped / "manifest.json").write_text("{}")
    assert not is_trained(run, spec)
    (shipped / "pairs.parquet").write_bytes(b"")
    assert is_trained(run, spec)
