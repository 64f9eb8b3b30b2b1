"""The paper's benchmarks from the hub, or from a folder that holds the same files.

Each is pinned to a revision and checked against the number of questions that it must have. None
of their text is part of this project. GPQA is gated, and asks that its questions not be put on
the open web; its options are shuffled here by a seed, each question on its own.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.traces import Question

LETTERS = "ABCD"
FOLDER_VARIABLE = "DEEPPRUNE_BENCHMARKS"
Row = Mapping[str, Any]


class BenchmarkError(ValueError):
    """A benchmark that cannot be had; one line with its name, the fault and the fix."""


@dataclass(frozen=True)
class Benchmark:
    """``file`` of the data set ``hub`` at ``revision`` holds it; ``count`` questions come out.

    ``read`` turns a row into (id, text, right answer) given a random stream of its own; None for
    a row that belongs to another benchmark. ``gated``: the hub asks for a permission.
    """

    hub: str
    revision: str
    file: str
    count: int
    read: Callable[[Row, int, Callable[[str], np.random.Generator]], tuple[str, str, str] | None]
    gated: bool = False


def _math(row: Row, index: int, rng: Callable[[str], np.random.Generator]) -> tuple[str, str, str]:
    return str(row.get("unique_id", index)), str(row["problem"]), str(row["answer"])


def _aime(row: Row, index: int, rng: Callable[[str], np.random.Generator]) -> tuple[str, str, str]:
    return str(row.get("id", index)), str(row["problem"]), str(row["answer"])


def _aime_of(
    year: int,
) -> Callable[[Row, int, Callable[[str], np.random.Generator]], tuple[str, str, str] | None]:
    """Return a reader of a file with several years, told apart by the problem's address."""

    def read(
        row: Row, index: int, rng: Callable[[str], np.random.Generator]
    ) -> tuple[str, str, str] | None:
        return _aime(row, index, rng) if f"{year}_AIME" in str(row["url"]) else None

    return read


def _gpqa(row: Row, index: int, rng: Callable[[str], np.random.Generator]) -> tuple[str, str, str]:
    name = str(row["Record ID"])
    options = [row["Correct Answer"], *(row[f"Incorrect Answer {i}"] for i in (1, 2, 3))]
    order = rng(name).permutation(len(options)).tolist()
    listed = "\n".join(
        f"{letter}) {str(options[place]).strip()}"
        for letter, place in zip(LETTERS, order, strict=True)
    )
    return name, f"{str(row['Question']).strip()}\n\n{listed}", LETTERS[order.index(0)]


_VALIDATION = ("AI-MO/aimo-validation-aime", "13f9e12f613e720c2a2b2f345dd04b998a29494d",
               "data/train-00000-of-00001.parquet")  # fmt: skip
BENCHMARKS: dict[str, Benchmark] = {
    "math-500": Benchmark(
        "HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", "test.jsonl",
        500, _math,
    ),
    "aime-2022": Benchmark(*_VALIDATION, 30, _aime_of(2022)),
    "aime-2023": Benchmark(*_VALIDATION, 30, _aime_of(2023)),
    "aime-2024": Benchmark(
        "HuggingFaceH4/aime_2024", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        "data/train-00000-of-00001.parquet", 30, _aime,
    ),
    "aime-2025": Benchmark(
        "math-ai/aime25", "563bb8404243c5f09de6ec262f2db674fe5bce9b", "test.jsonl", 30, _aime,
    ),
    "gpqa-diamond": Benchmark(
        "Idavidrein/gpqa", "633f5ee89ab8ad4522a9f850766b73f62147ffdd", "gpqa_diamond.csv",
        198, _gpqa, gated=True,
    ),
}  # fmt: skip


def load_benchmark(name: str, *, seed: int = 0, folder: Path | None = None) -> tuple[Question, ...]:
    """Return a benchmark's questions, in the file's order.

    ``folder`` (default: the variable DEEPPRUNE_BENCHMARKS) holds data sets under their hub names,
    such as ``FOLDER/HuggingFaceH4/MATH-500/test.jsonl``; without one the hub is asked, and its
    cache with HF_HUB_OFFLINE=1. ``seed`` decides the letters of multiple choice.

    Raises:
        BenchmarkError: no such benchmark, it cannot be had, or it is not what was expected.
    """
    if name not in BENCHMARKS:
        raise BenchmarkError(f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    wanted = BENCHMARKS[name]
    place = folder or (Path(os.environ[FOLDER_VARIABLE]) if FOLDER_VARIABLE in os.environ else None)

    def rng(question: str) -> np.random.Generator:
        word = sha256(f"{seed}\x1f{name}\x1f{question}".encode()).digest()[:8]
        return np.random.default_rng(int.from_bytes(word, "little"))

    found = []
    for index, row in enumerate(_rows(name, wanted, place)):
        try:
            read = wanted.read(row, index, rng)
        except KeyError as error:
            raise BenchmarkError(
                f"{name}: row {index} has no field {error}; its fields are {', '.join(row)}"
            ) from None
        if read is not None:
            question_id, text, gold = read
            found.append(Question(f"{name}/{question_id}", text, gold, name))
    if len(found) != wanted.count or len({q.question_id for q in found}) != len(found):
        raise BenchmarkError(
            f"{name}: expected {wanted.count} questions, got {len(found)} "
            f"({len({q.question_id for q in found})} different); is it {wanted.hub} at revision "
            f"{wanted.revision[:12]}?"
        )
    return tuple(found)


def _rows(name: str, wanted: Benchmark, folder: Path | None) -> list[Row]:
    """Return the rows of a benchmark's file, from ``folder`` or from the hub and its cache."""
    path = _from_hub(name, wanted) if folder is None else folder / wanted.hub / wanted.file
    if not path.is_file():
        raise BenchmarkError(f"{name}: expected {path}, got no such file; put it there")
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_table(path).to_pylist())
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file))
        return [json.loads(line) for line in file if line.strip()]


def _from_hub(name: str, wanted: Benchmark) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            hf_hub_download(wanted.hub, wanted.file, revision=wanted.revision, repo_type="dataset")
        )
    except (HfHubHTTPError, OSError) as error:
        reason = f"{error.__class__.__name__}: {' '.join(str(error).split())[:120]}"
        fix = f"check the network, or set {FOLDER_VARIABLE} to a folder with {wanted.hub}"
        if wanted.gated:
            fix = f"ask for access at https://huggingface.co/datasets/{wanted.hub}, set HF_TOKEN"
        raise BenchmarkError(f"{name}: {wanted.hub} cannot be had ({reason}); {fix}") from None
