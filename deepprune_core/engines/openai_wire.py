"""What goes over the wire to an OpenAI-compatible endpoint, and what comes back.

Two dialects: ``/completions`` takes a prompt as it is, ``/chat/completions`` a message that the
server puts into the model's own chat template. A trace goes on from its own tokens in the first,
from its own text in the second (vLLM's ``continue_final_message``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deepprune_core.engines.base import CONFIDENCE_TOP_K, Request, SamplingConfig, prompt_as_text
from deepprune_core.truncation import Tokenizer


@dataclass(frozen=True)
class EndpointSettings:
    """``urls`` end in ``/v1``; ``attempts`` before the first token; times are in seconds.

    ``read_s``: until the first token, which may have to queue; ``stall_s``: between two tokens.

    ``chat``: talk to the chat endpoint, with ``system`` as the system message if given.
    ``token_ids``: ask the server for the ids of its tokens (vLLM does; others ignore it, and the
    tokenizer then counts the text). ``api_key`` never shows in a text of this object.
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

    def __repr__(self) -> str:
        return f"EndpointSettings({', '.join(self.urls)}, model={self.model!r}, chat={self.chat})"

    @property
    def path(self) -> str:
        """Where requests go, below an address that ends in ``/v1``."""
        return "/chat/completions" if self.chat else "/completions"


@dataclass(frozen=True)
class Delta:
    """What one event adds to a trace; ``ids`` is None where the server tells none."""

    text: str
    ids: list[int] | None
    confidences: list[float]
    finish: str | None


def request_body(
    settings: EndpointSettings, tokenizer: Tokenizer, request: Request, config: SamplingConfig
) -> dict[str, Any]:
    """Return the JSON that asks for one trace, or for the rest of one."""
    body: dict[str, Any] = {
        "model": settings.model,
        "stream": True,
        "seed": request.seed,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": config.max_tokens - len(request.prefix),
    }
    if config.top_k:
        body["top_k"] = config.top_k
    if settings.token_ids:
        body["return_token_ids"] = True
    if settings.chat:
        return body | _chat(settings, tokenizer, request, config)
    prompt: str | list[int] = prompt_as_text(request)
    if request.prefix:
        ids = tokenizer.encode(prompt_as_text(request), add_special_tokens=False)
        prompt = [*ids, *request.prefix]
    body["prompt"] = prompt
    if config.confidences:
        body["logprobs"] = CONFIDENCE_TOP_K
    return body


def _chat(
    settings: EndpointSettings, tokenizer: Tokenizer, request: Request, config: SamplingConfig
) -> dict[str, Any]:
    prompt = request.prompt
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if settings.system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": settings.system})
    body: dict[str, Any] = {"messages": messages}
    if request.prefix:
        text = tokenizer.decode(list(request.prefix), skip_special_tokens=True)
        messages.append({"role": "assistant", "content": text})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if config.confidences:
        body |= {"logprobs": True, "top_logprobs": CONFIDENCE_TOP_K}
    return body


def read_choice(choice: dict[str, Any]) -> Delta:
    """Return what a choice of a streamed event adds, in either dialect."""
    message = choice.get("delta") or {}
    text = choice.get("text") or message.get("content") or ""
    # Servers that part the thinking from the answer send it in a field of its own.
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    logprobs = choice.get("logprobs") or {}
    tops = [list(top.values()) for top in logprobs.get("top_logprobs") or ()]
    for token in logprobs.get("content") or ():
        tops.append([top["logprob"] for top in token.get("top_logprobs") or ()])
    ids = choice.get("token_ids")
    return Delta(
        thought + text,
        None if ids is None else list(ids),
        [_confidence(top) for top in tops if top],
        choice.get("finish_reason"),
    )


def _confidence(logprobs: list[float]) -> float:
    """Return minus the mean of the 20 highest log-probabilities at a position."""
    return -float(np.mean(sorted(logprobs, reverse=True)[:CONFIDENCE_TOP_K]))
