"""What goes over the wire to an OpenAI-compatible endpoint.

Two dialects: ``/completions`` takes a prompt as it is, ``/chat/completions`` a message that the
server puts into the model's own chat template. A trace goes on from its own tokens in the first,
from its own text in the second (vLLM's ``continue_final_message``). What comes back is read in
:mod:`deepprune_core.engines.openai_events`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deepprune_core.engines.base import CONFIDENCE_TOP_K, Request, SamplingConfig, prompt_as_text
from deepprune_core.truncation import Tokenizer

OPTIONAL = ("seed", "return_token_ids", "top_k", "top_p", "temperature", "logprobs",
            "top_logprobs", "max_tokens")  # fmt: skip
_UNKNOWN = re.compile(
    r"not? (?:support|permit|allow|accept|known|recogni|implement)"
    r"|un(?:support|known|recogni|expect)"
    r"|extra|forbid|invalid (?:param|field|arg|key)|instead",
    re.IGNORECASE,
)
RENAMED = {"max_tokens": "max_completion_tokens"}  # by servers of newer OpenAI models


@dataclass(frozen=True)
class EndpointSettings:
    """``urls`` end in ``/v1``; ``attempts`` before the first token; times are in seconds.

    ``read_s``: until the first token, which may have to queue; ``stall_s``: between two tokens.

    ``chat``: talk to the chat endpoint, with ``system`` as the system message if given.
    ``token_ids``: ask the server for the ids of its tokens (vLLM does; others ignore it, and the
    tokenizer then counts the text). ``without``: fields of a request that the server refuses
    (``max_tokens`` is then called ``max_completion_tokens``). ``api_key`` never shows in a text of
    this object.
    """

    urls: tuple[str, ...]
    model: str
    api_key: str | None = None
    chat: bool = False
    system: str | None = None
    attempts: int = 4
    connect_s: float = 10.0
    read_s: float = 600.0
    stall_s: float = 120.0
    token_ids: bool = True
    without: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"EndpointSettings({', '.join(self.urls)}, model={self.model!r}, chat={self.chat})"

    @property
    def path(self) -> str:
        """Where requests go, below an address that ends in ``/v1``."""
        return "/chat/completions" if self.chat else "/completions"


def request_body(
    settings: EndpointSettings,
    tokenizer: Tokenizer,
    request: Request,
    config: SamplingConfig,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the JSON that asks for one trace, or for the rest of one; see ``without`` above."""
    before = len(request.prefix) if request.sofar is None else request.sofar.num_tokens
    body: dict[str, Any] = {
        "model": settings.model,
        "stream": True,
        "seed": request.seed,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": config.max_tokens - before,
    }
    if config.top_k:
        body["top_k"] = config.top_k
    if settings.token_ids:
        body["return_token_ids"] = True
    if settings.chat:
        body |= _chat(settings, tokenizer, request, config)
    else:
        body["prompt"] = _prompt(tokenizer, request)
        if config.confidences:
            body["logprobs"] = CONFIDENCE_TOP_K
    for name in without:
        value = body.pop(name, None)
        if name in RENAMED and value is not None:
            body[RENAMED[name]] = value
    return body


def _prompt(tokenizer: Tokenizer, request: Request) -> str | list[int]:
    """Return a prompt with the trace so far: by its ids where all are known, else by its text."""
    prompt, sofar = prompt_as_text(request), request.sofar
    if sofar is not None and sofar.counted is not None:
        return prompt + (sofar.text or "")
    if not request.prefix:
        return prompt
    return [*tokenizer.encode(prompt, add_special_tokens=False), *request.prefix]


def _chat(
    settings: EndpointSettings, tokenizer: Tokenizer, request: Request, config: SamplingConfig
) -> dict[str, Any]:
    prompt, sofar = request.prompt, request.sofar
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if settings.system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": settings.system})
    body: dict[str, Any] = {"messages": messages}
    if request.prefix or sofar is not None:
        by_text = sofar is not None and sofar.counted is not None
        text = sofar.text if sofar is not None and by_text else None
        if text is None:
            text = tokenizer.decode(list(request.prefix), skip_special_tokens=True)
        messages.append({"role": "assistant", "content": text})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if config.confidences:
        body |= {"logprobs": True, "top_logprobs": CONFIDENCE_TOP_K}
    return body


def refused_field(message: str, body: dict[str, Any]) -> str | None:
    """Return which optional field of a request a server does not know, None if no one.

    A value that is only too large, or out of range, is no such field.
    """
    unknown = _UNKNOWN.search(message) is not None
    for name in OPTIONAL:
        named = re.search(rf"(?<![A-Za-z_]){name}(?![A-Za-z_])", message)
        if name in body and named and (unknown or name in ("seed", "return_token_ids")):
            return name
    return None
