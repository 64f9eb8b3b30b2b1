"""The engines against each other and against the model itself; live pruning on a real engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deepprune_core.engines.base import CONFIDENCE_TOP_K, Request, SamplingConfig, trace_seed
from deepprune_core.engines.sampler import (
    SamplingJob,
    gathered,
    last_chunk,
    sample_shard,
    sample_traces,
)
from deepprune_core.engines.sync import run_async
from deepprune_core.engines.trace_log import sole_writer
from deepprune_core.engines.transformers import open_transformers
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.ledger import TraceState
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.contest import Contest
from deepprune_core.pruner import PruningConfig
from deepprune_core.traces import Question
from deepprune_core.truncation import Truncation
from replication.miniature.benchmarks import questions_of
from replication.miniature.tokenizer import prompt_text
from replication.workflow.profile import ROOT

MODEL = ROOT / "data" / "miniature" / "models" / "birch"
QUESTIONS = questions_of(("mini-dev",))[:2]
CONFIG = SamplingConfig(max_tokens=60, confidences=True)
pytestmark = pytest.mark.filterwarnings("ignore")


class EveryoneAgrees:
    """A judge that calls every pair the same and counts what it reads."""

    def score(self, inputs: list[JudgeInput]) -> np.ndarray:
        return np.ones(len(inputs))

    def num_tokens(self, inputs: list[JudgeInput]) -> np.ndarray:
        return np.full(len(inputs), 11)


def prompt_of(question: Question) -> str:
    return prompt_text(question.text)


def job(num_traces: int, config: SamplingConfig = CONFIG) -> SamplingJob:
    return SamplingJob("birch", QUESTIONS, num_traces, config, 5, prompt_of)


@pytest.fixture(scope="module")
def engine():
    return open_transformers(MODEL, 8, dtype=torch.float32)


def test_confidences_are_the_models_own(engine, tmp_path):
    traces = sample_traces(engine, engine.tokenizer, job(2), tmp_path)
    trace = traces.traces[0][1]
    head = engine.tokenizer.encode(prompt_of(QUESTIONS[0]))
    ids = head + engine.tokenizer.encode(trace.text)
    with torch.no_grad():
        logits = engine.model(input_ids=torch.tensor([ids])).logits[0].double()
    top = logits.log_softmax(-1).topk(CONFIDENCE_TOP_K).values
    expected = -top.mean(-1)[len(head) - 1 : len(head) - 1 + trace.num_tokens]
    np.testing.assert_allclose(trace.confidences, expected[: trace.num_tokens], rtol=5e-3)


def test_a_trace_depends_on_its_seed_and_not_on_its_neighbours(engine, tmp_path):
    together = sample_traces(engine, engine.tokenizer, job(4), tmp_path / "a", parallel=8)
    alone = sample_traces(engine, engine.tokenizer, job(4), tmp_path / "b", parallel=1)
    assert [t.text for t in together.traces[0]] == [t.text for t in alone.traces[0]]
    assert len({t.text for t in together.traces[0]}) > 1


def test_a_killed_sampling_goes_on_with_the_missing_traces(engine, tmp_path):
    whole = sample_traces(engine, engine.tokenizer, job(3), tmp_path)
    log = tmp_path / "mini-dev%2F001.traces"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][:-20])  # as a kill leaves it
    before = engine.generated_tokens()
    again = sample_traces(engine, engine.tokenizer, job(3), tmp_path)
    assert [t.text for g in again.traces for t in g] == [t.text for g in whole.traces for t in g]
    lost = json.loads(lines[-1])["index"]
    assert engine.generated_tokens() - before == whole.traces[1][lost].num_tokens


def test_a_finished_sampling_needs_no_engine(engine, tmp_path):
    whole = sample_traces(engine, engine.tokenizer, job(2), tmp_path)
    again = sample_traces(None, engine.tokenizer, job(2), tmp_path)
    assert [t.text for g in again.traces for t in g] == [t.text for g in whole.traces for t in g]


@pytest.mark.parametrize(
    "name", ["../../out", "/etc/x", "..", "a\x00b", "ü/漢", "x" * 300, "漢" * 99]
)
def test_no_question_id_leaves_the_folder(engine, tmp_path, name):
    work = tmp_path / "in" / "work"
    one = SamplingJob("birch", (Question(name, "how many?"),), 1, SamplingConfig(max_tokens=3),
                      5, prompt_of)  # fmt: skip
    assert sample_traces(engine, engine.tokenizer, one, work).questions[0].question_id == name
    made = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert made and all(p.parent == work for p in made)


def test_shards_share_a_job(engine, tmp_path):
    whole = sample_traces(engine, engine.tokenizer, job(2), tmp_path / "a")
    sample_shard(engine, engine.tokenizer, job(2), tmp_path / "b", shard=(1, 2))
    with pytest.raises(ValueError, match="traces are missing"):
        gathered(job(2), tmp_path / "b")
    with pytest.raises(ValueError, match="2/2"):
        sample_shard(engine, engine.tokenizer, job(2), tmp_path / "b", shard=(2, 2))
    sample_shard(engine, engine.tokenizer, job(2), tmp_path / "b", shard=(0, 2))
    found = gathered(job(2), tmp_path / "b")
    assert [t.text for g in found.traces for t in g] == [t.text for g in whole.traces for t in g]


def test_a_second_run_on_one_folder_says_so(engine, tmp_path):
    with (
        sole_writer(tmp_path / ".lock-0-of-1"),
        pytest.raises(BlockingIOError, match="another run is working"),
    ):
        sample_traces(engine, engine.tokenizer, job(2), tmp_path)


def test_another_jobs_work_is_refused_with_the_keys_that_differ(engine, tmp_path):
    sample_traces(engine, engine.tokenizer, job(2), tmp_path)
    with pytest.raises(ValueError, match="num_traces"):
        sample_traces(engine, engine.tokenizer, job(3), tmp_path)


def test_an_aborted_request_ends_and_the_others_go_on(engine):
    async def main():
        prompt = prompt_of(QUESTIONS[0])
        config = SamplingConfig(max_tokens=30)

        async def short():
            async for chunk in engine.stream(Request("short", prompt, 1), config):
                if chunk.num_tokens == 5:
                    await engine.abort("short")
            return chunk

        long = last_chunk(engine.stream(Request("long", prompt, 2), config))
        return await asyncio.gather(short(), long)

    before = engine.generated_tokens()
    short, long = run_async(main)
    assert short.finish_reason == "abort" and short.num_tokens <= 6
    assert long.num_tokens == 30
    assert engine.generated_tokens() - before == short.num_tokens + long.num_tokens


def contest(engine, **pruning) -> Contest:
    config = OnlineConfig(
        Truncation("reasoning_words", 5), PruningConfig(**pruning), SamplingConfig(max_tokens=400),
        stop_when_decided=False, seed=3,
    )  # fmt: skip
    return Contest(engine, engine.tokenizer, config, 6, prompt_text)


@pytest.mark.parametrize("finish", ["largest_cluster", "survivors"])
def test_live_pruning_accounts_for_every_token_the_engine_counted(engine, finish):
    meeting = contest(engine, finish=finish, k2=2)
    pruned = meeting.deepprune(EveryoneAgrees(), "pause")
    found = run_async(lambda: pruned(QUESTIONS[0]))
    assert found.ledger.generated == found.engine_tokens and found.after_abort == 0
    assert found.ledger.judge == 11 * found.ledger.judge_calls > 0
    assert len(found.finished) == (2 if finish == "largest_cluster" else 1)
    assert all(t.tokens < 200 for t in found.traces if t.state is not TraceState.FINISHED)
    whole = run_async(lambda: meeting.vote()(QUESTIONS[0]))
    assert whole.engine_tokens == sum(t.tokens for t in whole.traces) > found.engine_tokens


def test_seeds_of_traces_never_collide_in_a_run():
    seeds = {trace_seed(1, f"mini-24/{q:03d}", t) for q in range(100) for t in range(64)}
    assert len(seeds) == 6400


def test_top_k_one_is_greedy(engine, tmp_path):
    config = SamplingConfig(max_tokens=40, top_k=1)
    traces = sample_traces(engine, engine.tokenizer, job(2, config), tmp_path)
    assert traces.traces[0][0].text == traces.traces[0][1].text


def test_a_folder_without_weights_is_refused(tmp_path):
    from deepprune_core.engines.vllm import open_vllm

    with pytest.raises(FileNotFoundError, match=r"safetensors"):
        open_vllm(tmp_path)
    assert Path(tmp_path).is_dir()


@pytest.mark.vllm
def test_vllm_streams_aborts_and_counts_like_the_model_says():
    pytest.importorskip("vllm")
    from deepprune_core.engines.vllm import VllmSettings, open_vllm

    engine = open_vllm(
        MODEL, VllmSettings(max_parallel=8, dtype="float32", memory_gib=1, max_tokens=9_999)
    )  # it holds 2,048
    prompt = prompt_of(QUESTIONS[0])
    pruned = contest(engine, k2=2).deepprune(EveryoneAgrees(), "pause")

    async def main():
        config = SamplingConfig(max_tokens=60, confidences=True)
        chunk = await last_chunk(engine.stream(Request("one", prompt, 7), config))
        return chunk, await pruned(QUESTIONS[0])

    try:
        chunk, found = run_async(main)
        total = engine.generated_tokens()
        # An engine lives on: asked in another call, it answers as before.
        again = run_async(lambda: contest(engine, k2=2).vote(1)(QUESTIONS[0]))
    finally:
        engine.close()
    assert len(again.finished) == 1
    assert chunk.num_tokens == 60 == len(chunk.confidences)
    assert total == 60 + found.engine_tokens
    assert found.ledger.generated == found.engine_tokens
    reference = open_transformers(MODEL, dtype=torch.float32)
    ids = [*reference.tokenizer.encode(prompt), *chunk.token_ids]
    with torch.no_grad():
        logits = reference.model(input_ids=torch.tensor([ids])).logits[0].double()
    top = logits.log_softmax(-1).topk(CONFIDENCE_TOP_K).values
    np.testing.assert_allclose(chunk.confidences, -top.mean(-1)[-61:-1], rtol=2e-2)
