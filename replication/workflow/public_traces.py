"""Fetch, check and convert the public traces that ``data/public_traces.yaml`` lists.

``python -m replication.workflow.public_traces`` writes ``data/public/NAME.parquet`` for every
set that is not there. A set comes from the folder DEEPPRUNE_PUBLIC_TRACES if that holds its
converted file, else from its source. Either way its content must have the digest in the list.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from deepprune_core.formats.files import whole_file
from deepprune_core.formats.public import CONVERTERS
from deepprune_core.formats.trace_files import TraceFileError, read_traces, write_parquet
from deepprune_core.traces import TraceSet
from replication.workflow.profile import ROOT

LIST = ROOT / "data" / "public_traces.yaml"
TARGET = ROOT / "data" / "public"
FOLDER_VARIABLE = "DEEPPRUNE_PUBLIC_TRACES"
HOST = "https://github.com"


class PublicTracesError(ValueError):
    """A set that cannot be had; one line with its name, the fault and the fix."""


class PublicSet(BaseModel):
    """One set: what it is, where it is from, how it is read, and what must come out.

    ``paths``: files below ``repository`` at ``commit``; ``source_sha256``: their digests where
    known; ``converted``: the name of its converted file; ``content_sha256``: see
    :func:`content_digest`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    model: str
    benchmark: str
    repository: str
    commit: str
    paths: tuple[str, ...]
    format: str
    licence: str
    citation: str
    converted: str
    questions: int
    traces: int
    content_sha256: str
    source_sha256: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


def read_list(path: Path = LIST) -> dict[str, PublicSet]:
    """Return the sets by name; raises PublicTracesError for a list that cannot be used."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["sets"]
        found = {name: PublicSet.model_validate(entry) for name, entry in entries.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise PublicTracesError(f"{path}: {reason}; mend the list") from None
    if unknown := {one.format for one in found.values()} - set(CONVERTERS):
        raise PublicTracesError(f"{path}: no converter for {', '.join(sorted(unknown))}")
    return found


def content_digest(traces: TraceSet) -> str:
    """Return a sha256 (hex) of what counts: per question its right answer, texts and answers.

    Names, order of questions and token counts do not count, so it is the same by either way.
    """
    lines = sorted(
        json.dumps([q.text.strip(), q.gold, sorted([t.text, t.answer or ""] for t in group)])
        for q, group in zip(traces.questions, traces.traces, strict=True)
    )
    return sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def named(raw: TraceSet, wanted: PublicSet) -> TraceSet:
    """Return a set under the list's names; a question is called by the digest of its text.

    So one question has one name in all sets, whatever its source calls it.
    """
    ids = [sha256(q.text.strip().encode()).hexdigest()[:12] for q in raw.questions]
    questions = tuple(
        replace(q, question_id=name, benchmark=wanted.benchmark)
        for q, name in zip(raw.questions, ids, strict=True)
    )
    groups = tuple(
        tuple(replace(t, question_id=name) for t in group)
        for group, name in zip(raw.traces, ids, strict=True)
    )
    return TraceSet(wanted.model, questions, groups, raw.counts_are_words)


def obtain(name: str, wanted: PublicSet, target: Path, folder: Path | None) -> Path:
    """Return the set's file below ``target``, made if it is not there.

    Raises:
        PublicTracesError: it can be had neither from ``folder`` nor from its source, or is not
            what the list says.
    """
    out = target / f"{name}.parquet"
    if out.is_file():
        return out
    given = None if folder is None else folder / wanted.converted
    if given is not None and given.is_file():
        raw = read_traces(given)
    else:
        raw = _from_source(name, wanted, target / "source" / name, given)
    traces = named(raw, wanted)
    found = content_digest(traces)
    if found != wanted.content_sha256:
        raise PublicTracesError(
            f"{name}: expected content {wanted.content_sha256[:12]}, got {found[:12]}; the source "
            "has changed, or its converter; compare the two before you trust it"
        )
    write_parquet(traces, out)
    return out


def _from_source(name: str, wanted: PublicSet, place: Path, given: Path | None) -> TraceSet:
    """Return a set converted from its source, downloaded if need be."""
    files = [
        _download(name, wanted, path, place / f"{i}-{Path(path).name}", given)
        for i, path in enumerate(wanted.paths)
    ]
    for digest, file in zip(wanted.source_sha256, files, strict=False):
        if sha256(file.read_bytes()).hexdigest() != digest:
            raise PublicTracesError(f"{name}: {file} is not the file that was listed; delete it")
    records = CONVERTERS[wanted.format](files)
    lines = "".join(json.dumps({**r, "model": wanted.model}) + "\n" for r in records)
    converted = place / wanted.converted
    converted.write_bytes(gzip.compress(lines.encode("utf-8"), mtime=0))
    return read_traces(converted)


def _download(name: str, wanted: PublicSet, path: str, to: Path, given: Path | None) -> Path:
    if to.is_file():
        return to
    url = f"{HOST}/{wanted.repository}/raw/{wanted.commit}/{path}"
    try:
        with (
            whole_file(to) as fresh,
            httpx.stream("GET", url, follow_redirects=True, timeout=60) as answer,
        ):
            answer.raise_for_status()
            size = int(answer.headers.get("content-length", 0)) or None
            with fresh.open("wb") as file, tqdm(
                total=size, desc=f"{name}: {to.name}", unit="B", unit_scale=True, leave=False
            ) as bar:  # fmt: skip
                for part in answer.iter_bytes():
                    file.write(part)
                    bar.update(len(part))
    except httpx.HTTPError as error:
        where = given or f"${FOLDER_VARIABLE}/{wanted.converted}"
        raise PublicTracesError(
            f"{name}: {url} cannot be fetched ({error.__class__.__name__}); put the converted file "
            f"at {where}"
        ) from None
    return to


def main(arguments: Sequence[str] | None = None) -> int:
    """Get the public traces that are not there yet; exit code 1 if some cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m replication.workflow.public_traces", description=main.__doc__,
        epilog=f"{FOLDER_VARIABLE} may name a folder of converted files.",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", help="sets to get (default: all)")
    parser.add_argument("--list", action="store_true", help="show the sets and stop")
    options = parser.parse_args(arguments)
    try:
        sets = read_list()
    except PublicTracesError as error:
        print(error, file=sys.stderr)
        return 1
    if unknown := sorted(set(options.names) - set(sets)):
        parser.error(f"no set {', '.join(unknown)}; there are {', '.join(sets)}")
    chosen = {name: sets[name] for name in options.names or sets}
    if options.list:
        for name, one in chosen.items():
            print(f"{name}: {one.what}; {one.licence}; {one.repository}")
        return 0
    folder = os.environ.get(FOLDER_VARIABLE)
    failures = 0
    for name, one in chosen.items():
        try:
            print(obtain(name, one, TARGET, Path(folder) if folder else None))
        except (PublicTracesError, TraceFileError) as error:
            failures += 1
            print(error, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
