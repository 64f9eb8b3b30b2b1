"""The command line, the server in front, and a judge behind HTTP, all on vLLM's own server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from deepprune_core.cli.app import app
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.endpoint_judge import EndpointJudge, open_endpoint_judge
from deepprune_core.engines.openai import EndpointError, EndpointSettings, open_openai
from deepprune_core.engines.sync import run_async
from deepprune_core.formats.trace_files import read_traces
from deepprune_core.judge import CausalLMJudge
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.loading import load_causal_lm
from deepprune_core.judging.prompts import plain_prompt
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.contest import Contest
from deepprune_core.live.result import PrunedAnswer
from deepprune_core.peers.deepconf import DeepConfConfig
from deepprune_core.serving.app import PruningServer, build_app
from deepprune_core.truncation import Truncation
from replication.miniature.benchmarks import questions_of
from replication.miniature.tokenizer import prompt_text
from replication.workflow.profile import ROOT

MODEL = ROOT / "data" / "miniature" / "models" / "birch"
QUESTIONS = questions_of(("mini-dev",))[:2]
RUNNER = CliRunner()
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]


def command(*words: str) -> dict[str, Any]:
    found = RUNNER.invoke(app, list(words))
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize("mode", ["online", "pause"])
def test_ask_answers_and_the_server_counts_what_it_accounts_for(vllm_url: str, mode: str) -> None:
    asked = ["ask", prompt_text(QUESTIONS[0].text), "-u", vllm_url, "--completion", "-n", "6"]
    options = ["--judge", "same_text", "--cut", "6 words", "--max-tokens", "900", "--mode", mode]
    found = command(*asked, *options, "--json")
    assert len(found["traces"]) == 6 and found["answer"] is not None
    # On a busy machine the server goes on for a moment before it notices a closed stream.
    beyond = found["engine_tokens"] - found["ledger"]["generated"]
    assert 0 <= beyond < 6 * 900 - found["ledger"]["generated"]
    assert {t["state"] for t in found["traces"]} <= {"finished", "pruned", "decided"}


def test_sampled_traces_are_pruned_from_their_file(vllm_url: str, tmp_path: Path) -> None:
    questions, traces = tmp_path / "questions.jsonl", tmp_path / "traces.parquet"
    rows = [
        {"question_id": q.question_id, "question": prompt_text(q.text), "gold": q.gold}
        for q in QUESTIONS
    ]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["sample", str(questions), "--out", str(traces), "-u", vllm_url, "-n", "3"]
    found = RUNNER.invoke(app, [*asked, "--completion", "--max-tokens", "80"])
    assert found.exit_code == 0, found.output
    stored = read_traces(traces)
    assert stored.num_traces == 6 and [q.gold for q in stored.questions] == [
        q.gold for q in QUESTIONS
    ]
    assert {t.num_tokens for group in stored.traces for t in group} == {80}
    again = RUNNER.invoke(app, [*asked, "--completion"])
    assert again.exit_code == 2 and "is there already" in again.stderr
    table = command("prune", str(traces), "--judge", "same_text", "--cut", "4 words", "--json")
    assert table[0]["method"] == "all traces" and table[0]["generated"] == 480


def test_ask_without_a_judge_stops_once_the_vote_is_sure(vllm_url: str) -> None:
    text = prompt_text(QUESTIONS[0].text)
    told = command(
        "ask", text, "-u", vllm_url, "-n", "8", "--rule", "adaptive", "--completion", "--json",
        "--max-tokens", "900", "--temperature", "0",
    )  # fmt: skip
    states = [trace["state"] for trace in told["traces"]]  # without chance all traces agree
    assert told["answer"] is not None and told["ledger"]["judge"] == 0
    assert states == ["finished"] * 4 + ["decided"] * 4


def test_a_judge_behind_http_scores_like_the_same_judge_here(vllm_url: str) -> None:
    model, tokenizer = load_causal_lm(MODEL)
    here = CausalLMJudge(model, tokenizer, plain_prompt(tokenizer), 1024)
    there = open_endpoint_judge(vllm_url)
    texts = ["first Ann has 3. so Ben", "first Ben has 4. so Ann has", "Kai has 5."]
    pairs = [JudgeInput("what has Ann?", a, b) for a in texts for b in texts]
    np.testing.assert_allclose(there.score(pairs), here.score(pairs), atol=2e-3)
    assert there.num_tokens(pairs).tolist() == here.num_tokens(pairs).tolist()
    assert there.score([]).shape == (0,)


def test_a_served_judge_that_is_not_there_is_told_in_one_line(vllm_url: str) -> None:
    with pytest.raises(EndpointError, match="serves no 'nobody'; it serves birch"):
        open_endpoint_judge(f"{vllm_url}#nobody")
    _, tokenizer = load_causal_lm(MODEL)
    lost = EndpointJudge(vllm_url, "nobody", tokenizer, plain_prompt(tokenizer))
    with pytest.raises(EndpointError, match="nobody"):
        lost.score([JudgeInput("what?", "so", "so")])


def test_a_server_in_front_of_vllm_votes_for_the_official_client(
    vllm_url: str, serve: Callable[[Any], str]
) -> None:
    from openai import OpenAI

    _, tokenizer = load_causal_lm(MODEL)
    engine = open_openai(EndpointSettings((vllm_url,), "birch", chat=True), tokenizer)
    config = OnlineConfig(Truncation("reasoning_words", 6), sampling=SamplingConfig(max_tokens=900))
    server = PruningServer(engine, SameTextJudge(), config, "birch", 3)
    client = OpenAI(base_url=f"{serve(build_app(server, engine.close))}/v1", api_key="none")
    question = [{"role": "user", "content": prompt_text(QUESTIONS[0].text)}]
    found = client.chat.completions.create(model="birch", messages=question, temperature=0.6)  # type: ignore[arg-type]
    account = found.model_extra["deepprune"]
    assert "boxed" in found.choices[0].message.content and len(account["traces"]) == 3
    assert 0 < account["ledger"]["generated"] == found.usage.completion_tokens
    assert account["engine_tokens"] >= found.usage.completion_tokens


def test_every_method_runs_on_the_server_which_counts_what_they_account_for(vllm_url: str) -> None:
    _, tokenizer = load_causal_lm(MODEL)
    engine = open_openai(EndpointSettings((vllm_url,), "birch"), tokenizer)
    config = OnlineConfig(
        Truncation("reasoning_words", 6), sampling=SamplingConfig(0.6, 0.95, max_tokens=900)
    )
    deepconf = DeepConfConfig(90, warmup=2, window=16)
    contest = Contest(engine, tokenizer, config, 5, prompt_text, deepconf)
    judge = SameTextJudge()
    methods = {
        "all": contest.vote(), "two": contest.vote(2), "random": contest.random(0.5),
        "online": contest.deepprune(judge, "online"), "pause": contest.deepprune(judge, "pause"),
        "adaptive": contest.adaptive(2), "windows": contest.early_stopping(2),
        "high": contest.confidence(90), "low": contest.confidence(10),
    }  # fmt: skip

    async def ask_all() -> dict[str, PrunedAnswer]:
        return {name: await method(QUESTIONS[0]) for name, method in methods.items()}

    found = run_async(ask_all)
    run_async(engine.close)
    assert all(result.answer is not None for result in found.values())
    # Nothing is stopped in these two, so the server's count is exact.
    assert found["all"].after_abort == found["two"].after_abort == 0
    assert all(result.after_abort >= 0 for result in found.values())
    assert len(found["all"].finished) == 5 and len(found["two"].finished) == 2
    # The same seeds: the first traces of the plain votes are the same traces.
    texts = {t.trace: t.text for t in found["all"].traces}
    assert [t.text[:40] for t in found["two"].traces] == [texts[0][:40], texts[1][:40]]
