"""Files into records: JSON lines, JSON lists, gzip, and inspect-ai's archives.

Every fault is one line with the file, the place, what was expected and what was found. Nothing is
unpickled or evaluated.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ZSTANDARD = 93  # the method's number in a zip file; Python 3.11 does not know it
_LISTS = ("samples", "records", "data", "rows", "results", "questions")


class TraceFileError(ValueError):
    """A trace file that cannot be read; the message names file, place, fault and fix."""


def json_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) of every line, or of every entry of a JSON file's list."""
    if ".json" in path.suffixes and ".jsonl" not in path.suffixes:
        yield from _listed(path)
    else:
        yield from _one_a_line(path, _lines(path))


def _one_a_line(
    path: Path, lines: Iterable[tuple[int, str]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) of JSON lines."""
    for number, line in lines:
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TraceFileError(f"{where}: not JSON ({error}); mend or remove the line") from None
        yield where, _object(record, where)


def _listed(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of the list in a ``.json`` file; JSON lines in it are read too."""
    lines = list(_lines(path))
    text = "\n".join(line for _, line in lines)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if len(lines) > 1 and _is_object(lines[0][1]):
            yield from _one_a_line(path, lines)
            return
        raise TraceFileError(f"{path}: not JSON ({error}); fetch it again") from None
    if isinstance(found, dict):
        name = next((key for key in _LISTS if isinstance(found.get(key), list)), None)
        if name is None and not {"traces", "question_id"} & {key.lower() for key in found}:
            raise TraceFileError(
                f"{path}: expected a list of records or an inspect-ai log with 'samples', got an "
                f"object with {', '.join(sorted(found)[:6]) or 'nothing'}; write one record a line"
            )
        if name is not None and not found[name]:
            raise TraceFileError(f"{path}: holds no {name}; fetch it again")
        found = [found] if name is None else found[name]
    if not isinstance(found, list):
        raise TraceFileError(
            f"{path}: expected a list of records, got {type(found).__name__}; write one a line"
        )
    for index, record in enumerate(found):
        where = f"{path}: record {index}"
        yield where, _object(record, where)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _object(record: Any, where: str) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise TraceFileError(
            f"{where}: expected an object, got {type(record).__name__}; write one object a question"
        )
    return record


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of the non-empty lines of a plain or gzip text file."""
    if not path.exists():
        raise TraceFileError(f"{path}: no such file; give the path of a trace file")
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield number, text
    except UnicodeDecodeError as error:
        if number == 1 and error.object[:1] == b"\x80":
            raise TraceFileError(
                f"{path}: is a pickle, which can run anything and is not opened; save JSON lines"
            ) from None
        raise TraceFileError(
            f"{path}:{number}: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from None
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise TraceFileError(f"{path}: cannot be read ({error}); fetch the file again") from None


def archive_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, sample) of an inspect-ai ``.eval`` archive, Zstandard's included."""
    if not path.exists():
        raise TraceFileError(f"{path}: no such file; give the path of a trace file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.startswith("samples/")]
            if not members:
                raise TraceFileError(
                    f"{path}: no inspect-ai log (holds no samples); fetch it again"
                )
            for member in members:
                where = f"{path}: {member.filename}"
                yield where, _object(json.loads(_content(archive, path, member)), where)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        if isinstance(error, TraceFileError):
            raise
        raise TraceFileError(f"{path}: no inspect-ai log ({error}); fetch it again") from None


def _content(archive: zipfile.ZipFile, path: Path, member: zipfile.ZipInfo) -> bytes:
    """Return a member's bytes; what Python's zipfile cannot decompress, Arrow does."""
    if member.compress_type != ZSTANDARD:
        return archive.read(member)
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(30)
        name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        file.seek(member.header_offset + 30 + name + extra)
        packed = file.read(member.compress_size)
    return bytes(
        pa.decompress(packed, decompressed_size=member.file_size, codec="zstd", asbytes=True)
    )
