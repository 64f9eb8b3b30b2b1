"""Judge scores by content: what was asked once is never asked again.

A score belongs to (judge fingerprint, question, first, second), so that clustering and
figures do not depend on batch layout, and a replay needs no model at all. Scores are float32
from the first use on: a warm cache gives the same bits as a cold one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepprune_core.formats.files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

    from deepprune_core.judging.inputs import Judge, JudgeInput

KEY_BYTES = 16
_SAVE_EVERY = 20_000
_MODEL_FILES = (
    "*.safetensors",
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def folder_fingerprint(folders: Iterable[Path], settings: object) -> str:
    """Return a hex digest of a judge's files and settings, without loading the judge.

    ``folders``: the base model's folder and, if any, the adapter's, in this order.
    ``settings``: whatever else moves a score (prompt, max_tokens, symmetric, dtype), as a
    value with a stable ``repr``, such as a tuple of strings, numbers and frozen dataclasses.

    Raises:
        FileNotFoundError: a folder without safetensors weights.
    """
    digest = sha256()
    for folder in folders:
        if not any(Path(folder).glob("*.safetensors")):
            raise FileNotFoundError(f"expected *.safetensors in {folder}, got none; check the path")
        for path in sorted(chain.from_iterable(Path(folder).glob(p) for p in _MODEL_FILES)):
            with path.open("rb") as file:
                content = sha256()
                while block := file.read(1 << 22):
                    content.update(block)
            digest.update(f"{path.name} {content.hexdigest()}\n".encode())
    digest.update(repr(settings).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class ScoreCache:
    """Scores and prompt lengths of one judge, kept in one Parquet file.

    Several judges may share a file: the fingerprint is part of the key. Saving keeps what
    other processes saved meanwhile, and replaces the file in one step.

    Args:
        fingerprint: names the judge (``CausalLMJudge.fingerprint``, ``folder_fingerprint``).
        path: the file; None keeps the scores in memory only.

    Raises:
        ValueError: the file exists and is not a score cache.
    """

    def __init__(self, fingerprint: str, path: Path | None = None) -> None:
        self.fingerprint = fingerprint
        self.path = Path(path) if path is not None else None
        self.num_unsaved = 0
        self._rows = self._read()

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, pair: JudgeInput) -> bytes:
        """Return the 16-byte key of a pair; the order of its prefixes matters."""
        digest = sha256()
        for part in (self.fingerprint, pair.question, pair.first, pair.second):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.digest()[:KEY_BYTES]

    def get(self, key: bytes) -> tuple[float, int] | None:
        """Return (score, prompt tokens) of a key, or None."""
        return self._rows.get(key)

    def put(self, key: bytes, score: float, num_tokens: int, *, kept: bool = False) -> None:
        """Store a score, rounded to float32.

        ``kept``: another file holds it, so it gives no reason to save this one.

        Raises:
            ValueError: the score is not a number in [0, 1].
        """
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"expected a score in [0, 1], got {score}; the judge is broken")
        row = (float(np.float32(score)), int(num_tokens))
        # What the file holds needs no saving either.
        self.num_unsaved += not kept and self._rows.get(key) != row
        self._rows[key] = row

    def save(self) -> None:
        """Write all rows, sorted by key, to a temporary file and move it in place."""
        if self.path is None or not self.num_unsaved:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._rows = {**self._read(), **self._rows}
        keys = sorted(self._rows)
        scores, tokens = zip(*(self._rows[key] for key in keys), strict=True)
        table = pa.Table.from_arrays(
            [
                pa.array(keys, pa.binary(KEY_BYTES)),
                pa.array(scores, pa.float32()),
                pa.array(tokens, pa.int32()),
            ],
            schema=_schema(),
        )
        with whole_file(self.path) as fresh:
            pq.write_table(table, fresh, compression="zstd")
        self.num_unsaved = 0

    def _read(self) -> dict[bytes, tuple[float, int]]:
        if self.path is None or not self.path.exists():
            return {}
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(
                f"{self.path}: expected a score cache (Parquet), got {error}; delete the file"
            ) from error
        if not table.schema.equals(_schema()):
            raise ValueError(
                f"{self.path}: expected the columns {_schema().names}, got "
                f"{table.schema.names}; delete the file or name another one"
            )
        keys, scores, tokens = (table[name].to_pylist() for name in _schema().names)
        return dict(zip(keys, zip(scores, tokens, strict=True), strict=True))


class CachedJudge:
    """A judge that asks the real one only for pairs it has not met.

    ``judge_factory`` is called at the first miss, so a fully warm cache loads no model.
    :attr:`num_hits` and :attr:`num_misses` count pairs asked for, duplicates within one call
    included (a duplicate of a miss is a hit).
    """

    def __init__(
        self,
        judge_factory: Callable[[], Judge],
        cache: ScoreCache,
        *,
        save_every: int = _SAVE_EVERY,
    ) -> None:
        self.cache = cache
        self.num_hits = self.num_misses = 0
        self.factory = judge_factory
        self._judge: Judge | None = None
        self._save_every = save_every

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same): ``(n,)`` float64 holding float32 values, in input order."""
        rows = self._look_up(inputs, count=True)
        return np.array([score for score, _ in rows], dtype=np.float64)

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return prompt tokens: ``(n,)`` int64; pairs not met yet are scored as well."""
        rows = self._look_up(inputs, count=False)
        return np.array([tokens for _, tokens in rows], dtype=np.int64)

    def knows(self, inputs: Sequence[JudgeInput]) -> bool:
        """Return whether the cache holds all of these pairs."""
        return all(self.cache.get(self.cache.key(pair)) is not None for pair in inputs)

    def save(self) -> None:
        """Write the cache to its file."""
        self.cache.save()

    def _look_up(self, inputs: Sequence[JudgeInput], *, count: bool) -> list[tuple[float, int]]:
        keys = [self.cache.key(pair) for pair in inputs]
        missing = {
            key: pair for key, pair in zip(keys, inputs, strict=True) if self.cache.get(key) is None
        }
        todo = list(missing.items())
        for start in range(0, len(todo), self._save_every):
            self._ask(todo[start : start + self._save_every])
        if count:
            self.num_misses += len(missing)
            self.num_hits += len(inputs) - len(missing)
        rows = [self.cache.get(key) for key in keys]
        return [row for row in rows if row is not None]

    def _ask(self, todo: Sequence[tuple[bytes, JudgeInput]]) -> None:
        if self._judge is None:
            self._judge = self.factory()
        pairs = [pair for _, pair in todo]
        scores, tokens = self._judge.score(pairs), self._judge.num_tokens(pairs)
        for (key, _), score, count in zip(todo, scores, tokens, strict=True):
            self.cache.put(key, float(score), int(count))
        if self.cache.num_unsaved >= self._save_every:
            self.cache.save()


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [("key", pa.binary(KEY_BYTES)), ("score", pa.float32()), ("num_tokens", pa.int32())]
    )
