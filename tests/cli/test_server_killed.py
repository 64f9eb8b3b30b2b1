"""vLLM's server is killed in the middle of a question with 64 traces open."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from deepprune_core.engines.vllm_server import vllm_server
from replication.miniature.benchmarks import questions_of
from replication.miniature.tokenizer import prompt_text
from replication.workflow.profile import ROOT

MODEL = ROOT / "data" / "miniature" / "models" / "birch"
pytestmark = [pytest.mark.vllm, pytest.mark.slow]


def generated(url: str) -> float:
    text = httpx.get(url.removesuffix("/v1") + "/metrics", timeout=30).text
    found = re.findall(r"^vllm:generation_tokens_total\{[^}]*\} ([0-9.e+]+)$", text, re.MULTILINE)
    return sum(map(float, found))


@contextmanager
def on_one_core() -> Iterator[None]:
    """Let processes that start in the block use one core; whoever watches has the others.

    A fast engine that spins on all cores leaves nobody time to see how far it is.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def test_what_had_arrived_is_saved_and_the_exit_code_tells(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    asked = prompt_text(questions_of(("mini-dev",))[0].text)
    saved = tmp_path / "result.json"
    # One trace at a time: the question takes minutes, and the kill comes early in it.
    log, few = tmp_path / "server.log", ("--max-num-seqs", "1")
    with ExitStack() as serving:
        with on_one_core():
            url = serving.enter_context(vllm_server(MODEL, "birch", log, arguments=few))
        ask = subprocess.Popen(
            [sys.executable, "-c", "from deepprune_core.cli.app import app; app()", "ask", asked,
             "-u", url, "--completion", "-n", "64", "--judge", "same_text", "--cut", "12 words",
             "--max-tokens", "1500", "--save", str(saved)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OPENAI_API_KEY": "sk-very-secret"},
        )  # fmt: skip
        until = time.monotonic() + 120
        while generated(url) < 600 and ask.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        assert ask.poll() is None, "the question was answered before the server could be killed"
        port = url.rsplit(":", 1)[1].removesuffix("/v1")
        subprocess.run(["pkill", "-KILL", "-f", f"api_server.*--port {port}"], check=True)
        printed, said = ask.communicate(timeout=120)
    assert ask.returncode in (3, 4), said
    assert "Traceback" not in printed + said
    found = json.loads(saved.read_text())
    states = Counter(trace["state"] for trace in found["traces"])
    assert states["failed"] > 0
    assert sum(states.values()) == 64
    assert found["ledger"]["generated"] > 0
    assert "sk-very-secret" not in printed + said + saved.read_text()
