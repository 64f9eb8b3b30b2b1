"""The server in front of an engine, driven by the official client over real HTTP."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from deepprune_core.engines.base import Chunk, Messages, Request, SamplingConfig
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.live.config import OnlineConfig
from deepprune_core.serving.app import BadRequestError, PruningServer, build_app, read_request
from deepprune_core.truncation import Truncation
from replication.miniature.tokenizer import build_tokenizer

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
TOKENIZER = build_tokenizer()
NAMES = ("Ann", "Ben")
KINDS = (0, 1, 0, 0, 1, 0)
TEXTS = tuple(
    f"{NAMES[kind]} has 3. {'so Bob has 4. ' * (6 + i)} answer: \\boxed{{{kind}}}"
    for i, kind in enumerate(KINDS)
)
CONFIG = OnlineConfig(Truncation("reasoning_words", 3), sampling=SamplingConfig(max_tokens=500))


class ChatReplay(ReplayEngine):
    """Plays the same texts whatever the conversation; keeps what it was asked."""

    def __init__(self, texts: Sequence[str] = TEXTS) -> None:
        super().__init__({"": texts}, TOKENIZER)
        self.asked: list[Messages] = []

    def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        assert not isinstance(request.prompt, str)
        self.asked.append(request.prompt)
        asked = Request(request.request_id, "", request.seed, request.prefix)
        return super().stream(asked, config)


class FirstWordJudge:
    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        return np.array([float(p.first.split()[0] == p.second.split()[0]) for p in inputs])

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        return np.full(len(inputs), 7)


@pytest.fixture(scope="module")
def engine() -> ChatReplay:
    return ChatReplay()


@pytest.fixture(scope="module")
def url(engine: ChatReplay, serve: Callable[[Any], str]) -> str:
    return serve(build_app(PruningServer(engine, FirstWordJudge(), CONFIG, "small", len(TEXTS))))


def test_the_official_client_gets_a_vote_with_its_account(url: str, engine: ChatReplay) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    conversation = [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "What has Ann?"},
    ]
    found = client.chat.completions.create(model="small", messages=conversation, temperature=0.3)  # type: ignore[arg-type]
    assert found.choices[0].message.content.endswith("\\boxed{0}")
    account = found.model_extra["deepprune"]
    assert account["answer"] == "0" and len(account["traces"]) == len(TEXTS)
    assert account["ledger"]["generated"] == found.usage.completion_tokens
    assert "text" not in account["traces"][0]
    assert engine.asked[0] == tuple(conversation)
    assert [m.id for m in client.models.list()] == ["small"]


def test_a_streaming_client_gets_the_same_answer(url: str) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    stream = client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": "What has Ann?"}], stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text.endswith("\\boxed{0}")


def test_the_page_and_its_events_tell_the_last_questions(url: str) -> None:
    assert "EventSource" in httpx.get(url).text
    with httpx.stream("GET", f"{url}/events") as answer:
        line = next(line for line in answer.iter_lines() if line.startswith("data:"))
    entries = json.loads(line.removeprefix("data:"))["entries"]
    assert entries[-1]["question"] == "What has Ann?"
    assert entries[-1]["result"]["answer"] == "0"
    assert {e["kind"] for e in entries[-1]["events"]} >= {"started", "opened", "joined"}


def test_a_server_without_a_judge_asks_until_the_vote_is_sure(serve: Callable[[Any], str]) -> None:
    engine = ChatReplay(["so answer: \\boxed{0}"] * 9)
    there = serve(build_app(PruningServer(engine, None, CONFIG, "small", 9)))
    body = {"messages": [{"role": "user", "content": "What has Ann?"}]}
    account = httpx.post(f"{there}/v1/chat/completions", json=body).json()["deepprune"]
    assert account["answer"] == "0" and account["ledger"]["judge"] == 0
    states = [trace["state"] for trace in account["traces"]]
    assert states == ["finished"] * 4 + ["decided"] * 5  # 1 - 0.5**5 is above 0.95
    assert account["expected"]["saved_net"] == pytest.approx(5 / 9, abs=1e-3)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "message of the user"),
        ({"messages": [{"role": "user", "content": 3}]}, "content of text"),
        ({"messages": [{"role": "user", "content": "x"}], "temperature": "hot"}, "temperature"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text parts"),
    ],
)
def test_a_bad_request_names_its_field(body: object, told: str, url: str) -> None:
    with pytest.raises(BadRequestError, match=told):
        read_request(body, CONFIG, 4)
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert answer.status_code == 400 and told in answer.json()["error"]["message"]


def test_a_request_changes_the_sampling_but_not_the_number_of_traces() -> None:
    body = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}]}],
        "max_completion_tokens": 7, "seed": 3, "n": 99,
    }  # fmt: skip
    wanted = read_request(body, CONFIG, 4)
    assert (wanted.config.sampling.max_tokens, wanted.config.seed) == (7, 3)
    assert wanted.num_traces == 4 and wanted.question == "What?"


def shown_in_browser(url: str, folder: Path, until: str) -> str:
    """Return what a headless Chromium shows at an address, once ``until`` is there."""
    from websockets.sync.client import connect

    options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
    command = [str(BROWSER), *options, f"--user-data-dir={folder}", url]
    browser = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        told, give_up = folder / "DevToolsActivePort", time.monotonic() + 60
        while not told.is_file() or not told.read_text().strip():
            assert time.monotonic() < give_up, "Chromium did not start"
            time.sleep(0.1)
        pages = httpx.get(f"http://127.0.0.1:{told.read_text().split()[0]}/json").json()
        page = next(p for p in pages if p["type"] == "page")
        asked = {"id": 1, "method": "Runtime.evaluate",
                 "params": {"expression": "document.body.innerHTML"}}  # fmt: skip
        with connect(page["webSocketDebuggerUrl"]) as tools:
            html = ""
            while until not in html and time.monotonic() < give_up:
                tools.send(json.dumps(asked))
                html = json.loads(tools.recv())["result"]["result"].get("value", "")
                time.sleep(0.1)
        return html
    finally:
        browser.kill()
        browser.wait()


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_shows_the_clusters_of_a_question(url: str, tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "What has <Ann>?"}]}
    assert httpx.post(f"{url}/v1/chat/completions", json=body).status_code == 200
    shown = shown_in_browser(url, tmp_path, "&lt;Ann&gt;")
    article = shown.split("<article")[1]
    assert "What has &lt;Ann&gt;?" in article and "answer: 0" in article
    assert article.count("×") == article.count('class="joined"') > 0
    assert article.index("cluster 1") < article.index("answer: 0")
