"""The server: chat completions that are pruned votes, and a page that shows clusters forming."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from deepprune_core.engines.base import Engine, Messages
from deepprune_core.judging.inputs import Judge
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.deepprune import open_asker
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.serving.board import Board, brief
from deepprune_core.serving.limits import Limits, RefusedError, bounded_body, check_key, read_json
from deepprune_core.traces import Question

KEEP_ALIVE_S = 10.0
RETRY_AFTER_S = 5


class BadRequestError(ValueError):
    """A request that cannot be served; the text names the field."""


@dataclass(frozen=True)
class Wanted:
    """What a client asked for: the conversation, the judge's question, changed settings."""

    messages: Messages
    question: str
    config: OnlineConfig
    num_traces: int
    stream: bool


def read_request(body: Any, config: OnlineConfig, num_traces: int) -> Wanted:
    """Return what a chat-completions body asks for.

    ``temperature``, ``top_p``, ``max_tokens`` (or ``max_completion_tokens``) and ``seed``
    override the server's; the server alone sets how many traces are sampled.

    Raises:
        BadRequestError: no messages, or a value of the wrong kind.
    """
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: expected a list of messages")
    read = tuple(_message(message) for message in messages)
    users = [message["content"] for message in read if message["role"] == "user"]
    if not users:
        raise BadRequestError("messages: expected a message of the user")
    sampling = config.sampling
    changes: dict[str, Any] = {}
    for field, name, kind in (
        ("temperature", "temperature", (int, float)),
        ("top_p", "top_p", (int, float)),
        ("max_tokens", "max_tokens", int),
        ("max_completion_tokens", "max_tokens", int),
    ):
        value = body.get(field)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, kind) or value < 0:
            raise BadRequestError(f"{field}: expected a number >= 0, got {value!r}")
        changes[name] = value
    seed = body.get("seed")
    if seed is not None and not isinstance(seed, int):
        raise BadRequestError(f"seed: expected a whole number, got {seed!r}")
    asked = replace(
        config,
        sampling=replace(sampling, **changes),
        seed=config.seed if seed is None else abs(seed),
    )
    return Wanted(read, users[-1], asked, num_traces, bool(body.get("stream")))


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequestError("messages: expected objects with role and content")
    content = message.get("content") or ""
    if isinstance(content, list):  # parts; only text can be voted on
        if any(not isinstance(p, dict) or p.get("type") != "text" for p in content):
            raise BadRequestError("messages: expected text parts only")
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise BadRequestError("messages: expected content of text")
    return {"role": message["role"], "content": content}


def completion(result: PrunedAnswer, model: str) -> dict[str, Any]:
    """Return a chat completion: a finished trace with the winning answer, and the account."""
    best = next(
        (t for t in result.finished if t.answer is not None and _voted(result, t.trace)),
        next(iter(result.finished), None),
    )
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": best.text if best else ""},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 0,
            "completion_tokens": result.ledger.generated,
            "total_tokens": result.ledger.generated,
        },
        "deepprune": brief(result),
    }


def _voted(result: PrunedAnswer, trace: int) -> bool:
    return bool(result.ballots) and trace in result.ballots[0].traces


class PruningServer:
    """Answers chat completions by pruned votes on another endpoint.

    Without a judge nothing is pruned: traces start until the vote is sure (adaptive consistency).
    """

    def __init__(
        self,
        engine: Engine,
        judge: Judge | None,
        config: OnlineConfig,
        model: str,
        num_traces: int,
        limits: Limits | None = None,
    ) -> None:
        self.engine, self.judge, self.config = engine, judge, config
        self.model, self.num_traces, self.board = model, num_traces, Board()
        self.limits, self.at_work = limits or Limits(), 0

    async def answer(self, wanted: Wanted) -> PrunedAnswer:
        """Return the result of one request; the board follows it."""
        self.at_work += 1
        entry = self.board.open(wanted.question, wanted.num_traces)

        def prompt(text: str) -> Messages:
            return wanted.messages

        asked = open_asker(self.engine, self.judge, wanted.config, prompt=prompt)
        name = f"{entry.number}-{uuid.uuid4().hex[:8]}"
        result: PrunedAnswer | None = None
        try:
            async for event in asked.stream(Question(name, wanted.question), wanted.num_traces):
                if isinstance(event, Event):
                    self.board.take(entry, event)
                else:
                    result = event
        except BaseException as error:
            self.board.close(entry, None, str(error) or "the client left")
            raise
        finally:
            self.at_work -= 1
        assert result is not None
        self.board.close(entry, result, result.failures[0].detail if result.failures else "")
        return result

    async def chat(self, request: HttpRequest) -> Response:
        """Serve ``POST /v1/chat/completions``."""
        try:
            check_key(request, self.limits)
            body = await bounded_body(request, self.limits)
            if self.at_work >= self.limits.at_once:
                raise RefusedError(429, f"{self.at_work} questions are in work; ask again later")
            wanted = read_request(read_json(body), self.config, self.num_traces)
        except RefusedError as refused:
            return fault(refused.status, str(refused))
        except BadRequestError as error:
            return fault(400, str(error))
        if not wanted.stream:
            return self._whole(await self.answer(wanted))
        work = asyncio.create_task(self.answer(wanted))
        try:  # what fails before anything is sent has a status of its own
            early = (await asyncio.wait([work], timeout=KEEP_ALIVE_S))[0]
        except BaseException:
            work.cancel()
            raise
        if early and not work.result().finished:
            return self._whole(work.result())
        return StreamingResponse(self._streamed(work), media_type="text/event-stream")

    def _whole(self, result: PrunedAnswer) -> Response:
        if not result.finished:
            return fault(502, why_nothing(result))
        return JSONResponse(completion(result, self.model))

    async def _streamed(self, work: asyncio.Task[PrunedAnswer]) -> AsyncIterator[str]:
        """Yield the answer as one piece once the vote is cast; comments keep the line open.

        Where nothing finished an event tells the error, and the stream ends without a ``stop``.
        """
        try:
            while not (await asyncio.wait([work], timeout=KEEP_ALIVE_S))[0]:
                yield ": thinking\n\n"
            result = work.result()
        except Exception as error:
            yield f"data: {json.dumps(error_body(502, str(error) or repr(error)))}\n\n"
            return
        finally:
            work.cancel()
        if not result.finished:
            yield f"data: {json.dumps(error_body(502, why_nothing(result)))}\n\n"
            return
        whole = completion(result, self.model)
        choice = whole["choices"][0]
        piece = {**whole, "object": "chat.completion.chunk"}
        piece["choices"] = [{"index": 0, "delta": choice["message"], "finish_reason": None}]
        yield f"data: {json.dumps(piece)}\n\n"
        piece["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        yield f"data: {json.dumps(piece)}\n\n"
        yield "data: [DONE]\n\n"

    async def models(self, request: HttpRequest) -> Response:
        """Serve ``GET /v1/models``."""
        entry = {"id": self.model, "object": "model", "created": 0, "owned_by": "deepprune"}
        return JSONResponse({"object": "list", "data": [entry]})

    async def events(self, request: HttpRequest) -> Response:
        """Serve ``GET /events``: what the page shows, as server-sent events."""
        try:
            check_key(request, self.limits, in_address=True)
        except RefusedError as refused:
            return fault(refused.status, str(refused))
        return StreamingResponse(self.board.watch(), media_type="text/event-stream")

    async def page(self, request: HttpRequest) -> Response:
        """Serve ``GET /``."""
        text = files("deepprune_core.serving").joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text)


def build_app(
    server: PruningServer, on_close: Callable[[], Awaitable[None]] | None = None
) -> Starlette:
    """Return the web application of a server."""
    routes = [
        Route("/", server.page),
        Route("/events", server.events),
        Route("/v1/models", server.models),
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        if on_close is not None:
            await on_close()

    return Starlette(routes=routes, lifespan=lifespan)


def fault(status: int, message: str) -> JSONResponse:
    """Return an error in the form OpenAI's clients read."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 429 else None
    return JSONResponse(error_body(status, message), status_code=status, headers=headers)


def error_body(status: int, message: str) -> dict[str, Any]:
    """Return an error as plain data; what is no character in it is replaced."""
    kind = "invalid_request_error" if status < 500 else "upstream_error"
    text = message.encode("utf-8", "replace").decode("utf-8")
    return {"error": {"message": text, "type": kind}}


def why_nothing(result: PrunedAnswer) -> str:
    """Return in one line why no trace of a question finished."""
    return result.failures[0].detail if result.failures else "no trace finished"
