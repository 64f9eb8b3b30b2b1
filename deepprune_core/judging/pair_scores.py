"""A judge's scores of all pairs of stored traces, in five bytes a pair, bound to what was scored.

The scores ship with the traces, so that a replay of hundreds of thousands of pairs needs no
model. A row holds one question of one reasoner: its prompts' margins in steps of 0.001 and their
lengths. The file names the judge's weights and the trace files; others are refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from deepprune_core.formats.files import whole_file

MARGIN_STEP = 1e-3


@dataclass
class PairScores:
    """Scores by (reasoner, question): matrices over its first n traces.

    ``fingerprint`` names the judge and all that moves its scores; ``sources`` maps a reasoner to
    the sha256 (hex) of its trace file.
    """

    fingerprint: str
    sources: dict[str, str]
    rows: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def put(self, model: str, question_id: str, scores: np.ndarray, tokens: np.ndarray) -> None:
        """Keep a question's pairs i < j, row by row: P(same) (m,) and prompt tokens (m,).

        Raises:
            ValueError: m is not n (n - 1) / 2, or a score is not in [0, 1].
        """
        if len(scores) != len(tokens) or _size(len(scores)) is None:
            raise ValueError(f"expected n(n-1)/2 scores and tokens, got {len(scores)}")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("expected scores in [0, 1]; the judge is broken")
        inside = np.clip(scores.astype(np.float64), 1e-14, 1 - 1e-14)
        margins = np.log(inside / (1 - inside))
        steps = np.clip(np.rint(margins / MARGIN_STEP), -32_767, 32_767).astype(np.int16)
        self.rows[(model, question_id)] = (steps, tokens.astype(np.int32))

    def get(self, model: str, question_id: str, n: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the (n, n) scores and prompt tokens among the first n traces, or None."""
        size = self.size(model, question_id)
        if not size or size < n:
            return None
        found = self.rows[(model, question_id)]
        upper = np.triu_indices(size, k=1)
        scores, tokens = np.zeros((size, size)), np.zeros((size, size), np.int64)
        scores[upper] = 1 / (1 + np.exp(-found[0] * MARGIN_STEP))
        tokens[upper] = found[1]
        return (scores + scores.T)[:n, :n], (tokens + tokens.T)[:n, :n]

    def size(self, model: str, question_id: str) -> int:
        """Return among how many traces of a question all pairs are scored; 0 if none."""
        found = self.rows.get((model, question_id))
        return (_size(len(found[0])) or 0) if found else 0

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        header = {"fingerprint": self.fingerprint, "sources": self.sources}
        keys = sorted(self.rows)
        table = pa.table(
            {
                "model": [model for model, _ in keys],
                "question_id": [question for _, question in keys],
                "margins": [self.rows[key][0].tobytes() for key in keys],
                "tokens": [_packed(self.rows[key][1]) for key in keys],
            }
        ).replace_schema_metadata({b"pair_scores": json.dumps(header).encode()})
        with whole_file(path) as fresh:
            pq.write_table(table, fresh, compression="zstd", compression_level=19)


def read_pair_scores(path: Path, fingerprint: str, sources: dict[str, str]) -> PairScores:
    """Return the scores in a file; an empty set if there is no file.

    ``sources``: the digests of each model's trace files, joined by ``+``. Scores are good where
    they are of some of these files, or of these and others.

    Raises:
        ValueError: no file of pair scores, or of another judge, or of other traces.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return PairScores(fingerprint, sources)
    try:
        table = pq.read_table(path)
        header = json.loads(table.schema.metadata[b"pair_scores"])
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no file of pair scores ({error}); delete it") from None
    if header["fingerprint"] != fingerprint:
        raise ValueError(f"{path}: scores of another judge or setting; delete it to score anew")
    both, other = {**sources, **header["sources"]}, []
    for model in header["sources"].keys() & sources.keys():
        theirs, mine = (set(d[model].split("+")) for d in (header["sources"], sources))
        if theirs < mine:
            both[model] = sources[model]
        elif not mine <= theirs:
            other.append(model)
    if other:
        raise ValueError(f"{path}: scores of other traces of {', '.join(sorted(other))}; delete it")
    found = PairScores(fingerprint, both)
    for row in table.to_pylist():
        margins = np.frombuffer(row["margins"], np.int16)
        found.rows[(row["model"], row["question_id"])] = (margins, _unpacked(row["tokens"]))
    return found


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file."""
    return sha256(path.read_bytes()).hexdigest()


def _size(pairs: int) -> int | None:
    """Return n with n (n - 1) / 2 = ``pairs``, or None."""
    n = round((1 + (1 + 8 * pairs) ** 0.5) / 2)
    return n if n * (n - 1) // 2 == pairs else None


def _packed(tokens: np.ndarray) -> bytes:
    """Return lengths as differences, which compress well."""
    return np.diff(tokens, prepend=0).astype(np.int32).tobytes()


def _unpacked(data: bytes) -> np.ndarray:
    return np.cumsum(np.frombuffer(data, np.int32))
