"""`deepprune judge`: a judge is trained on a trace file, scores it, and prunes with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import miniature_model
from typer.testing import CliRunner

from deepprune_core.cli.app import app
from deepprune_core.cli.options import BAD_INPUT
from deepprune_core.metrics import auroc
from replication.miniature.tokenizer import build_tokenizer

RUNNER = CliRunner()
CUT = ["--cut", "3 words"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the miniature's kind, with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    miniature_model().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions whose traces say early how they end."""
    rng, lines = np.random.default_rng(0), []
    for q in range(24):
        kinds = rng.permutation([0, 0, 0, 1, 1, 2])
        texts = [
            f"so {rng.integers(10)} {k} so {k} {k} so {rng.integers(10)} then 3 3 \\boxed{{{k}}}"
            for k in kinds
        ]
        lines.append({"question_id": f"q{q}", "question": f"{q % 10} 2", "gold": "0", "model": "m",
                      "traces": [{"text": text} for text in texts]})  # fmt: skip
    path = tmp_path_factory.mktemp("traces") / "traces.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("once", [True, False])
def test_a_judge_is_trained_scores_and_prunes(
    once: bool, base: Path, traces: Path, tmp_path: Path
) -> None:
    out, scores = tmp_path / "judge", tmp_path / "scores.jsonl"
    settings = ["--learning-rate", "3e-3", "--batch-tokens", "600", "--epochs", "12"]
    trained = ["judge", "train", str(traces), "--base", str(base), "--out", str(out), *CUT]
    made = RUNNER.invoke(app, [*trained, *settings, *(["--once"] if once else [])])
    assert made.exit_code == 0 and "validation AUROC" in made.output, made.output
    assert (out / "head.safetensors").is_file() == once
    named = ["--judge", str(out), "--judge-base", str(base), *CUT]
    done = RUNNER.invoke(app, ["judge", "score", str(traces), *named, "--out", str(scores)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    assert len(rows) == 24 * 15
    skill = auroc(np.array([r["same"] for r in rows]), np.array([r["score"] for r in rows]))
    assert skill > (0.95 if once else 0.6)
    told = RUNNER.invoke(app, ["judge", "eval", str(traces), *named, "--json"])
    assert json.loads(told.stdout)["auroc"] == pytest.approx(skill, abs=1e-4)
    pruned = RUNNER.invoke(app, ["prune", str(traces), *named, "--json"])
    assert pruned.exit_code == 0, pruned.output
    by_method = {row["method"]: row for row in json.loads(pruned.stdout)}
    assert by_method["weighted"]["saved_net"] < by_method["weighted"]["saved"]


def test_once_and_full_do_not_go_together(base: Path, traces: Path, tmp_path: Path) -> None:
    asked = ["judge", "train", str(traces), "--base", str(base), "--out", str(tmp_path / "j")]
    found = RUNNER.invoke(app, [*asked, "--once", "--full"])
    assert found.exit_code == BAD_INPUT and "leave --full out" in found.output
