"""For all tests: hypothesis without deadlines, since shared machines stutter; web servers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from hypothesis import settings

from deepprune_core.engines.vllm_server import vllm_server
from replication.workflow.profile import ROOT

BIRCH = ROOT / "data" / "miniature" / "models" / "birch"
EXAMPLES = int(os.environ.get("DEEPPRUNE_EXAMPLES", "100"))  # `make soak` sets more
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=EXAMPLES)
settings.load_profile("steady")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where processes share the tests, a file stays in one, and so does all that asks vLLM."""
    for item in items:
        name = "vllm" if item.get_closest_marker("vllm") else item.path.name
        item.add_marker(pytest.mark.xdist_group(name))


@contextmanager
def _running(app: Any) -> Iterator[str]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = server.force_exit = True  # event streams stay open by themselves
    thread.join()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Any], str]]:
    """A function that serves a web application over real HTTP and returns its address."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(_running(app))


@pytest.fixture(scope="session")
def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of vLLM's own server with the miniature's birch in fp32; one a test run."""
    pytest.importorskip("vllm")
    log = tmp_path_factory.mktemp("vllm") / "server.log"
    # Birch knows no chat: a template that passes the last message on makes it answer one.
    chat = ("--chat-template", "{{ messages[-1]['content'] }}")
    with vllm_server(BIRCH, "birch", log, dtype="float32", arguments=chat) as url:
        yield url


def miniature_model(seed: int = 0) -> Any:
    """Return a model of the miniature's kind, smaller, with random weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from replication.miniature.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=192, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=1, num_key_value_heads=1, head_dim=64, tie_word_embeddings=True,
        max_position_embeddings=2048, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return Qwen3ForCausalLM(config)
