"""The online tool against the replay, on stored traces that stream again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from deepprune_core.cli.options import parse_rule
from deepprune_core.clustering import Choosing, ClusteringConfig, greedy_cluster
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.ledger import TraceState
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.contest import Contest, play
from deepprune_core.live.deepprune import DeepPrune
from deepprune_core.live.growing_text import GrowingText
from deepprune_core.live.placing import Placer
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.pruner import PruningConfig
from deepprune_core.traces import Question
from deepprune_core.truncation import Truncation
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
NAMES = ("Ann", "Ben", "Kai", "Lea", "Dora", "Vera", "Juan", "Asa", "Maya", "Theo")


class FirstWordJudge:
    """Two traces agree if they begin with the same word; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        self.asked += [(p.first, p.second) for p in inputs]
        return np.array([float(p.first.split()[0] == p.second.split()[0]) for p in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        return np.full(len(inputs), 7)


def text(kind: int, steps: int) -> str:
    middle = " ".join("so Bob has 4." for _ in range(steps))
    return f"{NAMES[kind]} has 3. {middle} answer: \\boxed{{{kind}}}"


KINDS = (0, 1, 0, 0, 2, 1, 0, 0, 1, 0)
TEXTS = tuple(text(kind, 6 + i) for i, kind in enumerate(KINDS))
CONFIG = OnlineConfig(
    truncation=Truncation("reasoning_words", 3),
    pruning=PruningConfig(finish="survivors", vote="cluster_weighted"),
    sampling=SamplingConfig(max_tokens=500),
    mode="pause",
    stop_when_decided=False,
)


def ask(
    config: OnlineConfig, texts: Sequence[str] = TEXTS, pace: float | None = None
) -> tuple[PrunedAnswer, list[Event], ReplayEngine]:
    source = ReplayEngine({"?": texts}, TOKENIZER, tokens_per_second=pace)

    async def events() -> list[Event | PrunedAnswer]:
        asked = DeepPrune(source, FirstWordJudge(), config)
        return [event async for event in asked.stream("?", n=len(TEXTS))]

    *seen, result = asyncio.run(events())
    assert isinstance(result, PrunedAnswer)
    return result, [event for event in seen if isinstance(event, Event)], source


@pytest.mark.parametrize("mode", ["pause", "online"])
def test_survivors_are_the_first_of_each_kind_and_vote_for_their_clusters(mode: str) -> None:
    result, events, engine = ask(replace(CONFIG, mode=mode))
    assert sorted(map(len, result.clusters)) == [1, 3, 6]
    assert {frozenset(KINDS[t] for t in cluster) for cluster in result.clusters} == {
        frozenset({0}), frozenset({1}), frozenset({2})
    }  # fmt: skip
    assert result.answer == "0"
    assert {b.answer: b.weight for b in result.ballots} == {"0": 6, "1": 3, "2": 1}
    assert {t.trace for t in result.finished} == {cluster[0] for cluster in result.clusters}
    assert engine.generated_tokens() == result.ledger.generated == result.engine_tokens
    kinds = [event.kind for event in events]
    assert kinds.count("started") == kinds.count("reached") == len(TEXTS)
    assert kinds.count("opened") == kinds.count("finished") == 3


@pytest.mark.parametrize("mode", ["pause", "online"])
def test_a_judge_that_finds_nothing_the_same_changes_no_vote(mode: str) -> None:
    """Also with more traces than clusters: what finds no cluster counts for itself."""
    rule = parse_rule("weighted", clusters=2, representatives=1, k=20).with_tau(1.0)
    assert rule == replace(
        rule, clustering=replace(OnlineConfig().pruning.clustering, max_clusters=2, tau=1.0,
                                 max_representatives=1, choice="first")
    )  # fmt: skip
    result, _, _ = ask(replace(CONFIG, mode=mode, pruning=rule))
    assert {t.state for t in result.traces} == {TraceState.FINISHED}
    weights = {b.answer: b.weight for b in result.ballots}
    assert weights == {str(k): float(KINDS.count(k)) for k in set(KINDS)}
    assert result.answer == "0" and result.saved() == 0 > result.saved(1.0)


def test_pausing_costs_no_more_than_a_look_beyond_the_cut() -> None:
    result, _, _ = ask(CONFIG)
    for trace in result.traces:
        if trace.state is TraceState.PRUNED:
            cut = CONFIG.truncation.point(TEXTS[0], TOKENIZER)
            assert trace.tokens <= len(TOKENIZER.encode(cut)) + 8
            assert trace.representative == result.clusters[trace.cluster or 0][0]
            assert trace.score == 1.0


def test_pausing_at_a_number_of_tokens_costs_just_these() -> None:
    asked: list[int] = []

    class Watched(ReplayEngine):
        def stream(self, request, config):  # type: ignore[no-untyped-def]
            asked.append(config.max_tokens)
            return super().stream(request, config)

    engine = Watched({"?": TEXTS}, TOKENIZER)
    config = replace(CONFIG, truncation=Truncation("tokens", 13))
    result = DeepPrune(engine, FirstWordJudge(), config).answer_sync("?", n=len(TEXTS))
    pruned = [t for t in result.traces if t.state is TraceState.PRUNED]
    assert len(pruned) == 7 and {t.tokens for t in pruned} == {13}
    assert len(result.finished) == 3 and result.answer == "0"
    assert asked == [13] * len(TEXTS) + [500] * 3
    assert engine.generated_tokens() == result.ledger.generated


@pytest.mark.parametrize("parallel", [False, True])
def test_questions_at_once_share_a_judge_one_at_a_time(parallel: bool) -> None:
    reading, most = 0, 0

    class Slow(FirstWordJudge):
        def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            time.sleep(0.02)
            reading -= 1
            return super().score(inputs)

    judge = Slow()
    judge.parallel = parallel  # type: ignore[attr-defined]
    questions = [Question(f"q{i}", f"{i}?") for i in range(4)]
    engine = ReplayEngine({q.text: TEXTS for q in questions}, TOKENIZER)
    contest = Contest(engine, TOKENIZER, CONFIG, len(TEXTS))
    found = asyncio.run(play("", contest.deepprune(judge, "pause"), questions, engine, 4))
    assert [r.question for r in found.results] == [q.text for q in questions]
    assert found.tokens == found.total("generated") == engine.generated_tokens()
    assert {r.answer for r in found.results} == {"0"}
    assert (most > 1) == parallel


def test_the_papers_rule_finishes_k2_of_the_largest_cluster() -> None:
    rule = PruningConfig(finish="largest_cluster", k2=2, k3=2)
    result, _, engine = ask(replace(CONFIG, pruning=rule))
    largest = max(result.clusters, key=len)
    assert [t.trace for t in result.finished] == sorted(largest[:2])
    assert result.answer == "0"
    states = [t.state for t in result.traces]
    assert states.count(TraceState.NOT_CHOSEN) == len(largest) - 2
    assert states.count(TraceState.PRUNED) == len(TEXTS) - len(largest)
    assert engine.generated_tokens() == result.ledger.generated


def test_a_decided_vote_ends_the_question_and_changes_no_answer() -> None:
    # The first trace of the largest cluster ends long before the first ones of the others.
    texts = [text(kind, 6 + 30 * i) for i, kind in enumerate(KINDS)]
    config = replace(CONFIG, mode="online", sampling=SamplingConfig(max_tokens=5000))
    whole, _, _ = ask(config, texts, pace=1000)
    early, events, engine = ask(replace(config, stop_when_decided=True), texts, pace=1000)
    assert early.answer == whole.answer and early.decided_early
    assert early.ledger.generated < whole.ledger.generated
    assert [event.kind for event in events].count("decided") == 1
    assert TraceState.DECIDED in {t.state for t in early.traces}
    assert engine.generated_tokens() == early.ledger.generated


def test_an_engines_fault_ends_its_trace_alone() -> None:
    class Broken(ReplayEngine):
        async def stream(self, request, config):  # type: ignore[no-untyped-def]
            async for chunk in super().stream(request, config):
                if "/0/first" in request.request_id and chunk.num_tokens > 5:
                    raise RuntimeError("http://x: broke off after 6 tokens")
                yield chunk

    engine = Broken({"?": TEXTS}, TOKENIZER)
    result = DeepPrune(engine, FirstWordJudge(), CONFIG).answer_sync("?", n=len(TEXTS))
    assert [t.trace for t in result.failures] == [0]
    assert "broke off" in result.failures[0].detail
    assert result.answer == "0" and len(result.clusters) == 3


def test_a_judges_fault_stops_everything() -> None:
    class Broken(FirstWordJudge):
        def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
            raise FloatingPointError("NaN logits")

    engine = ReplayEngine({"?": TEXTS}, TOKENIZER, tokens_per_second=2000)
    with pytest.raises(FloatingPointError, match="NaN"):
        DeepPrune(engine, Broken(), CONFIG).answer_sync("?", n=len(TEXTS))


def test_leaving_the_stream_stops_all_traces() -> None:
    engine = ReplayEngine({"?": TEXTS}, TOKENIZER, tokens_per_second=500)

    async def leave() -> int:
        stream = DeepPrune(engine, FirstWordJudge(), CONFIG).stream("?", n=len(TEXTS))
        async for event in stream:
            if isinstance(event, Event) and event.kind == "reached":
                break
        await stream.aclose()
        count = engine.generated_tokens()
        await asyncio.sleep(0.05)
        return engine.generated_tokens() - count

    assert asyncio.run(leave()) == 0


def test_the_result_is_plain_json() -> None:
    found = json.loads(ask(CONFIG)[0].to_json())
    assert found["answer"] == "0" and found["expected"]["saved_gross"] > 0
    assert found["traces"][0]["state"] in {state.value for state in TraceState}


@pytest.mark.parametrize("choice", ["random", "first", "medoid"])
def test_placing_in_batches_is_placing_one_by_one(choice: Choosing) -> None:
    rng = np.random.default_rng(5)
    for trial in range(20):
        table = rng.random((14, 14))
        table = (table + table.T) / 2
        config = ClusteringConfig(0.55, max_clusters=4, max_representatives=2, choice=choice)

        class TableJudge(FirstWordJudge):
            def score(self, inputs: Sequence[JudgeInput], table: np.ndarray = table) -> np.ndarray:
                return np.array([table[int(p.first), int(p.second)] for p in inputs])

        order = rng.permutation(14).tolist()
        placer = Placer(TableJudge(), "?", config, np.random.default_rng(trial))
        at = 0
        while at < len(order):
            size = int(rng.integers(1, 6))
            placer.place([(t, str(t)) for t in order[at : at + size]])
            at += size

        def score(pairs: Sequence[tuple[int, int]], table: np.ndarray = table) -> np.ndarray:
            return np.array([table[i, j] for i, j in pairs])

        truth = greedy_cluster(order, score, config, np.random.default_rng(trial))
        assert placer.result.clusters == truth.clusters
        np.testing.assert_array_equal(placer.result.similarity, truth.similarity)


def test_growing_text_is_the_decoded_text() -> None:
    ids = TOKENIZER.encode(TEXTS[0], add_special_tokens=False)
    growing, rng, n = GrowingText(TOKENIZER), np.random.default_rng(0), 0
    while n < len(ids):
        n = min(len(ids), n + int(rng.integers(1, 9)))
        assert growing.extend(ids[:n]) == TOKENIZER.decode(ids[:n], skip_special_tokens=True)
