"""SIGKILL at random moments: what comes out in the end is what an undisturbed run gives.

The commands are the real ones, on the rehearsal's tiny models.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from deepprune_core.formats.trace_files import read_traces
from replication.workflow.profile import ROOT, load_profile
from replication.workflow.rehearsal import prepare

pytestmark = pytest.mark.slow
PAPER = ROOT / "replication" / "profiles" / "paper.yaml"
JUDGE = "4-reasoning_words-both-train"
KILLS = int(os.environ.get("DEEPPRUNE_KILLS", "4"))  # `make soak` sets more


@pytest.fixture(scope="module")
def rehearsed():
    folder = ROOT / "build" / f"kills-{os.getpid()}"  # two runs of the tests do not meet
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = prepare(PAPER, folder)
    content = yaml.safe_load(path.read_text())
    jobs = content["collect"]["jobs"]
    jobs["train-v2"]["traces"] = 12
    content["collect"]["jobs"] = {"train-v2": jobs["train-v2"]}
    for key in ("redundancy", "unseen", "online"):
        content["traces"][key] = [content["traces"]["train"]]
    content["traces"]["leaky"] = content["traces"]["train"]
    content["judge"] |= {"train_pairs": 200, "train_batch_tokens": 512, "micro_tokens": 512}
    path.write_text(yaml.safe_dump(content))
    yield path
    shutil.rmtree(folder, ignore_errors=True)


def module(name: str, profile: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", f"replication.{name}", "--profile", str(profile), *more]


def environment(profile: Path) -> dict[str, str]:
    return {**os.environ, "DEEPPRUNE_BENCHMARKS": str(profile.parent / "benchmarks"),
            "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}  # fmt: skip


def run(command: list[str], profile: Path) -> float:
    """Run a command to its end; return its seconds."""
    started = time.monotonic()
    done = subprocess.run(command, env=environment(profile), cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return time.monotonic() - started


def run_with_kills(command: list[str], profile: Path, seconds: float, made: list[Path]) -> int:
    """Start a command again and again, kill it at random moments; return how often it was hit.

    A run that ends before its first kill was faster than `seconds` said: what it made is
    taken away, and its own time counts from then on.
    """
    rng, hit = np.random.default_rng(7), 0
    for _ in range(KILLS):
        started = time.monotonic()
        process = subprocess.Popen(
            command, env=environment(profile), cwd=ROOT, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(timeout=float(rng.uniform(0.5, 1.0)) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hit += 1
        else:
            if hit:
                break
            seconds = time.monotonic() - started
            remove(made)
    run(command, profile)
    return hit


def remove(made: list[Path]) -> None:
    for path in made:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def texts(path: Path) -> list[list[str]]:
    return [[t.text for t in group] for group in read_traces(path).traces]


def test_killed_sampling_gives_the_same_traces(rehearsed):
    command = module("workflow.collect", rehearsed, "--engine", "transformers", "--limit", "12",
                     "--parallel", "2")  # fmt: skip
    seconds, target = run(command, rehearsed), rehearsed.parent / "traces" / "train-v2.parquet"
    whole = texts(target)
    assert [len(group) for group in whole] == [12] * 36
    target.unlink()
    assert run_with_kills(command, rehearsed, seconds, [target]) >= 1
    assert texts(target) == whole
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def sampled(profile: Path) -> None:
    """Sample the profile's traces, unless they are there."""
    if not (profile.parent / "traces" / "train-v2.parquet").is_file():
        run(module("workflow.collect", profile, "--engine", "transformers", "--limit", "12"),
            profile)  # fmt: skip


def test_killed_training_and_scoring_give_the_same_judge(rehearsed):
    sampled(rehearsed)
    command = module("make_judges", rehearsed, JUDGE)
    seconds = run(command, rehearsed)
    made = [rehearsed.parent / "judges" / JUDGE / "adapter_model.safetensors",
            rehearsed.parent / "judges" / JUDGE / "pairs.parquet",
            rehearsed.parent / "scores" / "online.parquet",
            rehearsed.parent / "scores" / "zero-shot.parquet"]  # fmt: skip
    whole = [path.read_bytes() for path in made]
    folders = [rehearsed.parent / "judges", rehearsed.parent / "scores"]
    remove(folders)
    assert run_with_kills(command, rehearsed, seconds, folders) >= 1
    assert [path.read_bytes() for path in made] == whole
    assert not list(rehearsed.parent.rglob("*.tmp"))


def test_killed_notebooks_give_the_same_figures(rehearsed):
    sampled(rehearsed)
    numbers = ("01", "02") if KILLS < 10 else tuple(f"{i:02d}" for i in range(1, 9))
    build, figures = rehearsed.parent / "run", rehearsed.parent / "run" / "figures"
    if len(numbers) > 2:
        run(module("make_judges", rehearsed), rehearsed)
    command = ["make", *(f"{build.relative_to(ROOT)}/{n}.done" for n in numbers), "PROFILE=kills",
               f"PROFILE_FILE={rehearsed.relative_to(ROOT)}", f"BUILD={build.relative_to(ROOT)}",
               f"FIGURES={figures.relative_to(ROOT)}"]  # fmt: skip
    seconds = run(command, rehearsed)
    whole = contents(figures)
    assert {path.suffix for path in whole} >= {".csv", ".png", ".pdf"}
    remove([build])
    assert run_with_kills(command, rehearsed, seconds, [build]) >= 1
    assert contents(figures) == whole
    assert not [path for path in build.rglob("*") if ".running" in path.name]


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what the files of a folder hold; the pages of notebooks, which tell times, apart."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".html")
    return {path.relative_to(folder): path.read_bytes() for path in found}


def test_processes_that_share_a_judge_go_on_after_a_kill(rehearsed):
    sampled(rehearsed)
    content = yaml.safe_load(rehearsed.read_text())
    place = rehearsed.parent.relative_to(ROOT)
    content["judge"] |= {
        "lora_rank": None, "sharded": True, "checkpoint_every": 1, "adapters": f"{place}/full",
        "adapter": f"{place}/full/{JUDGE}", "scores": f"{place}/full-scores/online.parquet",
    }  # fmt: skip
    profile = rehearsed.with_name("sharded.yaml")
    profile.write_text(yaml.safe_dump(content))
    command = module("make_judges", profile, JUDGE)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launched = [command[0], *launcher, *command[1:]]
    where = {**environment(profile), "ACCELERATE_USE_CPU": "1"}
    killed = subprocess.Popen(launched, env=where, cwd=ROOT, start_new_session=True)
    work = load_profile(profile).judge.work / "judges" / f"{JUDGE}.work"
    until = time.monotonic() + 120
    while not (work / "checkpoint" / "history.csv").is_file() and time.monotonic() < until:
        time.sleep(0.02)
    subprocess.run(["pkill", "-KILL", "-f", str(profile)], check=True)  # launcher and processes
    assert killed.wait() == -signal.SIGKILL
    assert (work / "checkpoint" / "history.csv").is_file()

    done = subprocess.run(launched, env=where, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-6000:]
    made = rehearsed.parent / "full" / JUDGE
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["processes"] == 2 and (made / "model.safetensors").is_file()
    assert (made / "pairs.parquet").is_file() and not work.exists()
    assert done.stdout.count("validation AUROC") == 1  # one process speaks for all
