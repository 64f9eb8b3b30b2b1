"""The peers on a live engine against their replays on the same stored traces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from deepprune_core.answers import partition
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.ledger import TraceState
from deepprune_core.live import peers
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.peers import deepconf as stored_deepconf
from deepprune_core.peers import stopping
from deepprune_core.traces import Question
from deepprune_core.truncation import Truncation
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()


def texts_of(kinds: list[int]) -> list[str]:
    return [
        "so Bob has 4. " * (5 + 3 * i % 17) + f"answer: \\boxed{{{k}}}" for i, k in enumerate(kinds)
    ]


def ask(
    method: Callable[[peers.Asked, int], Awaitable[PrunedAnswer]], kinds: list[int]
) -> tuple[PrunedAnswer, np.ndarray, np.ndarray]:
    texts = texts_of(kinds)
    lengths = np.array([len(TOKENIZER.encode(t, add_special_tokens=False)) for t in texts])
    engine = ReplayEngine({"?": texts}, TOKENIZER)

    async def work() -> PrunedAnswer:
        asked = peers.Asked(engine, TOKENIZER, SamplingConfig(), Question("q", "?"), "?", 0)
        return await method(asked, len(kinds))

    result = asyncio.run(work())
    assert engine.generated_tokens() == result.ledger.generated == result.engine_tokens
    return result, partition([str(k) for k in kinds]), lengths


CASES = [np.random.default_rng(i).choice(4, 24, p=[0.6, 0.2, 0.1, 0.1]).tolist() for i in range(6)]


@pytest.mark.parametrize("kinds", CASES)
def test_the_stopping_rules_ask_for_the_traces_that_the_replay_asks_for(kinds: list[int]) -> None:
    for live, rule in (
        (peers.adaptive_consistency, stopping.adaptive_consistency),
        (peers.early_stopping, stopping.early_stopping),
    ):
        result, classes, lengths = ask(live, kinds)
        truth = rule(classes, lengths, 0, range(len(kinds)))
        assert sorted(t.trace for t in result.finished) == sorted(truth.finished)
        assert result.ledger.kept == truth.ledger.kept
        assert result.answer == str(kinds[classes.tolist().index(truth.vote.winner)])


def test_the_plain_vote_runs_everything() -> None:
    result, _, lengths = ask(peers.consistency, CASES[0])
    assert result.ledger.kept == lengths.sum() and result.ledger.pruned == 0
    assert result.answer == "0"
    assert sum(b.weight for b in result.ballots) == len(CASES[0])


def test_adaptive_consistency_starts_no_trace_that_cannot_be_needed() -> None:
    async def method(asked: peers.Asked, n: int) -> PrunedAnswer:
        return await peers.adaptive_consistency(asked, n, parallel=8)

    result, _, lengths = ask(method, [0] * 16)
    assert result.decided_early and result.answer == "0"
    states = [t.state for t in result.traces]
    assert states == [TraceState.FINISHED] * 4 + [TraceState.DECIDED] * 12
    assert result.ledger.generated == lengths[:4].sum()
    assert result.expected_baseline == pytest.approx(16 * lengths[:4].mean())


@pytest.mark.parametrize("kinds", CASES)
def test_adaptive_consistency_as_a_tool_votes_as_its_rule_does(kinds: list[int]) -> None:
    engine = ReplayEngine({"?": texts_of(kinds)}, TOKENIZER)
    tool = peers.AdaptiveConsistency(engine, tokenizer=TOKENIZER)

    async def watched() -> tuple[list[Event], PrunedAnswer]:
        told = [one async for one in tool.stream("?", len(kinds))]
        return [e for e in told if isinstance(e, Event)], told[-1]  # type: ignore[return-value]

    events, result = asyncio.run(watched())
    done = [e.trace for e in events if e.kind == "finished"]
    counts = np.bincount([kinds[i] for i in done])
    sure = stopping.probability_of_lead(*stopping.leading_counts(counts)) > 0.95
    assert result.decided_early == (sure and len(done) < len(kinds))
    assert sure or len(done) == len(kinds)
    before = np.bincount([kinds[i] for i in done[:-1]])
    assert stopping.probability_of_lead(*stopping.leading_counts(before)) <= 0.95
    assert result.answer == str(counts.argmax()) and len(result.traces) == len(kinds)
    assert {e.trace for e in events if e.kind == "started"} >= set(done)


def test_leaving_the_tool_early_stops_its_traces() -> None:
    engine = ReplayEngine({"?": texts_of([0] * 8)}, TOKENIZER)
    tool = peers.AdaptiveConsistency(engine, tokenizer=TOKENIZER)

    async def leave() -> int:
        told = tool.stream("?", 8)
        async for one in told:
            assert isinstance(one, Event) and one.kind == "started"
            break
        await told.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1  # this one


def test_a_tool_asks_for_one_trace_at_least() -> None:
    tool = peers.AdaptiveConsistency(ReplayEngine({"?": ["x"]}, TOKENIZER), tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="n >= 1"):
        tool.answer_sync("?", 0)


def test_random_pruning_stops_at_the_truncation_point() -> None:
    cut, rng = Truncation("reasoning_words", 3), np.random.default_rng(2)

    async def method(asked: peers.Asked, n: int) -> PrunedAnswer:
        return await peers.random_pruning(asked, n, keep=0.4, truncation=cut, rng=rng)

    result, _, _ = ask(method, CASES[1])
    states = [t.state for t in result.traces]
    assert 0 < states.count(TraceState.FINISHED) < len(states)
    stopped = [t.tokens for t in result.traces if t.state is TraceState.PRUNED]
    point = cut.point(texts_of(CASES[1])[0], TOKENIZER)
    assert max(stopped) == len(TOKENIZER.encode(point)) + 1


@pytest.mark.parametrize("keep", [10.0, 90.0])
def test_deepconf_stops_and_votes_as_its_replay_does(keep: float) -> None:
    kinds, window = CASES[2], 16
    texts = texts_of(kinds)
    rng = np.random.default_rng(9)
    lengths = [len(TOKENIZER.encode(t, add_special_tokens=False)) for t in texts]
    values = [rng.gamma(8, 1 + rng.random(), n).astype(np.float16) for n in lengths]
    engine = ReplayEngine({"?": texts}, TOKENIZER, confidences={"?": values})
    config = stored_deepconf.DeepConfConfig(keep, warmup=6, window=window, consensus=1.0)

    async def work() -> PrunedAnswer:
        sampling = SamplingConfig(confidences=True)
        asked = peers.Asked(engine, TOKENIZER, sampling, Question("q", "?"), "?", 0)
        return await peers.deepconf(asked, len(kinds), config)

    result = asyncio.run(work())
    classes = partition([str(k) for k in kinds])
    truth = stored_deepconf.deepconf(
        stored_deepconf.prepare(values, classes, 0, window), range(len(kinds)), config
    )
    if not result.decided_early:
        stopped = {t.trace for t in result.traces if t.state is TraceState.PRUNED}
        assert stopped == set(truth.stopped)
        assert result.ledger.pruned == truth.ledger.pruned
    assert result.answer == str(kinds[classes.tolist().index(truth.vote.winner)])
