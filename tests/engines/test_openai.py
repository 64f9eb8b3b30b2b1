"""The HTTP engine against a real server on the loopback address, which counts what it sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from deepprune_core.engines.base import Request, SamplingConfig
from deepprune_core.engines.openai import EndpointError, EndpointSettings, OpenAIEngine, open_openai
from deepprune_core.engines.sampler import last_chunk
from replication.miniature.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
WORDS = ["so", "Bob", "has", "then"] * 50  # a token each


@dataclass
class Fake:
    """A completions server that sends one word every few milliseconds."""

    sent: int = 0
    requests: list[dict] = field(default_factory=list)
    failures: int = 0
    status: int = 503
    metrics: bool = True
    pause: float = 0.002
    retry_after: str = ""
    broken: str = ""
    stalls_after: int = -1

    def app(self):
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
        from starlette.routing import Route

        async def complete(request):
            body = await request.json()
            self.requests.append(body)
            if self.failures:
                self.failures -= 1
                headers = {"retry-after": self.retry_after} if self.retry_after else None
                body = {"error": {"message": "not\nnow"}}
                return JSONResponse(body, status_code=self.status, headers=headers)
            return StreamingResponse(self.words(body), media_type="text/event-stream")

        async def metrics(request):
            if not self.metrics:
                return PlainTextResponse("", status_code=404)
            return PlainTextResponse(f'vllm:generation_tokens_total{{m="x"}} {float(self.sent)}\n')

        return Starlette(routes=[Route("/v1/completions", complete, methods=["POST"]),
                                 Route("/metrics", metrics)])  # fmt: skip

    async def words(self, body: dict) -> AsyncIterator[str]:
        words = WORDS[: body["max_tokens"]]
        if self.broken:
            yield f"data: {json.dumps({'choices': [{'text': 'so', 'index': 0}]})}\n\n"
            yield self.broken
            return
        for i, word in enumerate(words):
            await asyncio.sleep(60 if i == self.stalls_after else self.pause)
            self.sent += 1
            choice = {"text": f" {word}" if i else word, "index": 0, "finish_reason": None}
            if body.get("logprobs"):
                choice["logprobs"] = {"top_logprobs": [{str(k): -float(k) for k in range(21)}]}
            if i == len(words) - 1:
                choice["finish_reason"] = "length"
            yield f"data: {json.dumps({'choices': [choice]})}\n\n"
        yield "data: [DONE]\n\n"


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def url(fake: Fake, serve: Callable[[Any], str]) -> str:
    return f"{serve(fake.app())}/v1"


def engine(*urls: str) -> OpenAIEngine:
    return open_openai(EndpointSettings(urls, "small", attempts=3), TOKENIZER)


def ask(name: str = "one", **prefix: tuple[int, ...]) -> Request:
    return Request(name, "what has Bob?", 7, **prefix)


def run(work):
    return asyncio.run(work())


def test_a_stream_grows_and_is_counted_like_the_server_counts(fake, url):
    async def work():
        one = engine(url)
        chunks = [c async for c in one.stream(ask(), SamplingConfig(max_tokens=8))]
        total = one.generated_tokens()
        await one.close()
        return chunks, total

    chunks, total = run(work)
    lengths = [c.num_tokens for c in chunks]
    assert lengths == sorted(lengths)
    assert chunks[-1].finish_reason == "length"
    assert chunks[-1].text == " ".join(WORDS[:8])
    assert total == fake.sent == 8
    body = fake.requests[0]
    assert (body["seed"], body["max_tokens"], body["model"]) == (7, 8, "small")


def test_an_abort_stops_the_server(fake, url):
    async def work():
        one = engine(url)
        last = None
        async for chunk in one.stream(ask(), SamplingConfig(max_tokens=200)):
            last = chunk
            if chunk.num_tokens >= 10:
                await one.abort("one")
        await one.abort("nobody")
        await asyncio.sleep(0.1)
        await one.close()
        return last

    last = run(work)
    assert last.finish_reason == "abort"
    assert 10 <= last.num_tokens <= fake.sent < 60


def test_a_busy_server_is_asked_again_and_a_refusal_is_told(fake, url):
    async def work():
        one = engine(url)
        fake.failures = 2
        found = await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=4)))
        fake.failures, fake.status = 1, 400
        with pytest.raises(EndpointError, match=r"/v1: HTTP 400: not now$"):
            await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=4)))
        await one.close()
        return found

    assert run(work).num_tokens == 4
    assert len(fake.requests) == 4


def test_nobody_there_is_told_in_one_line():
    async def work():
        one = engine("http://127.0.0.1:9/v1")
        with pytest.raises(EndpointError, match="is the server running there") as error:
            await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=4)))
        await one.close()
        return str(error.value)

    assert "\n" not in run(work)


def test_requests_are_shared_between_endpoints(fake, url, serve):
    other = Fake()

    async def work(second):
        one = engine(url, second)
        streams = [one.stream(ask(str(i)), SamplingConfig(max_tokens=20)) for i in range(6)]
        await asyncio.gather(*map(last_chunk, streams))
        await one.close()

    asyncio.run(work(f"{serve(other.app())}/v1"))
    assert len(fake.requests) == len(other.requests) == 3


def test_tokens_that_arrived_count_where_a_server_shows_no_metrics(fake, url):
    fake.metrics = False

    async def work():
        one = engine(url)
        found = await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=8)))
        total = one.generated_tokens()
        await one.close()
        return found, total

    found, total = run(work)
    assert total == found.num_tokens


def test_confidences_are_means_of_the_twenty_likeliest(url):
    async def work():
        one = engine(url)
        config = SamplingConfig(max_tokens=3, confidences=True)
        found = await last_chunk(one.stream(ask(), config))
        await one.close()
        return found

    np.testing.assert_allclose(run(work).confidences, np.full(3, np.mean(range(20))))


def test_a_prefix_is_sent_as_ids_and_shortens_what_may_follow(fake, url):
    async def work():
        one = engine(url)
        await last_chunk(one.stream(ask(prefix=(5, 6)), SamplingConfig(max_tokens=10)))
        await one.close()

    run(work)
    ids = TOKENIZER.encode("what has Bob?", add_special_tokens=False)
    assert fake.requests[0]["prompt"] == [*ids, 5, 6]
    assert fake.requests[0]["max_tokens"] == 8


def test_an_address_without_http_is_refused():
    with pytest.raises(ValueError, match="expected addresses such as"):
        engine("localhost:8000")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("data: {broken\n\n", "broke off after 1 tokens"),
        ('data: {"error": {"message": "out of\\nmemory"}}\n\n', "out of memory after 1 tokens"),
        ("", "ended its stream after 1 tokens without saying why"),
    ],
)
def test_a_broken_stream_is_a_fault_of_the_endpoint(fake, url, event, told):
    fake.broken = event or ": nothing\n\n"

    async def work():
        one = engine(url)
        with pytest.raises(EndpointError, match=told) as error:
            await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=4)))
        await one.close()
        return str(error.value)

    assert "\n" not in run(work)


def test_a_stream_that_stalls_is_given_up_and_closed(fake, url):
    fake.stalls_after = 3
    settings = EndpointSettings((url,), "small", stall_s=0.3)

    async def work():
        one = open_openai(settings, TOKENIZER)
        started = asyncio.get_running_loop().time()
        with pytest.raises(EndpointError, match="sent nothing more after 3 tokens"):
            await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=9)))
        seconds = asyncio.get_running_loop().time() - started
        await one.close()
        return seconds, one._load[url]

    seconds, load = run(work)
    assert 0.3 <= seconds < 5 and load == 0 and fake.sent == 3


def test_a_request_goes_to_another_endpoint_when_one_is_gone(fake, url):
    async def work():
        one = engine("http://127.0.0.1:9/v1", url)
        streams = [one.stream(ask(str(i)), SamplingConfig(max_tokens=5)) for i in range(4)]
        found = await asyncio.gather(*map(last_chunk, streams))
        loads = dict(one._load)
        await one.close()
        return found, loads

    found, loads = run(work)
    assert [chunk.num_tokens for chunk in found] == [5] * 4
    assert set(loads.values()) == {0}


def test_a_server_that_asks_for_a_pause_gets_it(fake, url):
    fake.failures, fake.status, fake.retry_after = 1, 429, "1"

    async def work():
        one = engine(url)
        started = asyncio.get_running_loop().time()
        found = await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=4)))
        await one.close()
        return found, asyncio.get_running_loop().time() - started

    found, seconds = run(work)
    assert found.num_tokens == 4 and seconds >= 1


def test_a_key_shows_in_no_error(fake, url, monkeypatch):
    fake.failures, fake.status = 9, 401
    settings = EndpointSettings((url,), "small", api_key="sk-secret", attempts=2)

    async def work():
        one = open_openai(settings, TOKENIZER)
        with pytest.raises(EndpointError, match="HTTP 401") as error:
            await last_chunk(one.stream(ask(), SamplingConfig(max_tokens=4)))
        await one.close()
        return error.value

    found = run(work)
    assert "sk-secret" not in f"{found!r} {found.__cause__!r} {settings!r}"
