"""What an endpoint serves: the name of its model, and a tokenizer for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from deepprune_core.engines.openai import EndpointError
from deepprune_core.truncation import Tokenizer

_PIECE = re.compile(r"\s*\S+|\s+$")


@dataclass(frozen=True)
class Served:
    """``model``: the name to ask for; ``root``: the folder or hub name behind it, if told."""

    model: str
    root: str | None


def served_model(url: str, api_key: str | None = None, wanted: str | None = None) -> Served:
    """Return the model that an endpoint serves; ``wanted`` picks one of several.

    A server without a list of models is taken at the word of ``wanted``.

    Raises:
        EndpointError: nobody answers, the key is refused, or there is no such model.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    address = f"{url.rstrip('/')}/models"
    try:
        answer = httpx.get(address, headers=headers, timeout=10)
        answer.raise_for_status()
        models = {m["id"]: m.get("root") for m in answer.json()["data"]}
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if wanted is not None and status not in (401, 403):
            return Served(wanted, None)
        hint = "does the address end in /v1? a server without this list needs --model"
        if status in (401, 403):
            hint = "set the API key"
        raise EndpointError(f"{address}: HTTP {status}; {hint}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EndpointError(
            f"{address}: no answer ({error}); is the server running there?"
        ) from None
    except (ValueError, KeyError, TypeError):
        if wanted is not None:
            return Served(wanted, None)
        raise EndpointError(
            f"{address}: no list of models came back; name the model with --model, if it is an "
            "OpenAI API"
        ) from None
    if not models and wanted is not None:
        return Served(wanted, None)
    if not models:
        raise EndpointError(f"{address}: serves no model")
    name = wanted or next(iter(models))
    if name not in models:
        raise EndpointError(f"{address}: serves no {name!r}; it serves {', '.join(models)}")
    return Served(name, models[name])


class WordTokenizer:
    """Counts words where a model's own tokenizer cannot be had; ids are its own."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._pieces: list[str] = []

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        """Return one id a word, the white space before it included."""
        found = []
        for piece in _PIECE.findall(text):
            if piece not in self._ids:
                self._ids[piece] = len(self._pieces)
                self._pieces.append(piece)
            found.append(self._ids[piece])
        return found

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        """Return the text of ids that this object gave out."""
        return "".join(self._pieces[i] for i in token_ids)


def open_tokenizer(named: str | None) -> Tokenizer:
    """Return the tokenizer of a folder or hub name; without one, words are counted.

    Raises:
        ValueError: it cannot be read.
    """
    if named is None:
        return WordTokenizer()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(named, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{named}: no tokenizer ({error}); name another") from None


def tokenizer_of(named: str | None, served: Served) -> tuple[Tokenizer, bool]:
    """Return (tokenizer, whether it is the model's own).

    ``named`` is a folder or hub name; without it what the server calls its model's root is
    tried, and words are counted where that cannot be read.

    Raises:
        ValueError: ``named`` cannot be read.
    """
    if named is not None:
        return open_tokenizer(named), True
    for source in (served.root, served.model):
        if source and Path(source).is_dir():
            return open_tokenizer(source), True
    return WordTokenizer(), False
