"""Servers that speak almost the same language: one that misbehaves in one way each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deepprune_core.answers import extract_answer
from deepprune_core.cli.app import app as command_line
from deepprune_core.engines.base import Chunk, Request, SamplingConfig
from deepprune_core.engines.discovery import WordTokenizer, served_model
from deepprune_core.engines.openai import EndpointError, EndpointSettings, open_openai
from deepprune_core.engines.openai_events import Remark, read_choice, read_events
from deepprune_core.engines.received import Progress
from deepprune_core.engines.sampler import last_chunk
from deepprune_core.judging.same_text import SameTextJudge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.growing_text import GrowingText
from deepprune_core.serving.app import PruningServer, build_app
from deepprune_core.truncation import Truncation
from replication.miniature.tokenizer import build_tokenizer

ANSWER = "so it is \\boxed{4}"


def event(delta: Any = None, finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **more}, ensure_ascii=False)}\n\n"


def said(text: str, finish: str | None = None, **more: Any) -> str:
    return event({"content": text}, finish, **more)


DONE = "data: [DONE]\n\n"
GOOD = (said("so it is "), said("\\boxed{4}"), event(None, "stop"), DONE)


class Odd:
    """A chat server that sends ``pieces``, or refuses by ``status``; it keeps what it is asked."""

    def __init__(self, pieces: Sequence[str] = GOOD, status: int = 200) -> None:
        self.pieces, self.status = list(pieces), status
        self.refused: tuple[str, ...] = ()
        self.listed = True
        self.kind = "text/event-stream"
        self.asked: list[dict[str, Any]] = []

    def app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
        from starlette.routing import Route

        async def chat(request: Any) -> Any:
            body = await request.json()
            self.asked.append(body)
            bad = next((name for name in self.refused if name in body), None)
            if bad is not None:
                told = {"message": f"Unsupported parameter: {bad!r} is not supported"}
                return JSONResponse({"error": told}, status_code=400)

            async def pieces() -> AsyncIterator[str]:
                for piece in self.pieces:
                    yield piece

            return StreamingResponse(pieces(), self.status, media_type=self.kind)

        async def models(request: Any) -> Any:
            found = {"data": [{"id": "m"}]}
            return JSONResponse(found) if self.listed else PlainTextResponse("", 404)

        return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"]),
                                 Route("/v1/models", models)])  # fmt: skip


@pytest.fixture(scope="module")
def odd() -> Odd:
    return Odd()


@pytest.fixture(scope="module")
def address(odd: Odd, serve: Callable[[Any], str]) -> str:
    return f"{serve(odd.app())}/v1"


@pytest.fixture
def url(odd: Odd, address: str) -> str:
    odd.__init__()  # type: ignore[misc]
    return address


def stream_one(url: str, **settings: Any) -> Chunk:
    async def work() -> Chunk:
        one = open_openai(EndpointSettings((url,), "m", chat=True, **settings), WordTokenizer())
        try:
            found = await last_chunk(one.stream(Request("r", "?", 7), SamplingConfig()))
        finally:
            await one.close()
        assert found is not None
        return found

    return asyncio.run(work())


ENDS = {
    "parts": (event({"content": [{"type": "thinking", "thinking": [{"type": "text",
                                                                    "text": "hm "}]},
                                 {"type": "thinking", "thinking": "\\boxed{9}"}]}),
              event({"content": [{"type": "text", "text": ANSWER}]}, "stop")),
    "thinking apart": (event({"reasoning_content": "hm \\boxed{9}"}), said(ANSWER, "stop")),
    "no objects": ("data: null\n\n", "data: ping\n\n", 'data: "busy"\n\n', "data: 7\n\n", *GOOD),
    "no end but DONE": (said(ANSWER), DONE),
    "error null": (said(ANSWER, None, error=None), event(None, "stop", error=None), DONE),
    "raw line separators": (said("a\u2028b\u0085c "), said(ANSWER, "stop"), DONE),
    "one piece": (
        json.dumps({"choices": [{"message": {"content": ANSWER}, "finish_reason": "stop"}]}),
    ),
    "windows line ends": tuple(piece.replace("\n", "\r\n") for piece in GOOD),
    **{word: (said(ANSWER, word), DONE)
       for word in ("eos", "eos_token", "end_turn", "tool_calls", "STOP", "something new")},
}  # fmt: skip


@pytest.mark.parametrize("kind", list(ENDS))
def test_a_trace_that_ended_in_other_words_has_ended_and_votes(
    odd: Odd, url: str, kind: str
) -> None:
    odd.pieces = list(ENDS[kind])
    found = stream_one(url)
    assert found.finish_reason == "stop"
    assert extract_answer(found.text or "") == "4"
    if kind in ("parts", "thinking apart"):
        assert (found.text or "").startswith("<think>\nhm \\boxed{9}\n</think>\n\nso")
    if kind == "raw line separators":
        assert (found.text or "").startswith("a\u2028b\u0085c so")
    asked = CliRunner().invoke(
        command_line, ["ask", "?", "-u", url, "-n", "3", "--judge", "same_text", "--json"]
    )
    result = json.loads(asked.stdout)
    assert (asked.exit_code, result["answer"]) == (0, "4")
    assert "failed" not in {t["state"] for t in result["traces"]}
    assert len(odd.asked) == 1 + 3  # none is asked again


FAULTS = {
    "abort": ((said("so"), event(None, "abort")), "ended the trace with 'abort' after 1 tokens"),
    "filtered": ((said("so"), event(None, "content_filter")), "'content_filter' after 1 tokens"),
    "error": ((said("so"), event(None, "error")), "ended the trace with 'error'"),
    "error object": (('data: {"error": {"message": "out of\\nmemory"}}\n\n',), "out of memory"),
    "error message": (('data: {"error_message": "too long", "choices": null}\n\n',), "too long"),
    "plain error": (('{"object": "error", "message": "no such model"}',), "no such model"),
    "detail": (('{"detail": "model is loading"}',), "model is loading"),
    "html": (("<html><body><h1>Bad gateway</h1>\nnginx</body></html>",), "Bad gateway nginx"),
    "died": ((said("so"), 'data: "engine died"\n\n'), "it said: \"engine died\""),
    "nothing": ((), "ended its stream after 0 tokens without saying why"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(FAULTS))
def test_a_fault_is_told_in_the_servers_words_and_is_no_pruning(
    odd: Odd, url: str, kind: str
) -> None:
    odd.pieces, told = list(FAULTS[kind][0]), FAULTS[kind][1]
    with pytest.raises(EndpointError) as error:
        stream_one(url)
    assert told in str(error.value) and "\n" not in str(error.value)
    asked = CliRunner().invoke(
        command_line, ["ask", "?", "-u", url, "-n", "3", "--judge", "same_text", "--json"]
    )
    assert asked.exit_code == 3 and told in asked.stderr
    assert {t["state"] for t in json.loads(asked.stdout)["traces"]} == {"failed"}


def test_when_every_answer_is_empty_there_is_none_and_the_result_is_saved(
    odd: Odd, url: str, tmp_path: Any
) -> None:
    odd.pieces = [event(None, "stop"), DONE]
    saved = tmp_path / "result.json"
    for more in (["--json"], []):
        asked = CliRunner().invoke(
            command_line,
            ["ask", "?", "-u", url, "-n", "3", "--judge", "same_text", "--save", str(saved), *more],
        )
        assert asked.exit_code == 1 and asked.exception.__class__ is SystemExit
        found = json.loads(saved.read_text())
        assert found["answer"] is None and found["expected"]["saved_gross"] is None
        saved.unlink()


@pytest.mark.parametrize("name", ["seed", "return_token_ids", "max_tokens"])
def test_what_a_server_refuses_is_left_out_after_one_line(
    odd: Odd, url: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    odd.refused = (name,)
    assert stream_one(url).finish_reason == "stop"
    assert [name in body for body in odd.asked] == [True, False]
    assert len(caplog.records) == 1 and f"--without {name}" in caplog.text
    if name == "max_tokens":
        assert odd.asked[-1]["max_completion_tokens"] == SamplingConfig().max_tokens
    odd.asked.clear()
    assert stream_one(url, without=(name,)).finish_reason == "stop"
    assert [name in body for body in odd.asked] == [False]


def test_a_refusal_for_another_reason_is_told(odd: Odd, url: str) -> None:
    odd.pieces, odd.status = ['{"error": {"message": "max_tokens is too large: 9000"}}'], 400
    with pytest.raises(EndpointError, match="HTTP 400: max_tokens is too large"):
        stream_one(url)
    assert len(odd.asked) == 1


def test_a_server_without_a_list_needs_the_models_name_and_no_more(odd: Odd, url: str) -> None:
    odd.listed = False
    with pytest.raises(EndpointError, match="--model"):
        served_model(url)
    arguments = ["ask", "?", "-u", url, "-n", "2", "--judge", "same_text", "--model", "m"]
    assert CliRunner().invoke(command_line, arguments).exit_code == 0


@pytest.fixture
def front(odd: Odd, url: str, serve: Callable[[Any], str]) -> str:
    engine = open_openai(EndpointSettings((url,), "m", chat=True), WordTokenizer())
    config = OnlineConfig(Truncation("reasoning_words", 3))
    server = PruningServer(engine, SameTextJudge(), config, "m", 3)
    return serve(build_app(server, engine.close))


def test_a_stream_tells_an_upstreams_fault_and_no_stop(
    odd: Odd, url: str, front: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.pieces = [said("so"), event(None, "error")]
    body = {"messages": [{"role": "user", "content": "?"}], "stream": True}
    early = httpx.post(f"{front}/v1/chat/completions", json=body)
    assert early.status_code == 502 and "'error'" in early.json()["error"]["message"]
    monkeypatch.setattr("deepprune_core.serving.app.KEEP_ALIVE_S", 0.0)
    late = httpx.post(f"{front}/v1/chat/completions", json=body)
    assert late.status_code == 200
    events = [line for line in late.text.splitlines() if line.startswith("data:")]
    assert len(events) == 1 and "'error'" in json.loads(events[0][5:])["error"]["message"]
    odd.pieces = list(GOOD)
    whole = httpx.post(f"{front}/v1/chat/completions", json=body).text
    assert "\\\\boxed{4}" in whole and '"finish_reason": "stop"' in whole and "[DONE]" in whole


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "half a character"),
        (b'{"messages": [], "temperature": NaN}', "finite numbers, got NaN"),
        (b'{"messages": [], "temperature": 1e999}', "finite numbers, got 1e999"),
        (b'{"messages": [], "temperature": -Infinity}', "finite numbers"),
        (b"{", "a JSON body"),
        (b"\xff", "a JSON body"),
        (b"[" * 100_000, "a JSON body"),
    ],
)
def test_a_body_that_cannot_be_sent_on_is_refused(front: str, body: bytes, told: str) -> None:
    answer = httpx.post(f"{front}/v1/chat/completions", content=body)
    assert answer.status_code == 400 and told in answer.json()["error"]["message"]


# --- nothing is lost -----------------------------------------------------------------------------

_LETTERS = st.text(st.sampled_from([*"ab \n.\\{}18é√\U0001f600\u2028"]), max_size=60)


@given(_LETTERS, st.lists(st.integers(1, 7)), st.integers(0, 60), st.booleans())
def test_what_was_received_is_kept_as_it_came(
    text: str, sizes: list[int], cut: int, words: bool
) -> None:
    """By any chunking, across the cut, paused there and resumed."""
    text += " so \\boxed{18}"
    tokenizer = WordTokenizer() if words else build_tokenizer()
    pieces, at = [], 0
    for size in [*sizes, len(text)]:
        pieces.append(text[at : at + size])
        at += size
    request, growing = Request("r", "?", 1), GrowingText(tokenizer)
    first, rest = Progress(tokenizer), None
    for i, piece in enumerate(pieces):
        progress = first if rest is None else rest
        progress.take(read_choice({"text": piece}))
        chunk = progress.chunk(request, confidences=False)
        whole = chunk if rest is None else first.chunk(request, confidences=False).joined(chunk)
        assert growing.take(whole) == text[: sum(map(len, pieces[: i + 1]))]
        if rest is None and sum(map(len, pieces[: i + 1])) >= cut:
            rest = Progress(tokenizer, whole)
    assert growing.text == text and extract_answer(text) == "18"
    assert whole.num_tokens >= 1


@given(_LETTERS.filter(str.strip), st.lists(st.integers(1, 9)))
def test_words_are_counted_as_if_the_text_came_whole(text: str, sizes: list[int]) -> None:
    progress, at = Progress(WordTokenizer()), 0
    for size in [*sizes, len(text)]:
        progress.take(read_choice({"text": text[at : at + size]}))
        at += size
    assert progress.text == text
    assert progress.num_tokens - len(text.split()) in (0, 1)  # a blank at the end counts for one


def test_counting_stays_linear_in_the_chunks() -> None:
    def seconds(count: int) -> float:
        progress, started = Progress(WordTokenizer()), time.process_time()
        for i in range(count):
            progress.take(read_choice({"text": f"word{i % 7} "}))
            progress.chunk(Request("r", "?", 1), confidences=False)
        return time.process_time() - started

    seconds(1_000)
    few = min(seconds(4_000) for _ in range(3))
    assert seconds(32_000) < 10 * few + 0.5


@given(st.lists(st.integers(1, 9), min_size=1))
def test_events_do_not_depend_on_how_their_bytes_arrive(sizes: list[int]) -> None:
    data = "".join([said("a\u2028é"), ": note\n\n", "event: x\n", said("b", "stop"), DONE]).encode()

    async def work() -> list[Any]:
        async def parts() -> AsyncIterator[bytes]:
            at = 0
            for size in [*sizes, len(data)]:
                yield data[at : at + size]
                at += size

        return [e async for e in read_events(parts(), Remark())]

    found = asyncio.run(work())
    assert found[-1] is None and [read_choice(e["choices"][0]).text for e in found[:-1]] == [
        "a\u2028é",
        "b",
    ]
