"""What a server takes from strangers: a key, a bounded body in bounded time, so many at once."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

from starlette.requests import Request as HttpRequest


@dataclass(frozen=True)
class Limits:
    """``key``: what clients must send (None: nothing); ``body_bytes``: longest request;
    ``body_seconds``: time a client has to send it; ``at_once``: questions in work.
    """

    key: str | None = None
    body_bytes: int = 2_000_000
    body_seconds: float = 30.0
    at_once: int = 64

    def __repr__(self) -> str:
        """Return the limits without the key, which must not reach a log."""
        return f"Limits(key={'set' if self.key else None}, at_once={self.at_once})"


class RefusedError(Exception):
    """A request that is not served: an HTTP status and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def check_key(request: HttpRequest, limits: Limits, *, in_address: bool = False) -> None:
    """Refuse a request without the key, in constant time.

    ``in_address``: it may also stand in the address as ``?key=``, since a page's event stream
    sends no headers.

    Raises:
        RefusedError: 401.
    """
    if limits.key is None:
        return
    # Headers come decoded as Latin-1, whatever the client meant.
    sent = request.headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
    if in_address and not sent:
        sent = request.query_params.get("key", "").encode()
    if not hmac.compare_digest(sent, limits.key.encode()):
        raise RefusedError(401, "expected the server's key as a bearer token; see --server-key")


async def bounded_body(request: HttpRequest, limits: Limits) -> bytes:
    """Return the body.

    Raises:
        RefusedError: 413, it is too long; 408, it takes too long.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > limits.body_bytes:
                    raise RefusedError(413, f"expected at most {limits.body_bytes} bytes")
    except TimeoutError:
        reason = f"expected the request within {limits.body_seconds:g} seconds"
        raise RefusedError(408, reason) from None
    return bytes(body)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server on ``host``.

    >>> [is_loopback(h) for h in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_json(body: bytes) -> Any:
    """Return a request's JSON.

    Raises:
        RefusedError: not JSON, or numbers and characters that cannot be sent on: NaN, an
            infinite number, half a character (a lone surrogate).
    """

    def refuse(text: str) -> Any:
        raise RefusedError(400, f"expected finite numbers, got {text}")

    def finite(text: str) -> float:
        return float(text) if isfinite(float(text)) else refuse(text)

    try:
        found = json.loads(body, parse_constant=refuse, parse_float=finite)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RefusedError(400, "expected text, got half a character (a lone surrogate)") from None
    except (ValueError, RecursionError):
        raise RefusedError(400, "expected a JSON body") from None
    return found
