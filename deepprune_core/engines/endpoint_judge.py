"""A trained judge behind a vLLM server: its two label logits come back with one token.

vLLM serves the judge as a model, or as a LoRA adapter by its name. Prompts go over the wire as
token ids, so that the server reads what the judge was trained on; the server returns the
log-probabilities of just the two labels (``logprob_token_ids``), and their softmax is P(same).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tenacity import retry, retry_if_exception, stop_after_attempt

from deepprune_core.engines.discovery import WordTokenizer, open_tokenizer, served_model
from deepprune_core.engines.openai import EndpointError, may_pass, patience, reason
from deepprune_core.engines.openai_events import fault_in
from deepprune_core.judge import same_probability
from deepprune_core.judging.inputs import JudgeInput
from deepprune_core.judging.loading import base_of_adapter, saved_prompt
from deepprune_core.judging.prompts import (
    JudgePrompt,
    PairEncoder,
    chat_prompt,
    label_token,
    plain_prompt,
)

BATCH = 64  # prompts a request
AT_ONCE = 4  # requests


class EndpointJudge:
    """A judge that asks ``url`` (up to ``/v1``) for ``model``.

    ``tokenizer`` and ``prompt`` are the judge's own, ``max_tokens`` its longest prompt.

    Raises:
        ValueError: a label is not one token.
    """

    parallel = True  # several threads may ask

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Any,
        prompt: JudgePrompt,
        max_tokens: int = 4096,
        api_key: str | None = None,
    ) -> None:
        self.url, self.model = url.rstrip("/"), model
        self.encoder = PairEncoder(tokenizer, prompt, max_tokens)
        words = (prompt.different_label, prompt.same_label)
        self.labels = [label_token(tokenizer, word) for word in words]
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=httpx.Timeout(600, connect=10))

    def score(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return P(same) per pair: ``(n,)`` float64, in input order.

        Raises:
            EndpointError: the server does not answer, refuses, or returns no labels.
        """
        prompts = [self._ids(pair) for pair in inputs]
        parts = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            margins = [margin for part in pool.map(self._ask, parts) for margin in part]
        return same_probability(np.array(margins, np.float64))

    def num_tokens(self, inputs: Sequence[JudgeInput]) -> np.ndarray:
        """Return the prompt tokens per pair: ``(n,)`` int64."""
        return np.array([len(self._ids(pair)) for pair in inputs], np.int64)

    def _ids(self, pair: JudgeInput) -> list[int]:
        encoded = self.encoder.encode(pair.question, pair.first, pair.second)
        return [*encoded.head.tolist(), *encoded.tail.tolist()]

    def _ask(self, prompts: list[list[int]]) -> list[float]:
        """Return the logit of same minus the logit of different, one a prompt."""
        body = {
            "model": self.model, "prompt": prompts, "max_tokens": 1, "temperature": 0,
            "logprobs": 2, "logprob_token_ids": self.labels, "return_tokens_as_token_ids": True,
        }  # fmt: skip
        try:
            answer = self._post(body).json()
            if isinstance(answer, dict) and (fault := fault_in(answer)) is not None:
                raise EndpointError(f"{self.url}: {fault}")
            choices = answer["choices"]
            tops = {c["index"]: c["logprobs"]["top_logprobs"][0] for c in choices}
            names = [f"token_id:{label}" for label in self.labels]
            return [tops[i][names[1]] - tops[i][names[0]] for i in range(len(prompts))]
        except httpx.HTTPStatusError as error:
            raise EndpointError(f"{self.url}: {reason(error.response)}") from error
        except httpx.HTTPError as error:
            raise EndpointError(
                f"{self.url}: the judge does not answer ({error!r}); is the server running there?"
            ) from error
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise EndpointError(
                f"{self.url}: returned no log-probabilities of the labels; the judge needs a "
                "vLLM server that knows logprob_token_ids (0.32 does)"
            ) from error

    @retry(
        retry=retry_if_exception(may_pass), stop=stop_after_attempt(4), wait=patience, reraise=True
    )
    def _post(self, body: dict[str, Any]) -> httpx.Response:
        response = self._client.post(f"{self.url}/completions", json=body)
        return response.raise_for_status()


def open_endpoint_judge(
    address: str, source: str | None = None, api_key: str | None = None
) -> EndpointJudge:
    """Return the judge at ``http://host:port/v1``, or ``.../v1#name`` where several are served.

    ``source`` is the folder or hub name of its tokenizer; without it, what the server calls the
    model's root is tried. The prompt is the one in the manifest of the judge's folder where that
    can be read, else the default for a model of that kind.

    Raises:
        EndpointError: nobody answers, or there is no such model.
        ValueError: no tokenizer at hand.
    """
    url, _, name = address.partition("#")
    served = served_model(url, api_key, name or None)
    folders = [Path(one) for one in (served.root, source) if one]
    trained = next((found for one in folders if (found := saved_prompt(one))), None)
    tokenizer: Any = open_tokenizer(source or _base_of(folders) or served.root)
    if isinstance(tokenizer, WordTokenizer):
        raise ValueError(f"{address}: no tokenizer at hand; name its folder with --judge-base")
    if trained is None:
        chat = getattr(tokenizer, "chat_template", None)
        prompt, longest = chat_prompt(tokenizer) if chat else plain_prompt(tokenizer), 4096
    else:
        prompt, longest = trained
    return EndpointJudge(url, served.model, tokenizer, prompt, longest, api_key)


def _base_of(folders: Sequence[Path]) -> str | None:
    """Return the base that a served adapter's folder names, as far as it is at hand."""
    for folder in folders:
        if (folder / "adapter_config.json").is_file():
            found = base_of_adapter(folder)
            return str(found) if isinstance(found, Path) else None
    return None
