"""Any OpenAI-compatible endpoint as an engine: a vLLM server, or several of them.

Traces are streamed; closing a stream aborts it on the server, which stops generating (vLLM does,
at its next step). A request goes to the endpoint with the fewest open ones, and is tried again
with growing pauses while no token has arrived. Tokens are counted by the servers where they show
their metrics, else from what arrived.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import httpx
import numpy as np
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from deepprune_core.engines.base import Chunk, Request, SamplingConfig
from deepprune_core.engines.openai_wire import EndpointSettings, read_choice, request_body
from deepprune_core.truncation import Tokenizer

__all__ = ["EndpointError", "EndpointSettings", "OpenAIEngine", "open_openai"]

_GENERATED = re.compile(r"^vllm:generation_tokens_total(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)
_TRY_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_GROWING = wait_exponential_jitter(multiplier=0.2, max=10)
LONGEST_WAIT_S = 60.0  # however long a server asks to be left alone


class EndpointError(RuntimeError):
    """An endpoint that cannot be used; one line with its address, the fault and the fix."""


@dataclass
class _Open:
    """One running request: its response, and whether it was aborted."""

    response: httpx.Response | None = None
    aborted: bool = False


@dataclass
class _Progress:
    """What one request has received so far."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    confidences: list[float] = field(default_factory=list)
    finish: str | None = None


class OpenAIEngine:
    """A source of traces behind HTTP. Use :func:`open_openai`."""

    def __init__(
        self, settings: EndpointSettings, tokenizer: Tokenizer, client: httpx.AsyncClient
    ) -> None:
        self.settings, self.tokenizer, self._client = settings, tokenizer, client
        self._running: dict[str, _Open] = {}
        self._load = dict.fromkeys(settings.urls, 0)
        self._received = 0
        self._start = self._counted()

    async def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        """Yield growing chunks until the request finishes or is aborted.

        Raises:
            EndpointError: no endpoint answered, or one refused the request.
        """
        running = self._running[request.request_id] = _Open()
        progress, url = _Progress(), ""
        try:
            url, running.response = await self._opened(request, config)
            async for event in self._in_time(_events(running.response)):
                if running.aborted:
                    break
                if "error" in event:
                    raise EndpointError(f"{url}: {said(event)} after {len(progress.ids)} tokens")
                self._take(event, progress, config)
                if progress.finish is None and event.get("choices"):
                    yield _chunk(request, progress, config)
        except TimeoutError as error:
            raise EndpointError(
                f"{url}: sent nothing more after {len(progress.ids)} tokens; is it overloaded?"
            ) from error
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            if not running.aborted:
                raise EndpointError(
                    f"{url}: broke off after {len(progress.ids)} tokens ({error!r}); "
                    "is the server still running?"
                ) from error
        finally:
            if url:
                self._load[url] -= 1
            self._running.pop(request.request_id, None)
            if running.response is not None:
                await running.response.aclose()
        if running.aborted:
            progress.finish = "abort"
        if progress.finish is None:
            raise EndpointError(
                f"{url}: ended its stream after {len(progress.ids)} tokens without saying why; "
                "is the server still running?"
            )
        yield _chunk(request, progress, config)

    async def _in_time(
        self, events: AsyncIterator[dict[str, Any]]
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield events; a long wait between two of them is a TimeoutError."""
        patience_s = self.settings.read_s
        while True:
            async with asyncio.timeout(patience_s):
                event = await anext(events, None)
            if event is None:
                return
            patience_s = self.settings.stall_s
            yield event

    async def abort(self, request_id: str) -> None:
        """Close a request's stream, which stops it on the server; unknown ids are ignored."""
        running = self._running.get(request_id)
        if running is None:
            return
        running.aborted = True
        if running.response is not None:
            await running.response.aclose()

    def generated_tokens(self) -> int:
        """Return the tokens generated since the engine was opened, as the servers count them.

        Tokens that arrived here stand in where a server shows no metrics.
        """
        counted = self._counted()
        return self._received if counted is None else counted - (self._start or 0)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _opened(self, request: Request, config: SamplingConfig) -> tuple[str, httpx.Response]:
        """Return (address, response) from the endpoint with the least to do, or another one."""
        failed: set[str] = set()
        retry = AsyncRetrying(
            retry=retry_if_exception(may_pass),
            stop=stop_after_attempt(self.settings.attempts),
            wait=patience,
            reraise=True,
        )
        url = ""
        try:
            async for attempt in retry:
                with attempt:
                    left = [one for one in self._load if one not in failed] or list(self._load)
                    url = min(left, key=lambda one: self._load[one])
                    self._load[url] += 1
                    try:
                        return url, await self._send(url, request, config)
                    except BaseException:
                        failed.add(url)
                        self._load[url] -= 1
                        raise
        except httpx.HTTPStatusError as error:
            raise EndpointError(f"{url}: {reason(error.response)}") from error
        except httpx.HTTPError as error:
            raise EndpointError(
                f"{url}: no answer ({error!r}); is the server running there?"
            ) from error
        raise AssertionError("a retried call either returns or raises")

    async def _send(self, url: str, request: Request, config: SamplingConfig) -> httpx.Response:
        sent = self._client.build_request(
            "POST",
            f"{url.rstrip('/')}{self.settings.path}",
            json=request_body(self.settings, self.tokenizer, request, config),
        )
        response = await self._client.send(sent, stream=True)
        if response.is_error:
            await response.aread()
            await response.aclose()
            response.raise_for_status()
        return response

    def _take(self, event: dict[str, Any], progress: _Progress, config: SamplingConfig) -> None:
        for choice in event.get("choices") or ():
            before, delta = len(progress.ids), read_choice(choice)
            progress.text += delta.text
            if delta.ids is not None:
                progress.ids.extend(delta.ids)
            elif delta.text:
                progress.ids = self.tokenizer.encode(progress.text, add_special_tokens=False)
            self._received += max(0, len(progress.ids) - before)
            if config.confidences:
                progress.confidences.extend(delta.confidences)
            progress.finish = delta.finish or progress.finish

    def _counted(self) -> int | None:
        """Return the sum of the servers' own counters; None if one of them shows none."""
        total = 0.0
        for url in self.settings.urls:
            try:
                found = httpx.get(f"{url.rstrip('/').removesuffix('/v1')}/metrics", timeout=5)
            except httpx.HTTPError:
                return None
            values = _GENERATED.findall(found.text) if found.is_success else []
            if not values:
                return None
            total += sum(map(float, values))
        return int(total)


def open_openai(settings: EndpointSettings, tokenizer: Tokenizer) -> OpenAIEngine:
    """Return an engine for one endpoint or several that serve the same model.

    Raises:
        ValueError: no address, or one that is no http address.
    """
    wrong = [url for url in settings.urls if not url.startswith(("http://", "https://"))]
    if wrong or not settings.urls:
        raise ValueError(
            f"expected addresses such as http://localhost:8000/v1, got {wrong or 'none'}"
        )
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(settings.read_s, connect=settings.connect_s)
    client = httpx.AsyncClient(headers=headers, limits=limits, timeout=timeout)
    return OpenAIEngine(settings, tokenizer, client)


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON objects of a server-sent event stream, up to ``[DONE]``."""
    try:
        async for line in response.aiter_lines():
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            yield json.loads(data)
    except httpx.StreamClosed:  # aborted between two reads
        return


def _chunk(request: Request, progress: _Progress, config: SamplingConfig) -> Chunk:
    confidences = np.array(progress.confidences, np.float16) if config.confidences else None
    return Chunk(request.request_id, tuple(progress.ids), progress.finish, confidences)


def may_pass(error: BaseException) -> bool:
    """Return whether a request that failed so may succeed when it is sent again."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _TRY_AGAIN
    return isinstance(error, httpx.TransportError)


def patience(state: RetryCallState) -> float:
    """Return the seconds before the next attempt: growing, or what the server asks for."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.response.headers.get("retry-after", "") if _is_status(error) else ""
    seconds = float(asked) if asked.isdigit() else 0.0
    return max(min(seconds, LONGEST_WAIT_S), _GROWING(state))


def _is_status(error: BaseException | None) -> TypeGuard[httpx.HTTPStatusError]:
    return isinstance(error, httpx.HTTPStatusError)


def reason(response: httpx.Response) -> str:
    """Return a refusal in one line: the status and what the server said."""
    try:
        line = said(response.json())
    except ValueError:
        line = " ".join(response.text.split())[:200]
    return f"HTTP {response.status_code}: {line or response.reason_phrase}"


def said(body: Any) -> str:
    """Return what an error's body says, in one line."""
    found = body.get("error", body) if isinstance(body, dict) else body
    found = found.get("message", found) if isinstance(found, dict) else found
    return " ".join(str(found).split())[:200]
