"""Training learns, repeats bit for bit, survives a kill, and refuses to mix runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepprune_core.judge import CausalLMJudge, JudgeInput
from deepprune_core.judging.loading import load_judge
from deepprune_core.judging.prompts import plain_prompt
from deepprune_core.training.loop import HistoryRow, LabelledPairs, TrainConfig, train_judge
from deepprune_core.training.plan import plan_batches, plan_shared_batches, rate_scale
from deepprune_core.training.state import read_history, write_history
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
PROMPT = plain_prompt(TOKENIZER)
QUICK = TrainConfig(
    learning_rate=3e-3,
    batch_tokens=1024,
    max_tokens=128,
    lora_rank=8,
    autocast=False,
    evaluate_every=5,
    checkpoint_every=3,
    epochs=1,
)


def tiny_model(seed: int = 0) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=192,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            initializer_range=0.1,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def toy_pairs(num_pairs: int, seed: int) -> LabelledPairs:
    """Pairs that are the same exactly when the word in the second prefix is yes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, num_pairs)
    inputs = []
    for label in labels:
        numbers = [str(v) for v in rng.integers(0, 10, rng.integers(3, 9))]
        word = "yes" if label else "no"
        place = int(rng.integers(0, len(numbers)))
        second = " ".join([*numbers[:place], word, *numbers[place:]])
        inputs.append(JudgeInput("1 2", " ".join(numbers[::-1]), second))
    return LabelledPairs(tuple(inputs), labels, groups=np.arange(num_pairs) % 4)


TRAIN, VALIDATION = toy_pairs(300, seed=1), toy_pairs(60, seed=2)


def train(config: TrainConfig, out: Path, **changes: Any) -> Any:
    settings = {"prompt": PROMPT, "train": TRAIN, "validation": VALIDATION, "out": out}
    return train_judge(config, tiny_model(), TOKENIZER, **settings | changes)


def weights_of(folder: Path) -> bytes:
    (path,) = folder.glob("*.safetensors")
    return path.read_bytes()


class Stop(Exception):  # noqa: N818
    pass


def stop_at(step: int) -> Any:
    def callback(row: HistoryRow) -> None:
        if row.step == step:
            raise Stop

    return callback


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(replace(QUICK, epochs=4), tmp_path_factory.mktemp("trained") / "judge")


def test_training_on_a_separable_toy_reaches_a_high_auroc(trained: Any) -> None:
    assert trained.validation_auroc > 0.9
    assert trained.history[-1].validation_auroc_within > 0.9
    assert trained.loss < trained.history[0].loss
    assert trained.pairs == 4 * len(TRAIN)


def test_the_adapter_loads_with_its_prompt_and_repeats_the_validation(
    trained: Any, tmp_path: Path
) -> None:
    from deepprune_core.metrics import auroc

    tiny_model().save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    judge = load_judge(tmp_path, trained.folder)
    assert judge.prompt == PROMPT and judge.encoder.max_tokens == QUICK.max_tokens
    scores = judge.score(VALIDATION.inputs)
    assert auroc(VALIDATION.labels, scores) == pytest.approx(trained.validation_auroc, abs=1e-3)


def test_an_adapter_on_other_base_weights_is_refused(trained: Any, tmp_path: Path) -> None:
    tiny_model(seed=5).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="own base model"):
        load_judge(tmp_path, trained.folder)


def test_the_folder_holds_a_manifest_written_last_and_no_pickle(trained: Any) -> None:
    import hashlib

    manifest = json.loads((trained.folder / "manifest.json").read_text())
    assert manifest["config"]["gamma"] == 2.0 and manifest["kind"] == "lora"
    assert manifest["steps"] == trained.steps == len(trained.history)
    (digest,) = manifest["sha256"].values()
    assert digest == hashlib.sha256(weights_of(trained.folder)).hexdigest()
    assert {p.suffix for p in trained.folder.iterdir()} <= {".safetensors", ".json", ".csv", ".md"}
    assert [p.name for p in trained.folder.parent.iterdir()] == [trained.folder.name]


def test_validation_runs_every_n_steps_and_after_the_last(trained: Any) -> None:
    steps = [row.step for row in trained.history if not np.isnan(row.validation_auroc)]
    assert steps == sorted({*range(5, trained.steps + 1, 5), trained.steps})


def test_a_finished_training_is_returned_without_a_step(trained: Any) -> None:
    again = train(replace(QUICK, epochs=4), trained.folder, on_step=stop_at(1))
    assert [row.loss for row in again.history] == [row.loss for row in trained.history]
    assert (again.steps, again.loss) == (trained.steps, trained.loss)


def test_another_configuration_is_refused_with_the_differing_key(
    trained: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"config\.learning_rate"):
        train(replace(QUICK, epochs=4, learning_rate=1.0), trained.folder)
    with pytest.raises(Stop):
        train(QUICK, tmp_path / "judge", on_step=stop_at(4))
    with pytest.raises(ValueError, match="train_sha256"):
        train(QUICK, tmp_path / "judge", train=VALIDATION)


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="manifest"):
        train(QUICK, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "config", [replace(QUICK, lora_dropout=0.1), replace(QUICK, lora_rank=None, autocast=True)]
)
def test_an_interrupted_run_ends_as_an_undisturbed_one(config: TrainConfig, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(config, whole)
    for step in (2, 5):  # before the first checkpoint, and between two
        with pytest.raises(Stop):
            train(config, broken, on_step=stop_at(step))
        assert not broken.exists()
    seen: list[int] = []
    train(config, broken, on_step=lambda row: seen.append(row.step))
    assert seen[0] == 4
    assert weights_of(broken) == weights_of(whole)
    assert (broken / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def test_a_killed_process_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(QUICK, whole)
    program = (
        "import os, sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "import test_train as t\n"
        "def kill(row):\n    if row.step == 5: os.kill(os.getpid(), 9)\n"
        "t.train(t.QUICK, Path(sys.argv[1]), on_step=kill)\n"
    )
    here = Path(__file__).parent
    command = [sys.executable, "-c", program, str(killed), str(here), str(here.parent)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not killed.exists()
    train(QUICK, killed)
    np.testing.assert_array_equal(
        np.frombuffer(weights_of(killed), np.uint8), np.frombuffer(weights_of(whole), np.uint8)
    )


@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, None), (2.0, 0.25)])
def test_the_first_loss_is_the_focal_loss_of_the_untrained_judge(
    gamma: float, alpha: float | None, tmp_path: Path
) -> None:
    config = replace(QUICK, gamma=gamma, alpha=alpha, batch_tokens=100_000, max_tokens=100)
    losses: list[float] = []
    train(config, tmp_path / "judge", on_step=lambda row: losses.append(row.loss))
    p = CausalLMJudge(tiny_model(), TOKENIZER, PROMPT, 100).score(TRAIN.inputs)
    right = np.where(TRAIN.labels == 1, p, 1 - p)
    share = 1.0 if alpha is None else np.where(TRAIN.labels == 1, alpha, 1 - alpha)
    truth = np.mean(-share * (1 - right) ** gamma * np.log(right))
    assert losses == [pytest.approx(truth, rel=1e-4)]


def test_splitting_a_step_into_passes_changes_nothing(tmp_path: Path) -> None:
    whole = train(QUICK, tmp_path / "whole")
    split = train(replace(QUICK, micro_tokens=200), tmp_path / "split")
    for name in ("loss", "gradient_norm"):
        one, other = ([getattr(row, name) for row in r.history] for r in (whole, split))
        np.testing.assert_allclose(one[:2], other[:2], rtol=1e-4)  # rounding grows from there
        np.testing.assert_allclose(one, other, rtol=1e-2)


def test_without_validation_pairs_the_auroc_is_nan(tmp_path: Path) -> None:
    nothing = LabelledPairs((), np.empty(0))
    result = train(QUICK, tmp_path / "judge", train=toy_pairs(20, 3), validation=nothing)
    assert np.isnan(result.validation_auroc)
    with pytest.raises(ValueError, match="at least one training pair"):
        train(QUICK, tmp_path / "other", train=nothing)


def test_labels_must_be_zero_or_one_and_aligned() -> None:
    pair = JudgeInput("q", "a", "b")
    with pytest.raises(ValueError, match="ungradable"):
        LabelledPairs((pair, pair), np.array([0, -1]))
    with pytest.raises(ValueError, match="one length"):
        LabelledPairs((pair,), np.array([0, 1]))


def test_an_epochs_batches_cover_every_pair_once_and_repeat_per_seed() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 500)
    plans = [
        plan_batches(lengths, 300, np.random.default_rng([7, epoch]), bucket=128)
        for epoch in (0, 0, 1)
    ]
    assert sorted(np.concatenate(plans[0]).tolist()) == list(range(500))
    assert all(len(b) * lengths[b].max() <= 300 for b in plans[0])
    assert all((a == b).all() for a, b in zip(plans[0], plans[1], strict=True))
    assert [b.tolist() for b in plans[0]] != [b.tolist() for b in plans[2]]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_rises_once_and_then_falls(schedule: str) -> None:
    rates = [rate_scale(s, 100, warmup=0.1, schedule=schedule) for s in range(100)]
    assert rates[9] == rates[10] == 1.0 and min(rates) > 0
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all()


def test_a_history_file_keeps_every_digit(tmp_path: Path) -> None:
    rows = [
        HistoryRow(1, 0, 8, 300, 1 / 3, 1e-5 / 7, 2**0.5),
        HistoryRow(2, 0, 16, 601, 0.1, 0.0, 1e-300, 2 / 3, 0.9),
    ]
    write_history(rows, tmp_path / "history.csv")
    back = read_history(tmp_path / "history.csv")
    assert back[1] == rows[1]
    assert back[0].loss == rows[0].loss and np.isnan(back[0].validation_auroc)


def crowded_pairs() -> LabelledPairs:
    """Pairs of few first prefixes; some pairs stand twice, some first prefixes once."""
    rng = np.random.default_rng(3)
    texts = [" ".join(map(str, rng.integers(0, 10, 3 + i))) for i in range(7)]
    rows = [(i, j) for i in range(7) for j in range(i + 1, 7)]
    rows += rows[2:9]
    inputs = tuple(JudgeInput("1 2", texts[i], texts[j]) for i, j in rows)
    return LabelledPairs(inputs, rng.integers(0, 2, len(inputs)), np.arange(len(inputs)) % 4)


def test_reading_shared_heads_once_gives_the_gradient_of_reading_every_pair(tmp_path: Path) -> None:
    """One step over all pairs: the same weights come out, however they are read."""
    pairs, found = crowded_pairs(), []
    for share, micro in ((False, None), (True, None), (True, 40)):
        config = replace(
            QUICK, batch_tokens=10**6, micro_tokens=micro, share_heads=share, warmup=0.0
        )
        out = tmp_path / f"{share}-{micro}"
        result = train(config, out, train=pairs)
        assert result.steps == 1 and result.pairs == len(pairs)
        found.append((result.loss, result.history[0].gradient_norm))
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_shared_batches_hold_every_pair_once_and_keep_heads_together() -> None:
    rng = np.random.default_rng(4)
    heads = rng.permutation(np.repeat(np.arange(50), rng.integers(1, 9, 50)))
    tails = rng.integers(5, 30, len(heads))
    batches = plan_shared_batches(heads, np.full(len(heads), 40), tails, 400, rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(heads)))
    for head in range(50):
        assert sum(head in heads[batch] for batch in batches) == 1


def test_how_often_a_run_is_saved_does_not_make_it_another(tmp_path):
    done = train(QUICK, tmp_path / "judge")
    again = train(replace(QUICK, checkpoint_every=50, evaluate_every=7), tmp_path / "judge")
    assert again.validation_auroc == done.validation_auroc
    with pytest.raises(ValueError, match="learning_rate"):
        train(replace(QUICK, learning_rate=1e-3), tmp_path / "judge")
