"""Public traces: listed, fetched over real HTTP or taken from a folder, and checked."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepprune_core.formats.trace_files import read_traces
from replication.workflow import public_traces
from replication.workflow.public_traces import (
    LIST,
    PublicSet,
    PublicTracesError,
    content_digest,
    named,
    obtain,
    read_list,
)

SAMPLES = [
    {"id": f"q{i}", "epoch": epoch, "input": f"What is {i}?", "target": "A",
     "scores": {"choice": {"answer": "AB"[(i + epoch) % 2], "explanation": f"{i} {epoch}"}}}
    for i in range(3) for epoch in (1, 2)
]  # fmt: skip


def converted(path: Path) -> None:
    records: dict[str, dict] = {}
    for s in reversed(SAMPLES):
        entry = {"question_id": f"other-{s['id']}", "question": f"{s['input']}\n", "gold": "A",
                 "model": "m", "traces": []}  # fmt: skip
        record = records.setdefault(s["id"], entry)
        score = s["scores"]["choice"]
        record["traces"].append({"text": score["explanation"], "answer": score["answer"]})
    path.write_bytes(
        gzip.compress("".join(json.dumps(r) + "\n" for r in records.values()).encode())
    )


@pytest.fixture
def wanted(tmp_path: Path) -> PublicSet:
    converted(tmp_path / "set.jsonl.gz")
    return PublicSet(
        what="w", model="m", benchmark="b", repository="who/what", commit="abc",
        paths=("logs/summaries.json",), format="inspect-summaries", licence="CC BY 4.0",
        citation="c", converted="set.jsonl.gz", questions=3, traces=6,
        content_sha256=content_digest(read_traces(tmp_path / "set.jsonl.gz")),
    )  # fmt: skip


def source(body: bytes) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    route = "/who/what/raw/abc/logs/summaries.json"
    return Starlette(routes=[Route(route, lambda request: Response(body))])


def test_both_ways_give_the_same_set(
    wanted: PublicSet, tmp_path: Path, serve: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = read_traces(obtain("one", wanted, tmp_path / "a", tmp_path))
    monkeypatch.setattr(public_traces, "HOST", serve(source(json.dumps(SAMPLES).encode())))
    fetched = read_traces(obtain("one", wanted, tmp_path / "b", None))
    assert content_digest(given) == content_digest(fetched)
    assert {q.question_id for q in given.questions} == {q.question_id for q in fetched.questions}
    assert fetched.model == "m" and fetched.benchmarks == ("b",)


def test_another_content_is_refused(
    wanted: PublicSet, tmp_path: Path, serve: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_traces, "HOST", serve(source(json.dumps(SAMPLES[:-1]).encode())))
    with pytest.raises(PublicTracesError, match="expected content"):
        obtain("one", wanted, tmp_path / "b", None)
    assert not (tmp_path / "b" / "one.parquet").exists()


def test_without_a_network_it_names_the_file_it_wants(
    wanted: PublicSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_traces, "HOST", "http://127.0.0.1:9")
    with pytest.raises(PublicTracesError, match=r"put the converted file at .*set\.jsonl\.gz"):
        obtain("one", wanted, tmp_path / "out", None)


def test_the_list_is_whole_and_its_sets_are_what_it_says() -> None:
    sets = read_list()
    assert len(sets) == 9 and all(one.citation and one.licence for one in sets.values())
    folder = Path(os.environ.get(public_traces.FOLDER_VARIABLE, LIST.parents[2] / "shared/traces"))
    if not folder.is_dir():
        pytest.skip(f"no folder of converted public traces; set {public_traces.FOLDER_VARIABLE}")
    for one in sets.values():
        traces = named(read_traces(folder / one.converted), one)
        assert (len(traces.questions), traces.num_traces) == (one.questions, one.traces)
        assert content_digest(traces) == one.content_sha256


def test_a_list_with_an_unknown_format_is_refused(tmp_path: Path, wanted: PublicSet) -> None:
    import yaml

    path = tmp_path / "list.yaml"
    entry = {**wanted.model_dump(mode="json"), "format": "magic"}
    path.write_text(yaml.safe_dump({"sets": {"one": entry}}))
    with pytest.raises(PublicTracesError, match="no converter for magic"):
        read_list(path)
