"""`deepprune ask` on a real chat model behind vLLM's server, recorded for the README.

    python benchmarks/demo.py

serves SmolLM2-135M-Instruct, asks one question 16 times as `deepprune ask` does, and writes
docs/ask.svg (the live view in the middle and at the end) and docs/ask.txt (what was printed).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from io import StringIO

from rich.console import Console

from deepprune_core.cli import options as o
from deepprune_core.cli.opening import open_endpoint, open_judge
from deepprune_core.cli.view import AskView, summary
from deepprune_core.engines.base import SamplingConfig
from deepprune_core.engines.vllm_server import vllm_server
from deepprune_core.live.config import OnlineConfig
from deepprune_core.live.deepprune import DeepPrune
from deepprune_core.live.result import Event, PrunedAnswer
from replication.workflow.models import write_model
from replication.workflow.profile import ROOT

QUESTION = (
    "A baker makes 48 rolls. She sells half of them in the morning and 6 more after lunch. "
    "How many rolls are left?"
)
TRACES, CUT = 16, "40 tokens"
NOBODY = "(no trace put an answer into a box: exit code 1)"


async def ask(url: str, pictures: Console) -> PrunedAnswer:
    """Ask as `deepprune ask` does; print the view once a third has been placed, and at the end."""
    there = open_endpoint([url], None, str(ROOT / "build/models/smollm2"), "NONE", system=o.SYSTEM)
    judge, tau = open_judge("embedding", None, None, quiet=True)
    rule = o.parse_rule("weighted", 32, 10, 20).with_tau(tau)
    sampling = SamplingConfig(temperature=0.6, top_p=0.95, max_tokens=600)
    config = OnlineConfig(o.parse_cut(CUT), rule, sampling)
    tool, result = DeepPrune(there.engine, judge, config), None
    view, shown = AskView(QUESTION, TRACES, config), False
    async for event in tool.stream(QUESTION, TRACES):
        if not isinstance(event, Event):
            result = event
            continue
        view.take(event)
        placed = sum(len(members) for members in view.clusters.values())
        if placed * 3 >= TRACES and not shown:
            pictures.print(view)
            pictures.rule(style="dim")
            shown = True
    pictures.print(view)
    await there.engine.close()
    assert result is not None
    return replace(result, seconds=round(result.seconds, 3))


def main() -> None:
    """Serve, ask, and write both files."""
    log = ROOT / "build" / "vllm-server.log"
    pictures = Console(record=True, width=92, file=StringIO(), force_terminal=True)
    command = f'deepprune ask "{QUESTION}" -u http://localhost:8000/v1 -n {TRACES} --cut "{CUT}"'
    with vllm_server(write_model("smollm2"), "smollm2", log) as url:
        result = asyncio.run(ask(url, pictures))
    pictures.rule(style="dim")
    pictures.print(summary(result))
    docs = ROOT / "docs"
    svg = pictures.export_svg(title="deepprune ask", clear=False, unique_id="ask")
    (docs / "ask.svg").write_text(svg, encoding="utf-8")
    lines = [f"$ {command}", *pictures.export_text().splitlines(), result.answer or NOBODY]
    text = "\n".join(line.rstrip() for line in lines)
    (docs / "ask.txt").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
