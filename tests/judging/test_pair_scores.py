"""Stored scores come back as they were, for all traces or the first few, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepprune_core.judging.pair_scores import PairScores, read_pair_scores

SOURCES = {"birch": "ab", "oak": "cd"}


def stored(rng: np.random.Generator, n: int = 9) -> tuple[PairScores, np.ndarray, np.ndarray]:
    m = n * (n - 1) // 2
    margins = np.round(rng.normal(0, 4, m), 3)
    scores, tokens = 1 / (1 + np.exp(-margins)), rng.integers(200, 400, m)
    found = PairScores("judge", SOURCES)
    found.put("birch", "q1", scores, tokens)
    return found, scores, tokens


def test_scores_and_lengths_survive_the_file(tmp_path: Path) -> None:
    found, scores, tokens = stored(np.random.default_rng(0))
    found.write(tmp_path / "s.parquet")
    back = read_pair_scores(tmp_path / "s.parquet", "judge", SOURCES)
    matrix, lengths = back.get("birch", "q1", 9) or pytest.fail("nothing found")
    upper = np.triu_indices(9, k=1)
    np.testing.assert_allclose(matrix[upper], scores, atol=1e-9)
    np.testing.assert_array_equal(lengths[upper], tokens)
    np.testing.assert_array_equal(matrix, matrix.T)
    few, _ = back.get("birch", "q1", 4) or pytest.fail("nothing found")
    np.testing.assert_array_equal(few, matrix[:4, :4])
    assert back.get("birch", "q1", 10) is None and back.get("oak", "q1", 2) is None


def test_scores_of_another_judge_or_other_traces_are_refused(tmp_path: Path) -> None:
    stored(np.random.default_rng(1))[0].write(tmp_path / "s.parquet")
    with pytest.raises(ValueError, match="another judge"):
        read_pair_scores(tmp_path / "s.parquet", "other", SOURCES)
    with pytest.raises(ValueError, match="other traces of oak"):
        read_pair_scores(tmp_path / "s.parquet", "judge", {**SOURCES, "oak": "ee"})
    grown = {**SOURCES, "oak": f"{SOURCES['oak']}+ee"}  # a second file of the same reasoner
    assert read_pair_scores(tmp_path / "s.parquet", "judge", grown).sources == grown
    whole = read_pair_scores(tmp_path / "s.parquet", "judge", grown)
    whole.write(tmp_path / "grown.parquet")  # asked about some of the files, it stays whole
    assert read_pair_scores(tmp_path / "grown.parquet", "judge", SOURCES).sources == grown
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ValueError, match=r"bad\.parquet: no file of pair scores"):
        read_pair_scores(tmp_path / "bad.parquet", "judge", SOURCES)
    assert not read_pair_scores(tmp_path / "none.parquet", "judge", SOURCES).rows


def test_bad_scores_are_refused() -> None:
    empty = PairScores("judge", SOURCES)
    with pytest.raises(ValueError, match="n\\(n-1\\)/2"):
        empty.put("birch", "q", np.full(4, 0.5), np.full(4, 9))
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        empty.put("birch", "q", np.array([1.5]), np.array([9]))
