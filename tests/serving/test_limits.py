"""What strangers may ask of the server, over real HTTP: keys, sizes, slow clients, crowds."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from deepprune_core.cli.app import app
from deepprune_core.cli.options import BAD_INPUT
from deepprune_core.engines.replay import ReplayEngine
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.serving.app import PruningServer, build_app
from deepprune_core.serving.board import MOST_UNREAD, Board
from deepprune_core.serving.limits import Limits
from deepprune_core.truncation import Truncation
from replication.miniature.tokenizer import build_tokenizer

CONFIG = OnlineConfig(Truncation("reasoning_words", 3))
BODY = {"messages": [{"role": "user", "content": "Ann?"}]}
ASK = "/v1/chat/completions"


class AnyReplay(ReplayEngine):
    """Plays the same texts whatever is asked."""

    def __init__(self) -> None:
        super().__init__({"": ["so Ann has 3. answer: \\boxed{3}"] * 2}, build_tokenizer())

    def stream(self, request: Any, config: Any) -> Any:
        return super().stream(type(request)(request.request_id, "", request.seed), config)


class SlowJudge(SameTextJudge):
    """Holds every question until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def score(self, inputs: Any) -> np.ndarray:
        self.go.wait(20)
        return super().score(inputs)


def server(serve: Callable[[Any], str], judge: Any = None, **limits: Any) -> str:
    made = PruningServer(AnyReplay(), judge or SameTextJudge(), CONFIG, "m", 2, Limits(**limits))
    return serve(build_app(made))


def test_a_server_with_a_key_answers_nobody_without_it(serve: Callable[[Any], str]) -> None:
    url = server(serve, key="pässword")
    for sent in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "pass"}):
        assert httpx.post(url + ASK, json=BODY, headers=sent).status_code == 401
    right = {"Authorization": "Bearer pässword".encode()}
    assert httpx.post(url + ASK, json=BODY, headers=right).status_code == 200
    assert httpx.get(f"{url}/events").status_code == 401
    with httpx.stream("GET", f"{url}/events", params={"key": "pässword"}) as answer:
        assert answer.status_code == 200
    assert "pässword" not in repr(Limits(key="pässword"))


def test_a_long_body_is_refused_before_it_is_read(serve: Callable[[Any], str]) -> None:
    url = server(serve, body_bytes=1000)
    long = {"messages": [{"role": "user", "content": "x" * 2000}]}
    found = httpx.post(url + ASK, json=long)
    assert found.status_code == 413 and "1000 bytes" in found.json()["error"]["message"]
    assert httpx.post(url + ASK, json=BODY).status_code == 200


def test_two_hundred_slow_clients_starve_nobody(serve: Callable[[Any], str]) -> None:
    url = server(serve, body_seconds=3.0)
    there = urlsplit(url)
    head = f"POST {ASK} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{{".encode()
    slow = [socket.create_connection((there.hostname, there.port)) for _ in range(200)]
    try:
        for one in slow:
            one.sendall(head)
        started = time.monotonic()
        assert httpx.post(url + ASK, json=BODY, timeout=20).status_code == 200
        assert time.monotonic() - started < 3
        for one in slow:
            one.settimeout(20)
            assert b" 408 " in one.recv(200)
    finally:
        for one in slow:
            one.close()


def test_more_questions_than_allowed_are_told_to_come_back(serve: Callable[[Any], str]) -> None:
    judge = SlowJudge()
    made = PruningServer(AnyReplay(), judge, CONFIG, "m", 2, Limits(at_once=1))
    url, first = serve(build_app(made)), list[int]()
    asking = threading.Thread(
        target=lambda: first.append(httpx.post(url + ASK, json=BODY, timeout=30).status_code)
    )
    asking.start()
    while not made.at_work:
        time.sleep(0.01)
    found = httpx.post(url + ASK, json=BODY)
    judge.go.set()
    asking.join()
    assert found.status_code == 429 and int(found.headers["retry-after"]) > 0
    assert first == [200]
    assert httpx.post(url + ASK, json=BODY).status_code == 200


def test_a_watcher_that_never_reads_is_dropped() -> None:
    import asyncio

    async def crowd() -> int:
        board = Board()
        watching = board.watch()
        await anext(watching)
        for _ in range(MOST_UNREAD + 1):
            board._tell({"kind": "event"})
        return len(board._watchers)

    assert asyncio.run(crowd()) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_an_open_address_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPPRUNE_SERVER_KEY", raising=False)
    found = CliRunner().invoke(app, ["serve", "-u", "http://127.0.0.1:9/v1", "--host", host])
    assert found.exit_code == BAD_INPUT and "set DEEPPRUNE_SERVER_KEY" in found.stderr
