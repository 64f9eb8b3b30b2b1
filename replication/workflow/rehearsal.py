"""Run a whole profile on tiny random models: ``python -m replication.workflow.rehearsal``.

It catches every mistake that is not a matter of scale. For each reasoner a model of its own
architecture is made, with random weights and a few layers; benchmarks are written in their hub's
files; and a tokenizer has so few words that random traces hold reasoning words and answers.
The profile itself is used, with its folders, models and sizes replaced.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from replication.workflow.benchmarks import BENCHMARKS, FOLDER_VARIABLE
from replication.workflow.profile import ROOT, load_profile

TEXT = """wait so thus since therefore hmm but then because we add take the value of x y is and
    get if let me check check: both agree yes no problem solution unfinished same different final
    answer will reach reply with one word or 1: 2: , . ? :"""
WORDS = TEXT.split()
ANSWERS = [rf"\boxed{{{a}}}" for a in "12AB"]
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
SPECIAL = ["<pad>", "</s>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>"]
SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}  # fmt: skip
# Which architecture a model has: by a part of its name, and what a small one needs beyond SMALL.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "R1-Distill-Llama": ("llama", {}),
    "QwQ": ("qwen2", {}),
    "GLM-4.5": ("glm4_moe", {"n_routed_experts": 4, "num_experts_per_tok": 2,
                             "moe_intermediate_size": 16, "first_k_dense_replace": 1}),
    "gpt-oss": ("gpt_oss", {"num_local_experts": 4, "num_experts_per_tok": 2,
                            "layer_types": ["sliding_attention", "full_attention"]}),
    "Qwen3": ("qwen3", {}),
}  # fmt: skip


def write_tokenizer(folder: Path) -> int:
    """Write the small tokenizer; return the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(dict.fromkeys([*SPECIAL, *ANSWERS, *WORDS]))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=SPECIAL[3:], chat_template=TEMPLATE, model_max_length=4096,
    ).save_pretrained(folder)  # fmt: skip
    return len(vocabulary)


def write_model(name: str, folder: Path, seed: int) -> None:
    """Write a model of the architecture that ``name`` has, small, with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, more = next((v for key, v in ARCHITECTURES.items() if key.lower() in name.lower()))
    size = write_tokenizer(folder)
    config = AutoConfig.for_model(
        kind, **SMALL, **more, vocab_size=size, pad_token_id=0, eos_token_id=1, bos_token_id=None
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(folder)


def write_benchmarks(folder: Path) -> None:
    """Write all benchmarks in the files that their hub has, with questions of our own."""
    for hub, file in {(b.hub, b.file) for b in BENCHMARKS.values()}:
        rows = [r for n, b in BENCHMARKS.items() if (b.hub, b.file) == (hub, file)
                for r in _rows(n, b.count)]  # fmt: skip
        path = folder / hub / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".csv":
            with path.open("w", encoding="utf-8", newline="") as out:
                writer = csv.DictWriter(out, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def _rows(name: str, count: int) -> list[dict[str, Any]]:
    year = name.split("-")[1]
    if name == "gpqa-diamond":
        wrong = {f"Incorrect Answer {i}": f"value {i}" for i in (1, 2, 3)}
        return [{"Record ID": f"r{i}", "Question": f"let x be {i} . what is y ?",
                 "Correct Answer": "value 4", **wrong} for i in range(count)]  # fmt: skip
    return [
        {"id": f"{year}-{i}", "unique_id": f"{name}/{i}", "url": f"https://x/{year}_AIME_{i}",
         "problem": f"take the value {i} of x and add y , then get ?", "answer": str(1 + i % 2)}
        for i in range(count)
    ]  # fmt: skip


def small_profile(path: Path, folder: Path) -> dict[str, Any]:
    """Return a profile's content with its folders below ``folder`` and its sizes cut down."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    place = str(folder.relative_to(ROOT))
    data = f"data/{content['name']}/"

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: moved(v) for k, v in value.items()}
        if isinstance(value, list):
            return [moved(v) for v in value]
        return f"{place}/{value.removeprefix(data)}" if str(value).startswith(data) else value

    content = moved(content)
    collect, judge = content["collect"], content["judge"]
    for reasoner in collect["reasoners"].values():
        reasoner |= {"model": f"{place}/models/{reasoner['model']}", "max_tokens": 80, "top_p": 1.0,
                     "top_k": 0, "temperature": 1.0}  # fmt: skip
    for job in collect["jobs"].values():
        job["traces"] = 4 if job["traces"] < 100 else 8
    judge |= {
        "base": f"{place}/models/{judge['base']}", "train_pairs": 60, "shown_pairs": 16,
        "validation_pairs": 40, "evaluate_every": 20, "checkpoint_every": 3,
        "train_batch_tokens": 2048, "micro_tokens": 1024, "max_tokens": 512, "lora_rank": 4,
        "batch_tokens": 4096,
    }  # fmt: skip
    judge["adapter"] = f"{place}/judges/4-reasoning_words-both-train"
    if once := judge.get("encode_once"):
        once |= {"batch_tokens": 2048, "epochs": 1, "traces": 6, "max_representatives": 3, "k2": 3}
    content["cuts"] |= {
        "tokens": 12,
        "words": 4,
        "sweep_tokens": [8, 12, 16],
        "sweep_words": [2, 4, 6],
    }
    content["pruning"] |= {"orders": 2, "control_draws": 20, "max_clusters": 4, "k2": 3, "k3": 3,
                           "max_representatives": 3}  # fmt: skip
    content["traces"] |= {"held_out": 0.5}
    content["deepconf"] = {"warmup": 3, "window": 8}
    content |= {"bootstrap_draws": 50, "caption": "A rehearsal: random models, no meaning."}
    return content


def prepare(path: Path, folder: Path) -> Path:
    """Write models, benchmarks and the small profile; return the profile's file."""
    original = load_profile(path)
    if original.collect is None or original.judge.base is None:
        raise ValueError(f"{path}: a rehearsal needs a profile with collect and judge.base")
    content = small_profile(path, folder)
    names = [r.model for r in original.collect.reasoners.values()]
    for seed, name in enumerate([*names, original.judge.base]):
        write_model(name, folder / "models" / name, seed)
    write_benchmarks(folder / "benchmarks")
    target = folder / path.name
    target.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    # What an earlier rehearsal trained has other models.
    shutil.rmtree(load_profile(target).judge.work, ignore_errors=True)
    return target


def rehearse(profile: Path, folder: Path, engine: str) -> None:
    """Collect traces, train and score judges, run all notebooks, each as a user would.

    Raises:
        subprocess.CalledProcessError: one of the steps failed; its own message stands above.
    """
    environment = {
        **os.environ, FOLDER_VARIABLE: str(folder / "benchmarks"), "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }  # fmt: skip
    module = [sys.executable, "-m"]
    place = folder.relative_to(ROOT)
    steps = {
        "collect traces": [*module, "replication.workflow.collect", "--profile", str(profile),
                           "--engine", engine, "--limit", "3", "--parallel", "64"],
        "train and score judges": [*module, "replication.make_judges", "--profile",
                                   str(profile)],
        "run notebooks": ["make", "--no-print-directory", "reproduce", "PROFILE=check",
                          f"PROFILE_FILE={profile.relative_to(ROOT)}", f"BUILD={place}/run",
                          f"FIGURES={place}/run/{folder.name}"],
    }  # fmt: skip
    for name, command in steps.items():
        print(f"check: {name}", flush=True)
        subprocess.run(command, check=True, cwd=ROOT, env=environment)


def main(arguments: list[str] | None = None) -> int:
    """Run a whole profile on tiny random models; exit 1 where a step fails."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.rehearsal", description=main.__doc__
    )
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "check")
    parser.add_argument("--engine", choices=("transformers", "vllm"), default="transformers")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if not folder.is_relative_to(ROOT):
        parser.error(f"--folder {options.folder}: expected a folder below {ROOT}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        rehearse(prepare(options.profile, folder), folder, options.engine)
    except (subprocess.CalledProcessError, ValueError) as error:
        print(f"check: failed: {str(error)[:300]}", file=sys.stderr)
        return 1
    print(f"check: all steps ran; look at {folder / 'run' / folder.name / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
