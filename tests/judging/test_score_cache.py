"""A cached score is the score: same bits cold or warm, per judge, pair and order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from deepprune_core.judge import JudgeInput
from deepprune_core.judging.score_cache import CachedJudge, ScoreCache, folder_fingerprint


class CountingJudge:
    """Scores by text lengths with digits beyond float32, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[JudgeInput]] = []

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        self.asked.append(list(inputs))
        return np.array([len(p.first) / (len(p.first) + 2 * len(p.second) + 0.1) for p in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        return np.array([len(p.question + p.first + p.second) for p in inputs])


PAIRS = [JudgeInput("q", "a" * i, "b" * j) for i in range(1, 4) for j in range(1, 4)]


def never() -> CountingJudge:
    raise AssertionError("the judge was built although every score is known")


def test_only_missing_pairs_reach_the_judge_and_hits_are_counted() -> None:
    inner = CountingJudge()
    judge = CachedJudge(lambda: inner, ScoreCache("judge"))
    judge.score(PAIRS[:3])
    scores = judge.score([*PAIRS[:5], PAIRS[4]])
    assert inner.asked == [PAIRS[:3], PAIRS[3:5]]
    assert (judge.num_misses, judge.num_hits) == (5, 4)
    np.testing.assert_allclose(scores[:5], CountingJudge().score(PAIRS[:5]), atol=1e-7)
    assert scores[4] == scores[5]
    assert len(judge.score([])) == 0


def test_a_warm_cache_gives_the_bits_of_a_cold_one_and_builds_no_judge(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.parquet"
    cold = CachedJudge(CountingJudge, ScoreCache("judge", path))
    scores, tokens = cold.score(PAIRS), cold.num_tokens(PAIRS)
    cold.save()
    warm = CachedJudge(never, ScoreCache("judge", path))
    assert warm.score(PAIRS).tobytes() == scores.tobytes()
    assert warm.num_tokens(PAIRS).tolist() == tokens.tolist()
    assert tokens.tolist() == CountingJudge().num_tokens(PAIRS).tolist()
    assert (warm.num_hits, warm.num_misses) == (len(PAIRS), 0)
    assert [p.name for p in path.parent.iterdir()] == ["scores.parquet"]


def test_asking_for_tokens_first_scores_the_pair_once() -> None:
    inner = CountingJudge()
    judge = CachedJudge(lambda: inner, ScoreCache("judge"))
    judge.num_tokens(PAIRS)
    judge.score(PAIRS)
    assert len(inner.asked) == 1


def test_keys_tell_judges_orders_and_field_borders_apart() -> None:
    one, other = ScoreCache("one"), ScoreCache("other")
    pairs = [
        JudgeInput("q", "ab", "c"),
        JudgeInput("q", "a", "bc"),
        JudgeInput("qa", "b", "c"),
        JudgeInput("q", "c", "ab"),
        JudgeInput("", "q", "abc"),
        JudgeInput("q", "\ud800", ""),
    ]
    keys = {cache.key(pair) for cache in (one, other) for pair in pairs}
    assert len(keys) == 12 and {len(key) for key in keys} == {16}


def test_two_processes_on_one_file_keep_each_others_scores(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    first, second = ScoreCache("judge", path), ScoreCache("other", path)
    first.put(first.key(PAIRS[0]), 0.25, 7)
    second.put(second.key(PAIRS[0]), 0.75, 9)
    first.save()
    second.save()
    merged = ScoreCache("judge", path)
    assert len(merged) == 2
    assert merged.get(first.key(PAIRS[0])) == (0.25, 7)
    assert merged.get(second.key(PAIRS[0])) == (0.75, 9)


def test_the_file_does_not_depend_on_the_order_of_scoring(tmp_path: Path) -> None:
    for name, pairs in (("a", PAIRS), ("b", PAIRS[::-1])):
        judge = CachedJudge(CountingJudge, ScoreCache("judge", tmp_path / name))
        judge.score(pairs)
        judge.save()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_scores_that_the_file_holds_leave_it_as_it_is(tmp_path: Path) -> None:
    cache = ScoreCache("judge", tmp_path / "s.parquet")
    cache.put(b"k" * 16, 0.1, 3)
    cache.save()
    before = (tmp_path / "s.parquet").stat().st_mtime_ns
    again = ScoreCache("judge", tmp_path / "s.parquet")
    again.put(b"k" * 16, 0.1, 3)
    again.save()
    assert again.num_unsaved == 0 and (tmp_path / "s.parquet").stat().st_mtime_ns == before


def test_long_scoring_saves_on_the_way(tmp_path: Path) -> None:
    class Dying(CountingJudge):
        def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().score(inputs)

    path = tmp_path / "scores.parquet"
    judge = CachedJudge(Dying, ScoreCache("judge", path), save_every=3)
    with pytest.raises(KeyboardInterrupt):
        judge.score(PAIRS)
    assert len(ScoreCache("judge", path)) == 6


def test_what_another_file_keeps_is_known_and_gives_no_reason_to_save(tmp_path: Path) -> None:
    cache = ScoreCache("judge", tmp_path / "scores.parquet")
    cache.put(cache.key(PAIRS[0]), 0.5, 3, kept=True)
    cache.save()
    assert cache.get(cache.key(PAIRS[0])) == (0.5, 3) and not list(tmp_path.iterdir())
    cache.put(cache.key(PAIRS[1]), 0.25, 4)
    cache.save()
    assert ScoreCache("judge", tmp_path / "scores.parquet").get(cache.key(PAIRS[1])) == (0.25, 4)


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.parquet"
    cache = ScoreCache("judge", path)
    cache.put(cache.key(PAIRS[0]), 0.5, 3)
    cache.save()
    before = path.read_bytes()

    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache.put(cache.key(PAIRS[1]), 0.5, 3)
    monkeypatch.setattr("os.replace", disk_full)
    with pytest.raises(OSError, match="space"):
        cache.save()
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not parquet at all"])
def test_a_file_that_is_no_cache_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.parquet"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scores\.parquet"):
        ScoreCache("judge", path)


def test_parquet_with_other_columns_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="expected the columns"):
        ScoreCache("judge", tmp_path / "other.parquet")


@pytest.mark.parametrize("score", [float("nan"), -0.1, 1.1, float("inf")])
def test_a_score_that_is_no_probability_is_never_stored(score: float) -> None:
    cache = ScoreCache("judge")
    with pytest.raises(ValueError, match="score in"):
        cache.put(b"k" * 16, score, 1)
    assert len(cache) == 0


def test_a_folders_fingerprint_follows_its_weights_and_settings(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder in (base, adapter):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(folder.name.encode())
    prints = [
        folder_fingerprint([base], ("p", 1)),
        folder_fingerprint([base], ("p", 2)),
        folder_fingerprint([base, adapter], ("p", 1)),
        folder_fingerprint([adapter, base], ("p", 1)),
    ]
    (base / "manifest.json").write_text("hours and such do not matter")
    assert folder_fingerprint([base], ("p", 1)) == prints[0]
    (base / "model.safetensors").write_bytes(b"retrained")
    prints.append(folder_fingerprint([base], ("p", 1)))
    assert len(set(prints)) == 5
    with pytest.raises(FileNotFoundError, match="safetensors"):
        folder_fingerprint([tmp_path], ())
