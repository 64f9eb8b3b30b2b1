"""Any OpenAI-compatible endpoint as an engine: a vLLM server, or several of them.

Traces are streamed; closing a stream aborts it on the server, which stops generating (vLLM does,
at its next step). A request goes to the endpoint with the fewest open ones, and is tried again
with growing pauses while no token has arrived. Tokens are counted by the servers where they show
their metrics, else from what arrived.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeGuard

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from deepprune_core.engines.base import Chunk, Request, SamplingConfig
from deepprune_core.engines.openai_events import Remark, fault_in, read_choice, read_events, said
from deepprune_core.engines.openai_wire import EndpointSettings, refused_field, request_body
from deepprune_core.engines.received import Progress
from deepprune_core.truncation import Tokenizer

__all__ = ["EndpointError", "EndpointSettings", "OpenAIEngine", "open_openai"]

_GENERATED = re.compile(r"^vllm:generation_tokens_total(?:\{[^}]*\})? ([0-9.eE+]+)$", re.MULTILINE)
_TRY_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_GROWING = wait_exponential_jitter(multiplier=0.2, max=10)
_log = logging.getLogger(__name__)
LONGEST_WAIT_S = 60.0  # however long a server asks to be left alone


class EndpointError(RuntimeError):
    """An endpoint that cannot be used; one line with its address, the fault and the fix."""


@dataclass
class _Open:
    """One running request: its response, and whether it was aborted."""

    response: httpx.Response | None = None
    aborted: bool = False


class OpenAIEngine:
    """A source of traces behind HTTP. Use :func:`open_openai`."""

    def __init__(
        self, settings: EndpointSettings, tokenizer: Tokenizer, client: httpx.AsyncClient
    ) -> None:
        self.settings, self.tokenizer, self._client = settings, tokenizer, client
        self._running: dict[str, _Open] = {}
        self._load = dict.fromkeys(settings.urls, 0)
        self._received = 0
        self._without = list(settings.without)
        self._start = self._counted()

    async def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        """Yield growing chunks until the request finishes or is aborted.

        Raises:
            EndpointError: no endpoint answered, or one refused the request.
        """
        running = self._running[request.request_id] = _Open()
        progress, url, remark = Progress(self.tokenizer, request.sofar), "", Remark()
        try:
            url, running.response = await self._opened(request, config)
            async for event in self._in_time(read_events(_bytes(running.response), remark)):
                if running.aborted:
                    break
                if event is None:  # [DONE]
                    progress.finish = progress.finish or "stop"
                    break
                self._take(event, progress, url)
                if progress.finish is None and event.get("choices"):
                    yield progress.chunk(request, confidences=config.confidences)
        except TimeoutError as error:
            raise EndpointError(
                f"{url}: sent nothing more after {progress.num_tokens} tokens; is it overloaded?"
            ) from error
        except (httpx.HTTPError, json.JSONDecodeError) as error:
            if not running.aborted:
                raise EndpointError(
                    f"{url}: broke off after {progress.num_tokens} tokens ({error!r}); "
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
            words = f"; it said: {said(remark.text)}" if remark.text else ""
            raise EndpointError(
                f"{url}: ended its stream after {progress.num_tokens} tokens without saying why"
                f"{words or '; is the server still running?'}"
            )
        yield progress.chunk(request, confidences=config.confidences)

    async def _in_time(
        self, events: AsyncIterator[dict[str, Any] | None]
    ) -> AsyncIterator[dict[str, Any] | None]:
        """Yield events; a long wait between two of them is a TimeoutError."""
        patience_s = self.settings.read_s
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    event = await anext(events)
            except StopAsyncIteration:
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
        """Return the open response; what a server does not know is left out from then on."""
        while True:
            without = tuple(self._without)
            body = request_body(self.settings, self.tokenizer, request, config, without)
            address = f"{url.rstrip('/')}{self.settings.path}"
            sent = self._client.build_request("POST", address, json=body)
            response = await self._client.send(sent, stream=True)
            if not response.is_error:
                return response
            await response.aread()
            await response.aclose()
            name = refused_field(response.text[:4_000], body)
            if response.status_code not in (400, 404, 422) or name is None:
                response.raise_for_status()
            if name is not None and name not in self._without:
                self._without.append(name)
                _log.warning(
                    "%s: refuses %r, which is left out from now on (--without %s spares the try)",
                    url, name, name,
                )  # fmt: skip

    def _take(self, event: dict[str, Any], progress: Progress, url: str) -> None:
        """Take an event's choices.

        Raises:
            EndpointError: the event is an error, or ends the trace by one.
        """
        fault, before = fault_in(event), progress.num_tokens
        if fault is not None:
            raise EndpointError(f"{url}: {fault} after {before} tokens")
        for choice in event.get("choices") or ():
            if not isinstance(choice, dict):
                continue
            delta = read_choice(choice)
            progress.take(delta)
            if delta.failed is not None:
                raise EndpointError(
                    f"{url}: the server ended the trace with {delta.failed!r} after "
                    f"{progress.num_tokens} tokens"
                )
        self._received += max(0, progress.num_tokens - before)

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


async def _bytes(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield a response's bytes as they come; nothing more once it is aborted."""
    try:
        async for part in response.aiter_bytes():
            yield part
    except httpx.StreamClosed:  # aborted between two reads
        return


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
        line = said(response.text)
    return f"HTTP {response.status_code}: {line or response.reason_phrase}"
