"""The judge scores as the model itself would, however pairs are grouped, ordered or repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepprune_core.judge import CausalLMJudge, JudgeInput, token_batches, weights_digest
from deepprune_core.judging.loading import load_judge
from deepprune_core.judging.prompts import (
    JudgePrompt,
    PairEncoder,
    chat_prompt,
    label_token,
    plain_prompt,
)
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
PROMPT = plain_prompt(TOKENIZER)
CHAT = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}<s>Verdict:"


def tiny_model(seed: int = 0, **changes: Any) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    settings = {
        "vocab_size": 192,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return Qwen3ForCausalLM(Qwen3Config(**settings | changes)).eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


def random_text(rng: np.random.Generator, low: int = 1, high: int = 40) -> str:
    return " ".join(str(v) for v in rng.integers(0, 10, rng.integers(low, high)))


def random_pairs(num_firsts: int, num_seconds: int, seed: int = 0) -> list[JudgeInput]:
    rng = np.random.default_rng(seed)
    return [
        JudgeInput(question, first, random_text(rng))
        for question, first in [(random_text(rng), random_text(rng)) for _ in range(num_firsts)]
        for _ in range(num_seconds)
    ]


def own_probability(model: Any, pair: JudgeInput) -> float:
    """P(same) from the model's full forward pass over the prompt written out as one text."""
    text = f"<s>{pair.question} Trace 1: {pair.first} Trace 2: {pair.second} Verdict:"
    ids = torch.tensor([TOKENIZER.encode(text)])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1].double()
    same, different = (TOKENIZER.convert_tokens_to_ids(t) for t in ("▁same", "▁different"))
    return float(torch.softmax(logits[[different, same]], 0)[1])


@pytest.mark.parametrize("min_shared", [None, 1, 3, 2])  # 2 stands for packed rows
def test_scores_equal_the_models_own_softmax_over_the_two_labels(
    model: Any, min_shared: int | None
) -> None:
    pairs = random_pairs(3, 4) + random_pairs(5, 1, seed=1)
    packed = min_shared == 2
    judge = CausalLMJudge(
        model, TOKENIZER, PROMPT, batch_tokens=300, min_shared=min_shared, packed=packed
    )
    scores = judge.score(pairs)
    truth = [own_probability(model, pair) for pair in pairs]
    assert scores.dtype == np.float64
    assert np.ptp(truth) > 0.1
    np.testing.assert_allclose(scores, truth, atol=2e-4)


def test_reading_the_head_once_gives_the_scores_of_reading_everything(model: Any) -> None:
    pairs = random_pairs(4, 7, seed=2)
    plain = CausalLMJudge(model, TOKENIZER, PROMPT, min_shared=None).score(pairs)
    shared = CausalLMJudge(model, TOKENIZER, PROMPT, min_shared=1, batch_tokens=90).score(pairs)
    np.testing.assert_allclose(shared, plain, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt_neox", "sliding"])
def test_the_shared_head_is_right_for_other_architectures_too(kind: str) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    if kind == "sliding":
        model = tiny_model(
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=8,
            use_sliding_window=True,
            max_window_layers=0,
        )
    else:
        torch.manual_seed(0)
        model = GPTNeoXForCausalLM(
            GPTNeoXConfig(
                vocab_size=192,
                hidden_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=128,
                max_position_embeddings=256,
                initializer_range=0.3,
            )
        ).eval()
    pairs = random_pairs(2, 4, seed=3)
    shared = CausalLMJudge(model, TOKENIZER, PROMPT, min_shared=1).score(pairs)
    np.testing.assert_allclose(shared, [own_probability(model, p) for p in pairs], atol=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 100, 5000])
def test_scores_do_not_depend_on_batches_or_input_order(model: Any, batch_tokens: int) -> None:
    pairs = random_pairs(4, 3, seed=4)
    expected = CausalLMJudge(model, TOKENIZER, PROMPT).score(pairs)
    order = np.random.default_rng(0).permutation(len(pairs))
    judge = CausalLMJudge(model, TOKENIZER, PROMPT, batch_tokens=batch_tokens)
    np.testing.assert_allclose(judge.score([pairs[i] for i in order]), expected[order], atol=1e-4)
    assert len(judge.score([])) == 0


def test_equal_pairs_are_read_once_and_score_alike(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepprune_core import judge as judge_module

    rows = []
    original = judge_module.verdict_logits

    def counting(model: Any, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(len(ids))
        return original(model, ids, *rest)

    monkeypatch.setattr(judge_module, "verdict_logits", counting)
    pairs = random_pairs(2, 2, seed=5)
    scores = CausalLMJudge(model, TOKENIZER, PROMPT).score(pairs * 3)
    assert sum(rows) == 4
    assert (scores.reshape(3, 4) == scores[:4]).all()


def test_symmetric_scores_are_the_mean_of_both_orders(model: Any) -> None:
    pairs = random_pairs(3, 2, seed=6)
    one_way = CausalLMJudge(model, TOKENIZER, PROMPT)
    both = CausalLMJudge(model, TOKENIZER, PROMPT, symmetric=True)
    swapped = [pair.swapped for pair in pairs]
    mean = (one_way.score(pairs) + one_way.score(swapped)) / 2
    np.testing.assert_allclose(both.score(pairs), mean, atol=1e-5)
    # The same pairs in other rows of a batch: fp32 sums may differ in the last bit.
    np.testing.assert_allclose(both.score(swapped), both.score(pairs), atol=1e-6)
    total = one_way.num_tokens(pairs) + one_way.num_tokens(swapped)
    assert (both.num_tokens(pairs) == total).all()


def test_num_tokens_counts_the_whole_prompt(model: Any) -> None:
    judge = CausalLMJudge(model, TOKENIZER, PROMPT)
    pair = JudgeInput("Ann 1", "1 2 3", "4 5")
    text = "<s>Ann 1 Trace 1: 1 2 3 Trace 2: 4 5 Verdict:"
    assert judge.num_tokens([pair]).tolist() == [len(TOKENIZER.encode(text))]


def test_bf16_autocast_stays_near_fp32() -> None:
    calm = tiny_model(initializer_range=0.05)
    pairs = random_pairs(3, 4, seed=7)
    exact = CausalLMJudge(calm, TOKENIZER, PROMPT).score(pairs)
    rough = CausalLMJudge(calm, TOKENIZER, PROMPT, autocast=True).score(pairs)
    np.testing.assert_allclose(rough, exact, atol=0.02)


def test_nan_logits_are_refused_with_the_index_of_the_pair() -> None:
    broken = tiny_model()
    with torch.no_grad():
        broken.get_input_embeddings().weight[TOKENIZER.convert_tokens_to_ids("▁both")] = np.nan
    pairs = random_pairs(1, 4, seed=8)
    pairs[2] = replace(pairs[2], second="1 both 2")
    with pytest.raises(FloatingPointError, match=r"\[2\]"):
        CausalLMJudge(broken, TOKENIZER, PROMPT).score(pairs)


def test_a_prompt_without_question_ignores_the_question(model: Any) -> None:
    judge = CausalLMJudge(model, TOKENIZER, plain_prompt(TOKENIZER, with_question=False))
    one, other = JudgeInput("1 2", "3", "4"), JudgeInput("5 6 7", "3", "4")
    assert judge.score([one])[0] == judge.score([other])[0]
    assert judge.num_tokens([one])[0] == judge.num_tokens([other])[0]


@pytest.mark.parametrize("label", [" same different", " unheardof", ""])
def test_a_label_that_is_not_one_known_token_is_refused(model: Any, label: str) -> None:
    with pytest.raises(ValueError, match="to be one token"):
        CausalLMJudge(model, TOKENIZER, replace(PROMPT, same_label=label))


def test_equal_label_tokens_and_an_oversized_context_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="two different label tokens"):
        CausalLMJudge(model, TOKENIZER, replace(PROMPT, same_label="different"))
    with pytest.raises(ValueError, match="at most 256"):
        CausalLMJudge(model, TOKENIZER, PROMPT, max_tokens=300)


def test_a_pair_too_long_loses_the_ends_of_both_prefixes_and_is_counted(model: Any) -> None:
    long = JudgeInput("1 2 3", " ".join("4" * 90), " ".join("5" * 70))
    lopsided = replace(long, second="5 6")
    fits = replace(long, first="4 4", second="5")
    judge = CausalLMJudge(model, TOKENIZER, PROMPT, max_tokens=60)
    scores = judge.score([long, fits, lopsided, long])
    assert judge.num_shortened == 2
    fixed = len(TOKENIZER.encode("<s>1 2 3 Trace 1: Trace 2: Verdict:"))
    keep = (60 - fixed) // 2
    cut = replace(long, first=" ".join("4" * keep), second=" ".join("5" * keep))
    assert scores[0] == pytest.approx(own_probability(model, cut), abs=1e-4)
    kept = replace(lopsided, first=" ".join("4" * (60 - fixed - 2)))
    assert scores[2] == pytest.approx(own_probability(model, kept), abs=1e-4)
    assert judge.num_tokens([long, lopsided]).max() == 60


def test_a_question_that_leaves_no_room_is_refused(model: Any) -> None:
    judge = CausalLMJudge(model, TOKENIZER, PROMPT, max_tokens=30)
    with pytest.raises(ValueError, match="raise max_tokens"):
        judge.score([JudgeInput(" ".join("1" * 25), "2 2", "3 3")])


@given(st.integers(0, 50), st.integers(0, 50), st.integers(2, 120))
def test_the_common_length_is_the_largest_that_fits(first: int, second: int, room: int) -> None:
    encoder = PairEncoder(TOKENIZER, PROMPT, 100)
    keep = encoder._tokens_to_keep(room, first, second)
    assert min(first, keep) + min(second, keep) <= room
    if keep < max(first, second):
        assert min(first, keep + 1) + min(second, keep + 1) > room


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 100))
def test_batches_cover_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def test_a_control_token_spelled_in_a_trace_stays_text() -> None:
    encoder = PairEncoder(TOKENIZER, PROMPT, 100)
    pair = encoder.encode("<s> 1", "2 </s> 3", "<pad>")
    ids = [*pair.head, *pair.tail]
    assert ids.count(TOKENIZER.bos_token_id) == 1 and ids[0] == TOKENIZER.bos_token_id
    assert TOKENIZER.eos_token_id not in ids and TOKENIZER.pad_token_id not in ids


@pytest.mark.parametrize(
    "template",
    [
        "{first} {first} {second}:",
        "{second} {first}:",
        "{first} {question} {second}:",
        "{question} {first}:",
        "Trace 1: {first} Trace 2: {second}",
    ],
)
def test_a_template_with_missing_or_misplaced_fields_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        JudgePrompt(template, " same", " different")


def test_the_chat_prompt_is_the_chat_template_around_the_fields() -> None:
    tokenizer = build_tokenizer()
    with pytest.raises(ValueError, match="plain_prompt"):
        chat_prompt(tokenizer)
    tokenizer.chat_template = CHAT
    prompt = chat_prompt(tokenizer)
    assert prompt.template.startswith("<s>system: ") and prompt.template.endswith("<s>Verdict:")
    assert prompt.reads_question and (prompt.same_label, prompt.different_label) == ("yes", "no")
    assert not chat_prompt(tokenizer, with_question=False).reads_question
    assert label_token(tokenizer, prompt.same_label) == label_token(tokenizer, " yes")


def test_the_fingerprint_follows_weights_and_settings_and_not_batches(model: Any) -> None:
    def fingerprint(model: Any, **settings: Any) -> str:
        return CausalLMJudge(model, TOKENIZER, PROMPT, **settings).fingerprint

    base = fingerprint(model)
    assert fingerprint(tiny_model(), batch_tokens=7, min_shared=None) == base
    others = [
        fingerprint(tiny_model(1)),
        fingerprint(model, symmetric=True),
        fingerprint(model, autocast=True),
        fingerprint(model, max_tokens=99),
    ]
    assert len({base, *others}) == 5


def test_the_digest_in_bf16_ignores_the_loading_precision() -> None:
    as_bf16 = tiny_model().to(torch.bfloat16)
    digest = weights_digest(as_bf16, torch.bfloat16)
    assert digest == weights_digest(tiny_model(), torch.bfloat16)
    assert weights_digest(as_bf16) != weights_digest(tiny_model())


def test_a_saved_judge_loads_and_scores_alike(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    pairs = random_pairs(2, 3, seed=9)
    loaded = load_judge(tmp_path, prompt=PROMPT, max_tokens=200)
    expected = CausalLMJudge(model, TOKENIZER, PROMPT).score(pairs)
    np.testing.assert_allclose(loaded.score(pairs), expected, atol=1e-6)
    with pytest.raises(ValueError, match="pass prompt="):
        load_judge(tmp_path)


def test_a_model_with_a_missing_shard_is_refused_by_its_name(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    TOKENIZER.save_pretrained(tmp_path)
    lost = sorted(tmp_path.glob("model-*.safetensors"))[-1]
    lost.unlink()
    with pytest.raises(OSError, match=lost.name) as error:
        load_judge(tmp_path, prompt=PROMPT)
    assert "\n" not in str(error.value).strip()


def test_folders_without_safetensors_or_adapter_config_are_refused(
    model: Any, tmp_path: Path
) -> None:
    base, pickled, adapter = (tmp_path / name for name in ("base", "pickled", "adapter"))
    model.save_pretrained(base)
    TOKENIZER.save_pretrained(base)
    pickled.mkdir()
    (pickled / "config.json").write_text((base / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(FileNotFoundError, match="safetensors"):
        load_judge(pickled, prompt=PROMPT)
    adapter.mkdir()
    with pytest.raises(FileNotFoundError, match="adapter_config"):
        load_judge(base, adapter, prompt=PROMPT)
    with pytest.raises(FileNotFoundError, match="model folder"):
        load_judge(tmp_path / "nowhere", prompt=PROMPT)
