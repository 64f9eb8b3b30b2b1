"""Collection of traces: from benchmarks in the hub's files, by a real (tiny) model, in shards."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deepprune_core.engines.trace_log import TraceLog
from deepprune_core.formats.trace_files import read_traces, write_parquet
from deepprune_core.traces import Question
from replication.miniature.tokenizer import prompt_text
from replication.workflow.collect import main, prompt_of
from replication.workflow.plan import Rates, judge_table, num_questions, sampling_table
from replication.workflow.plan import main as plan_main
from replication.workflow.profile import ROOT, load_profile
from replication.workflow.rehearsal import write_benchmarks, write_model

PAPER = ROOT / "replication" / "profiles" / "paper.yaml"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_model("R1-Distill-Llama", folder / "llama", seed=1)
    write_benchmarks(folder / "benchmarks")
    return folder


@pytest.fixture
def profile(world, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEEPPRUNE_BENCHMARKS", str(world / "benchmarks"))
    content = yaml.safe_load(PAPER.read_text())
    reasoner = content["collect"]["reasoners"]["r1-distill-llama-8b"]
    reasoner |= {"model": str(world / "llama"), "max_tokens": 40}
    content["collect"] |= {
        "folder": str(tmp_path / "traces"),
        "reasoners": {"r1": reasoner},
        "jobs": {
            "mixed": {
                "reasoner": "r1", "benchmarks": ["aime-2024", "gpqa-diamond"], "traces": 3,
                "confidences": True,
            }
        },
    }  # fmt: skip
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(profile: Path, *more: str) -> int:
    common = ["--profile", str(profile), "--engine", "transformers", "--limit", "2"]
    return main([*common, *more])


def test_a_model_without_a_chat_template_reads_its_prompt_alone():
    mini = load_profile(ROOT / "replication" / "profiles" / "mini.yaml").collect
    asked = prompt_of(mini, mini.reasoners["birch"], tokenizer=None)
    assert asked(Question("q", "Is {x} 4?")) == prompt_text("Is {x} 4?")


def test_every_question_is_answered_as_often_as_asked(profile, tmp_path):
    assert run(profile) == 0
    traces = read_traces(tmp_path / "traces" / "mixed.parquet")
    assert traces.model == "r1"
    assert traces.benchmarks == ("aime-2024", "gpqa-diamond")
    assert [len(group) for group in traces.traces] == [3] * 4
    assert traces.questions[2].gold in "ABCD"
    for trace in traces.traces[0]:
        assert trace.confidences is not None
        assert trace.confidences.dtype == "float16"
        assert len(trace.confidences) == trace.num_tokens
    assert not list((tmp_path / "traces").glob("*.work"))


def test_two_shards_give_what_one_run_gives(profile, tmp_path, capsys):
    assert run(profile, "--shard", "1/2") == 0
    assert not (tmp_path / "traces" / "mixed.parquet").exists()
    assert "left to other shards" in capsys.readouterr().out
    assert run(profile, "--shard", "0/2") == 0
    shared = read_traces(tmp_path / "traces" / "mixed.parquet")
    (tmp_path / "traces" / "mixed.parquet").unlink()
    assert run(profile) == 0
    alone = read_traces(tmp_path / "traces" / "mixed.parquet")
    assert [[t.text for t in g] for g in shared.traces] == [
        [t.text for t in g] for g in alone.traces
    ]


def test_a_job_goes_on_from_the_traces_of_another(profile, tmp_path, capsys):
    folder = tmp_path / "traces"
    content = yaml.safe_load(profile.read_text())
    job = content["collect"]["jobs"]["mixed"]
    content["collect"]["jobs"] |= {
        "more": job | {"traces": 4, "every": 2, "continues": "mixed"},
        "alone": job | {"traces": 4, "every": 2},
    }
    profile.write_text(yaml.safe_dump(content))
    assert run(profile, "mixed") == 0
    known = read_traces(folder / "mixed.parquet")
    marked = [tuple(replace(t, text=f"taken over {t.trace_id}") for t in g) for g in known.traces]
    write_parquet(replace(known, traces=tuple(marked)), folder / "mixed.parquet")
    assert run(profile, "more", "alone") == 0
    more, alone = (read_traces(folder / f"{name}.parquet") for name in ("more", "alone"))
    assert more.questions[0] == known.questions[0]
    assert more.questions[1] not in known.questions  # every other one, then the first two
    assert [t.text for t in more.traces[0][:3]] == [f"taken over {i}" for i in range(3)]
    assert more.traces[0][3].text == alone.traces[0][3].text  # its seed is the one it has alone
    assert [t.text for t in more.traces[1]] == [t.text for t in alone.traces[1]]


def test_released_traces_take_the_place_of_sampling(profile, tmp_path):
    rows = [{"problem": "1+1?", "ground_truth": "2", "model": "DeepSeek-R1-Distill-Llama-8B",
             "response": rf"so \boxed{{{i}}}"} for i in range(4)]  # fmt: skip
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    content = yaml.safe_load(profile.read_text())
    content["collect"] |= {"source": "released", "released": str(tmp_path / "release")}
    profile.write_text(yaml.safe_dump(content))
    assert run(profile) == 0
    traces = read_traces(tmp_path / "traces" / "mixed.parquet")
    assert (traces.model, [t.answer for t in traces.traces[0]]) == ("r1", ["0", "1", "2"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source": "released", "released": "nowhere"}, "cannot be had"),
        ({"jobs": {"a": {"reasoner": "r2", "benchmarks": [], "traces": 2}}}, "no reasoner 'r2'"),
        ({"jobs": {"a": {"reasoner": "r1", "benchmarks": ["aime"], "traces": 2}}}, "no benchmark"),
        ({"jobs": {"a": {"reasoner": "r1", "benchmarks": [], "traces": 2, "continues": "b"}}},
         "expected `continues` to name a job of r1"),
    ],
)  # fmt: skip
def test_what_cannot_be_collected_is_told_in_one_line(profile, capsys, monkeypatch, change, says):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    content = yaml.safe_load(profile.read_text())
    content["collect"] |= change
    profile.write_text(yaml.safe_dump(content))
    assert run(profile) == 1
    said = capsys.readouterr().err.strip()
    assert says in said
    assert "\n" not in said


def test_an_unknown_job_is_named(profile, capsys):
    assert run(profile, "nothing") == 1
    assert "there are mixed" in capsys.readouterr().err


def test_the_plan_counts_questions_traces_and_pairs(capsys):
    paper = load_profile(PAPER)
    assert num_questions(["aime-2024", "aime-2025", "gpqa-diamond"]) == 258
    rows = {row[0]: row for row in sampling_table(paper.collect, Rates(40_000, 300, 80)).rows}
    assert rows["qwen3-32b"][1] == f"{258 * 512:,}"
    # 1.1e9 tokens of 32.8 billion parameters at 40,000 tokens a second and billion.
    assert float(rows["qwen3-32b"][3]) == pytest.approx(258 * 512 * 8700 * 32.8 / 4e4 / 3600, abs=1)
    table = judge_table(paper, paper.collect, Rates(40_000, 300, 80))
    assert table.rows[3][2] == f"{3 * 258 * 512 * 511 // 2:,}"
    assert plan_main(["--profile", str(PAPER), "--gpu-gib", "24"]) == 0
    assert "Weights to fetch" in capsys.readouterr().out


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 60 kB; its size can be changed."""
    place = tmp_path / "disk"
    place.mkdir()
    size = "size=60k"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], capture_output=True
    )
    if made.returncode:
        pytest.skip("no permission to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_loses_no_finished_trace(profile, tmp_path, small_disk, capsys):
    content = yaml.safe_load(profile.read_text())
    content["collect"]["jobs"]["mixed"]["traces"] = 24
    profile.write_text(yaml.safe_dump(content))
    assert run(profile) == 0
    whole = read_traces(tmp_path / "traces" / "mixed.parquet")
    content["collect"]["folder"] = str(small_disk / "traces")
    profile.write_text(yaml.safe_dump(content))
    (small_disk / "ballast").write_bytes(b"x" * 20_000)
    assert run(profile) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "No space left" in said
    logs = list((small_disk / "traces").rglob("*.traces"))
    kept = {log.name: TraceLog(log, "q").read() for log in logs}
    assert sum(map(len, kept.values())) > 5
    subprocess.run(["mount", "-o", "remount,size=20M", str(small_disk)], check=True)
    assert run(profile) == 0
    again = read_traces(small_disk / "traces" / "mixed.parquet")
    assert [[t.text for t in g] for g in again.traces] == [
        [t.text for t in g] for g in whole.traces
    ]
