"""Reading once gives what reading alone gives, costs what it says, and learns."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import miniature_model

from deepprune_core.engines.named_judges import open_named_judge
from deepprune_core.formats.files import MANIFEST
from deepprune_core.judging.encode_once import HEAD, EncodeOnceJudge, PairHead, load_head, texts_of
from deepprune_core.judging.inputs import JudgeInput, TokenMeter, reading_tokens
from deepprune_core.judging.loading import load_encode_once
from deepprune_core.judging.prompts import plain_prompt
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.stored import judged_pairs
from deepprune_core.training.encode_once import train_encode_once
from deepprune_core.training.plan import TrainConfig
from deepprune_core.training.state import LabelledPairs, TrainResult
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
PROMPT = plain_prompt(TOKENIZER)
QUICK = TrainConfig(
    learning_rate=3e-3, batch_tokens=600, max_tokens=128, lora_rank=8, autocast=False,
    evaluate_every=20, checkpoint_every=3, epochs=12,
)  # fmt: skip


def judge(seed: int = 0, **settings: Any) -> EncodeOnceJudge:
    torch.manual_seed(seed)
    head = PairHead(64, slots=3, width=8, inner=16)
    return EncodeOnceJudge(miniature_model(seed), head.eval(), TOKENIZER, PROMPT, 128, **settings)


def some_pairs(count: int, seed: int, questions: int = 5) -> list[JudgeInput]:
    rng = np.random.default_rng(seed)

    def words(n: int) -> str:
        return " ".join(str(v) for v in rng.integers(0, 10, n))

    asked = [words(int(rng.integers(1, 6))) for _ in range(questions)]
    return [
        JudgeInput(asked[int(rng.integers(questions))], words(int(rng.integers(1, 9))),
                   words(int(rng.integers(1, 9))))
        for _ in range(count)
    ]  # fmt: skip


def margin_by_hand(one: EncodeOnceJudge, pair: JudgeInput) -> float:
    """The formula, text by text, without packing, masks or batches."""
    vectors = []
    for text in ((pair.question, pair.first), (pair.question, pair.second)):
        ids = one.encoder.encode(text)
        whole = torch.from_numpy(np.concatenate([ids.head, ids.tail])).long()[None]
        states = one.model.get_decoder()(input_ids=whole).last_hidden_state[0, len(ids.head) :]
        values = one.head.values(states)
        logits = states @ one.head.queries.weight.T
        slots = [torch.softmax(logits[:, s], 0) @ values for s in range(logits.shape[1])]
        vectors.append(torch.cat(slots))
    u, v = vectors
    inner = torch.cat([(u - v).abs(), u * v, u + v]) @ one.head.compared.weight.T
    inner = torch.nn.functional.gelu(inner + one.head.compared.bias)
    return float(inner @ one.head.margin.weight[0] + one.head.margin.bias)


@torch.no_grad()
@pytest.mark.parametrize("batch_tokens", [64, 4096])
def test_scores_are_those_of_reading_every_text_alone(batch_tokens: int) -> None:
    one, pairs = judge(batch_tokens=batch_tokens), some_pairs(40, 1)
    expected = [1 / (1 + np.exp(-margin_by_hand(one, pair))) for pair in pairs]
    np.testing.assert_allclose(one.score(pairs), expected, atol=6e-4)  # margins go in 0.001
    np.testing.assert_array_equal(one.score([p.swapped for p in pairs]), one.score(pairs))
    assert one.score([]).shape == (0,)


def test_a_prefix_is_read_and_counted_once() -> None:
    one, read = judge(), []
    forward = one.model.get_decoder().forward
    one.model.get_decoder().forward = lambda **kw: (
        read.append(kw["input_ids"].shape) or forward(**kw)
    )
    texts = [f"1 {i} 2" for i in range(9)]
    pairs = [JudgeInput("5", a, b) for a in texts for b in texts if a < b]
    one.score(pairs)
    passes = len(read)
    one.score(pairs)
    assert len(read) == passes
    alone = one.text_tokens([("5", text) for text in texts])
    np.testing.assert_array_equal(one.num_tokens(pairs), one.num_tokens(pairs))
    assert one.num_tokens(pairs).sum() == alone.sum()
    meter = TokenMeter(one)
    for start in range(0, len(pairs), 7):
        meter.add(pairs[start : start + 7])
    meter.add(pairs)
    assert meter.tokens == alone.sum()
    assert [TokenMeter(one).tokens, meter.tokens] == [0, alone.sum()]  # one a question


def test_it_forgets_the_oldest_prefixes_beyond_its_limit() -> None:
    pairs, limited, whole = some_pairs(30, seed=4), judge(keep=6), judge()
    for start in range(0, 30, 5):
        part = pairs[start : start + 5]
        np.testing.assert_allclose(limited.score(part), whole.score(part), atol=1e-6)
        assert len(limited._vectors) <= 6
    recent = dict.fromkeys(text for pair in pairs[25:] for text in texts_of(pair))
    assert set(list(recent)[-2:]) <= set(limited._vectors)


def test_the_replay_charges_a_trace_and_not_a_pair() -> None:
    one, texts = judge(), [f"{i} 1 2" for i in range(5)]
    ((scores, tokens),) = judged_pairs(one, [("5", texts)])
    assert scores.shape == (5, 5) and not tokens.any()
    np.testing.assert_array_equal(
        reading_tokens(one, "5", texts), one.text_tokens([("5", text) for text in texts])
    )
    assert reading_tokens(SameTextJudge(), "5", texts) is None


def test_broken_weights_and_long_questions_are_named() -> None:
    one = judge()
    with torch.no_grad():
        one.head.margin.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="finite margins"):
        one.score(some_pairs(2, 0))
    with pytest.raises(ValueError, match="raise max_tokens"):
        one.score([JudgeInput("1 " * 200, "1", "2")])


def matching_pairs(questions: int, seed: int) -> LabelledPairs:
    """Six texts a question; two agree exactly when they hold the same word, yes or no."""
    rng = np.random.default_rng(seed)
    inputs, labels, groups = [], [], []
    for q in range(questions):
        words = rng.permutation(["yes", "no"] * 3)
        texts = [
            f"{rng.integers(10)} {word} {rng.integers(10)} {i}" for i, word in enumerate(words)
        ]
        for i in range(6):
            for j in range(i):
                inputs.append(JudgeInput(f"{q % 10} 2", texts[i], texts[j]))
                labels.append(int(words[i] == words[j]))
                groups.append(q)
    return LabelledPairs(tuple(inputs), np.array(labels), np.array(groups))


def train(config: TrainConfig, out: Path, **more: Any) -> TrainResult:
    return train_encode_once(
        config, miniature_model(0), TOKENIZER, prompt=PROMPT, train=matching_pairs(40, 1),
        validation=matching_pairs(10, 2), out=out, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(QUICK, tmp_path_factory.mktemp("once") / "judge")


def test_training_learns_to_compare(trained: TrainResult) -> None:
    assert trained.validation_auroc > 0.95
    assert trained.history[-1].validation_auroc_within > 0.95
    assert trained.pairs == QUICK.epochs * 40 * 15


def test_the_saved_judge_repeats_the_validation(trained: TrainResult, tmp_path: Path) -> None:
    from deepprune_core.metrics import auroc

    miniature_model(0).save_pretrained(tmp_path / "base")
    TOKENIZER.save_pretrained(tmp_path / "base")
    held_out = matching_pairs(10, 2)
    scores = load_encode_once(tmp_path / "base", trained.folder).score(held_out.inputs)
    assert auroc(held_out.labels, scores) == pytest.approx(trained.validation_auroc, abs=2e-3)
    named = open_named_judge(str(trained.folder), str(tmp_path / "base")).judge
    np.testing.assert_array_equal(named.score(held_out.inputs), scores)
    shutil.copytree(trained.folder, tmp_path / "tuned")
    manifest = json.loads((tmp_path / "tuned" / MANIFEST).read_text())
    (tmp_path / "tuned" / MANIFEST).write_text(json.dumps({**manifest, "tau": 0.55}))
    taus = [open_named_judge(str(f), str(tmp_path / "base")).tau
            for f in (trained.folder, tmp_path / "tuned")]  # fmt: skip
    assert taus == [0.5, 0.55]


def test_a_stopped_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    config = replace(QUICK, epochs=2)

    def stop(row: Any) -> None:
        if row.step == 8:
            raise InterruptedError

    whole = train(config, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        train(config, tmp_path / "cut", on_step=stop)
    again = train(config, tmp_path / "cut")
    for name in (HEAD, "adapter_model.safetensors"):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not (tmp_path / "cut.work").exists()
    losses = [[row.loss for row in one.history] for one in (train(config, tmp_path / "cut"), again)]
    assert losses[0] == losses[1]
    with pytest.raises(ValueError, match=r"config\.gamma"):
        train(replace(config, gamma=1.0), tmp_path / "cut")


def test_a_folder_of_someone_else_is_refused_before_any_step(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="move it"):
        train(QUICK, tmp_path / "judge")
    assert (tmp_path / "judge" / "notes.txt").read_text() == "mine"


def test_a_file_that_is_no_head_is_refused(trained: TrainResult) -> None:
    with pytest.raises(ValueError, match="expected the head"):
        load_head(trained.folder / "adapter_model.safetensors")
