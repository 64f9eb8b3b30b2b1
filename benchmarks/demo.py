"""`deepprune ask` on a real chat model behind vLLM's server, recorded for the README.

    python benchmarks/demo.py

serves Qwen2.5-Coder-1.5B-Instruct, asks one question 16 times as `deepprune ask` does, then the
same 16 times in full, and writes docs/ask.svg (the live view in the middle and at the end) and
docs/ask.txt (what was printed). The question was chosen because its stored traces disagree.
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
from deepprune_core.live.contest import Contest
from deepprune_core.live.deepprune import DeepPrune
from deepprune_core.live.result import Event, PrunedAnswer
from deepprune_core.traces import Question
from replication.workflow.models import write_model
from replication.workflow.profile import ROOT

MODEL = "qwen-1.5b"
QUESTION = (
    "William has 40 square yards of a mango field. There are 6 mangos per square yard. William "
    "can harvest his mangos every 1 months. How many mangos can William harvest within a year?"
)
TRACES, CUT, TAU = 16, "96 tokens", 0.95
NOBODY = "(no trace put an answer into a box: exit code 1)"


async def ask(url: str, pictures: Console) -> tuple[PrunedAnswer, PrunedAnswer]:
    """Return the question as `deepprune ask` answers it, and answered by all traces in full.

    The view is printed once a third of the traces has been placed, and at the end.
    """
    there = open_endpoint([url], None, str(ROOT / "build/models" / MODEL), "NONE", system=o.SYSTEM)
    judge, _ = open_judge("embedding", None, None, quiet=True)
    rule = o.parse_rule("weighted", 32, 1, 20).with_tau(TAU)
    sampling = SamplingConfig(temperature=0.5, top_k=20, max_tokens=512)
    config = OnlineConfig(o.parse_cut(CUT), rule, sampling)
    tool, result = DeepPrune(there.engine, judge, config), None
    view, shown = AskView(QUESTION, TRACES, f"judged at {CUT}"), False
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
    contest = Contest(there.engine, there.engine.tokenizer, config, TRACES)
    whole = await contest.vote()(Question("demo", QUESTION))
    await there.engine.close()
    assert result is not None
    return replace(result, seconds=round(result.seconds, 3)), whole


def told(whole: PrunedAnswer) -> str:
    """Return what the plain vote of all traces gave and cost."""
    votes = ", ".join(f"{b.answer}: {b.weight:g}" for b in whole.ballots)
    return (
        f"the same question, all {TRACES} traces in full: {whole.answer} ({votes}), "
        f"{whole.ledger.generated:,} tokens, {whole.seconds:.1f} s"
    )


def main() -> None:
    """Serve, ask, and write both files."""
    log = ROOT / "build" / "vllm-server.log"
    pictures = Console(record=True, width=92, file=StringIO(), force_terminal=True)
    command = (
        f'deepprune ask "{QUESTION}" -u http://localhost:8000/v1 -n {TRACES} --cut "{CUT}" '
        f"--tau {TAU} --temperature 0.5"
    )
    with vllm_server(write_model(MODEL), MODEL, log) as url:
        result, whole = asyncio.run(ask(url, pictures))
    pictures.rule(style="dim")
    pictures.print(summary(result))
    docs = ROOT / "docs"
    svg = pictures.export_svg(title="deepprune ask", clear=False, unique_id="ask")
    (docs / "ask.svg").write_text(svg, encoding="utf-8")
    printed = [*pictures.export_text().splitlines(), result.answer or NOBODY]
    lines = [f"$ {command}", *printed, told(whole)]
    text = "\n".join(line.rstrip() for line in lines)
    (docs / "ask.txt").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
