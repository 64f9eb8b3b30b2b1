"""vLLM's own OpenAI-compatible server as a child process: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

PATIENCE_S = 300.0


@contextmanager
def vllm_server(
    model: Path | str,
    name: str,
    log: Path,
    *,
    max_tokens: int = 2048,
    memory_gib: int = 1,
    dtype: str = "bfloat16",
    arguments: Sequence[str] = (),
) -> Iterator[str]:
    """Serve a model under ``name`` and give the address, up to ``/v1``.

    ``log`` receives what the server prints; ``memory_gib`` is the key-value cache of CPU builds;
    ``arguments`` go to the server as they are. The server and all its processes end with the
    block.

    Raises:
        RuntimeError: the server ended before it answered; names the log.
    """
    port = _free_port()
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port),
        "--max-model-len", str(max_tokens), "--dtype", dtype, "--enforce-eager",
        # The CPU build fails on a seeded request whose prompt is read in two parts.
        "--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(4096, max_tokens)),
        "--disable-uvicorn-access-log", *arguments,
    ]  # fmt: skip
    environment = {
        **os.environ, "VLLM_CPU_KVCACHE_SPACE": str(memory_gib), "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    with log.open("w", encoding="utf-8") as printed:
        server = subprocess.Popen(
            command, stdout=printed, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True,
        )  # fmt: skip
    try:
        _wait(server, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _end(server)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"vLLM's server ended with code {server.returncode}; see {log}")
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise RuntimeError(f"vLLM's server did not answer within {PATIENCE_S:.0f} s; see {log}")


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop the server's whole group: its engine is a process of its own."""
    for sign, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
        try:
            os.killpg(server.pid, sign)
            server.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
    # The group may outlive its leader.
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
