"""Rollouts: the judge that knows the ends, and sampling them from birch, end to end."""

from __future__ import annotations

import io
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepprune_core.formats.trace_files import read_traces, write_parquet
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.metrics import Interval, auroc
from deepprune_core.pruner import PruningConfig
from deepprune_core.reporting.tables import Table
from replication.known import (
    FEWER,
    extrapolated,
    fewer,
    known_table,
    known_words,
    what_can_be_known,
    what_is_known,
)
from replication.known_pruning import ORACLE, few_traces, what_the_ceiling_wins
from replication.make_rollouts import SCHEMA, main
from replication.online import play_all, play_consistency
from replication.readers import NUMBERS
from replication.reporting.evidence import CEILING
from replication.rollouts import (
    RolloutJudge,
    prefixes_of,
    read_rollouts,
    rolled_cuts,
    rolled_traces,
    rollouts_settings,
)
from replication.run import Run
from replication.text import NOTHING, rate
from replication.untrained import judge_tokenizer
from replication.workflow.profile import ROOT, load_profile

MINIATURE = ROOT / "data" / "miniature"
PROFILE = """
name: tiny
caption: "A try."
traces: {{redundancy: [{0}/birch-all.parquet]}}
judge: {{base: {0}/birch}}
collect:
  folder: {0}
  instruction: "Answer."
  choice_instruction: "Answer."
  reasoners:
    birch: {{model: {0}/birch, card: none, billions: 0.002, mean_tokens: 500, max_tokens: 40,
             top_p: 1.0}}
  jobs:
    birch-all: {{reasoner: birch, benchmarks: [mini-24], traces: 4}}
rollouts: {{jobs: {{birch-all: [60, 20]}}, questions: 2, prefixes: 4, continuations: 3,
            file: {0}/rolled.parquet}}
"""


def judge(**ends: str) -> RolloutJudge:
    return RolloutJudge({("q", name): tuple(text.split()) for name, text in ends.items()})


def test_it_is_the_chance_that_two_ends_agree() -> None:
    pairs = [JudgeInput("q", "a", "b"), JudgeInput("q", "a", "c"), JudgeInput("q", "a", "a")]
    found = judge(a="7 7 8 9", b="7 8 8 8", c="1 2 3 4").score(pairs)
    # p(7) = 1/2 * 1/4, p(8) = 1/4 * 3/4; one prefix twice: 2 of 12 ordered pairs of its ends.
    np.testing.assert_allclose(found, [0.5 * 0.25 + 0.25 * 0.75, 0, 2 / 12])


def test_an_end_without_an_answer_agrees_with_none() -> None:
    nothing = RolloutJudge({("q", "a"): (None, None, "7"), ("q", "b"): (None, "7", "7")})
    assert nothing.score([JudgeInput("q", "a", "b")]) == pytest.approx(1 / 3 * 2 / 3)


def test_no_reader_that_sees_only_the_prefixes_ranks_better() -> None:
    """Ends drawn from known chances: their own product ranks pairs best, and rollouts near it."""
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.full(3, 0.5), size=300)
    ends = np.array([rng.choice(3, p=p) for p in chances])
    first, second = np.arange(0, 300, 2), np.arange(1, 300, 2)
    same = ends[first] == ends[second]
    known = (chances[first] * chances[second]).sum(axis=1)
    skill = {}
    for m in (2, 64):
        rolled = {
            ("q", str(i)): tuple(map(str, rng.choice(3, size=m, p=p)))
            for i, p in enumerate(chances)
        }
        pairs = [JudgeInput("q", str(i), str(j)) for i, j in zip(first, second, strict=True)]
        skill[m] = auroc(same, RolloutJudge(rolled).score(pairs))
    assert skill[2] < skill[64] <= auroc(same, known) + 0.02
    assert skill[64] > auroc(same, known) - 0.02


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rollouts")
    shutil.copytree(MINIATURE / "models" / "birch", folder / "birch")
    (folder / "birch" / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")
    whole = read_traces(MINIATURE / "traces" / "birch.parquet").first(4)
    some = replace(whole, questions=whole.questions[:12], traces=whole.traces[:12])
    write_parquet(some, folder / "birch-all.parquet")
    (folder / "tiny.yaml").write_text(PROFILE.format(folder))
    return folder / "tiny.yaml"


def sample(profile: Path) -> str:
    """Sample what is missing; return what was printed."""
    told = io.StringIO()
    with redirect_stdout(told):
        assert main(
            ["--profile", str(profile), "--engine", "transformers", "--parallel", "12"]
        ) == 0  # fmt: skip
    return told.getvalue()


@pytest.fixture(scope="module")
def sampled(profile: Path) -> str:
    """What the first sampling printed; its rollouts are there."""
    return sample(profile)


@pytest.fixture
def run(profile: Path, sampled: str, tmp_path: Path) -> Run:
    """A run whose rollouts are there."""
    return Run(load_profile(profile), tmp_path, tmp_path)


def test_they_are_sampled_cut_by_cut_and_once(profile: Path, sampled: str) -> None:
    assert "60 tokens, 8 prefixes" in sampled and "birch-all, 20 tokens, 8 prefixes" in sampled
    file = profile.parent / "rolled.parquet"
    rows = pq.read_table(file).to_pylist()
    assert [row["tokens"] for row in rows] == [60] * 8 + [20] * 8
    assert all(len(row["answers"]) == 3 and row["num_tokens"] > 0 for row in rows)
    assert not list(profile.parent.glob("*.work"))
    before = file.read_bytes()
    assert "20 tokens are there" in sample(profile) and file.read_bytes() == before


def test_only_questions_whose_first_traces_disagree_count(run: Run) -> None:
    traces = rolled_traces(run, "birch-all")
    assert len(traces.graded) == 2
    assert all(0 < traces.pairs.same[traces.pairs.question == q].mean() < 1 for q in range(2))
    tokenizer = judge_tokenizer(run)
    assert len(prefixes_of(traces, 20, tokenizer)) == 8
    for rolled in rolled_cuts(run, "birch-all", traces, tokenizer):
        scores = rolled.judge(3).score(rolled.data.inputs)
        assert scores.shape == (len(traces.pairs),) and ((scores >= 0) & (scores <= 1)).all()


def test_a_job_that_is_not_collected_is_told(profile: Path, tmp_path: Path) -> None:
    other = profile.with_name("other.yaml")
    other.write_text(profile.read_text().replace("jobs: {birch-all:", "jobs: {oak-all:"))
    with pytest.raises(ValueError, match="got 'oak-all'"):
        rollouts_settings(Run(load_profile(other), tmp_path, tmp_path))


def test_rollouts_of_other_prefixes_fewer_or_a_broken_file_are_refused(
    profile: Path, run: Run, tmp_path: Path
) -> None:
    rows = pq.read_table(profile.parent / "rolled.parquet").to_pylist()
    other, tokenizer = profile.with_name("changed.yaml"), judge_tokenizer(run)
    file = tmp_path / "changed.parquet"
    other.write_text(profile.read_text().replace(f"{profile.parent}/rolled.parquet", str(file)))
    changed = Run(load_profile(other), tmp_path, tmp_path)
    traces = rolled_traces(changed, "birch-all")
    for fault in ({"prefix": "0" * 16}, {"answers": ["7"]}):
        pq.write_table(pa.Table.from_pylist([rows[0] | fault, *rows[1:]], SCHEMA), file)
        with pytest.raises(ValueError, match="rollouts of another prefix, or fewer than 3"):
            rolled_cuts(changed, "birch-all", traces, tokenizer)
    for content in (b"broken", (profile.parent / "birch-all.parquet").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"changed\.parquet: no file of rollouts"):
            read_rollouts(file)


def test_floor_and_ceiling_stand_side_by_side(run: Run, tmp_path: Path) -> None:
    tokenizer = judge_tokenizer(run)
    found = what_is_known(run, tokenizer)
    assert list(found) == ["mini-24"]
    known = found["mini-24"]
    assert [(r.cut.k, r.name) for r in known] == [
        (k, name) for k in (20, 60) for name in (NUMBERS, FEWER.format(2), CEILING)
    ]
    table = known_table(run, found)
    floor, top = (
        {r.cut.k: r.within.value for r in known if r.name == n} for n in (NUMBERS, CEILING)
    )
    for row, k in ((0, 20), (3, 60)):
        ways = (table.rows[row][-1], table.rows[row + 2][-1])
        assert ways == (("0", "100") if top[k] > floor[k] else (NOTHING, NOTHING))
    assert "60 tokens" in known_words(run, found)
    assert what_can_be_known(run, tokenizer) == table
    assert (tmp_path / "known.png").is_file() and (tmp_path / "known.md").is_file()


def test_who_knows_which_traces_agree_votes_as_all_traces_do(run: Run, tmp_path: Path) -> None:
    table = what_the_ceiling_wins(run, judge_tokenizer(run))
    assert isinstance(table, Table)
    rows = {(row[1], row[2]): row for row in table.rows}
    assert list(rows) == [
        (cut, name) for cut in ("60 tokens", "20 tokens") for name in (NUMBERS, CEILING, ORACLE)
    ]
    traces = rolled_traces(run, "birch-all")
    everyone = play_all(run, "cons@4", traces, play_consistency(traces)).accuracy(run)
    for cut in ("60 tokens", "20 tokens"):
        assert rows[cut, ORACLE][5] == rate(everyone)
    assert all(float(row[4].split()[0]) < 100 for row in table.rows)
    told = (tmp_path / "notes" / "07-pruning.md").read_text()
    assert told.count("a plain vote of the same tokens (") == 2


def test_few_traces_finish_as_large_a_share(run: Run) -> None:
    config = few_traces(run, PruningConfig(k2=20, k3=16))  # 4 rolled traces of 64
    assert (config.k2, config.k3) == (2, 1)


def test_endless_rollouts_are_read_off_a_line_in_one_over_m(run: Run) -> None:
    """AUROC 0.9 - 0.2 / m: 0.8, 0.85 and 0.875 with 2, 4 and 8."""
    some = what_is_known(run, judge_tokenizer(run))["mini-24"][0]
    names = [*map(FEWER.format, fewer(8)), CEILING]
    known = [
        replace(some, name=name, within=Interval(0.9 - 0.2 / m, 0.0, 1.0, 9))
        for name, m in zip(names, (2, 4, 8), strict=True)
    ]
    assert extrapolated(known, 8) == pytest.approx(0.9)
    assert fewer(2) == [] and extrapolated(known[-1:], 2) == pytest.approx(0.875)
