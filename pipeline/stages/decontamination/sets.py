"""Evaluation sets: items out of files, each with the texts that it is sought by.

Guarantee: the same files give the same items in the same order, wherever they lie. A file that cannot be read, a line that is
not JSON and a field that no item has are errors that name the file; nothing is left out in silence but items without text.
Cost: memory of one item of JSON Lines, one file of `.json`, or one batch of a table.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.stages.decontamination.settings import COMMON_FIELDS, EvaluationSet

PACKED = (".gz", ".bz2", ".zst")
RECORDS = (".jsonl", ".ndjson", ".json")
TABLES = (".parquet", ".arrow")
TEXTS = (".txt", ".text", ".md")
ABOUT = ("README.md", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files of a data set's folder that hold no items."""
BATCH_ROWS = 1_000


class Item(NamedTuple):
    """An evaluation item: its id in its set, and its texts, the whole one first."""

    id: str
    texts: tuple[str, ...]


def paths(one: EvaluationSet) -> list[Path]:
    """The files of a set, in order. Raises ConfigError if there are none."""
    where = Path(one.path).expanduser()
    if where.is_dir():
        found = [path for path in sorted(where.rglob("*")) if path.is_file() and path.name not in ABOUT and _kind(path)]
        found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(where).parts)]
    elif where.is_file():
        found = [where]
    else:
        found = sorted(path for path in map(Path, glob.glob(str(where), recursive=True)) if path.is_file())
    if not found:
        raise ConfigError(
            f"decontamination: {one.path}: there is no such file, and no folder with items (JSON Lines, Parquet, text)"
        )
    return found


def sha256(one: EvaluationSet) -> str:
    """The SHA-256 of a set's files, one after the other. Raises ConfigError."""
    digest = hashlib.sha256()
    for path in paths(one):
        try:
            status = path.stat()
            digest.update(_sha256(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino).encode())
        except OSError as error:
            raise ConfigError(f"decontamination: {path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


@functools.cache
def _sha256(path: Path, _size: int, _mtime_ns: int, _ctime_ns: int, _inode: int) -> str:
    return files.sha256(path)


def items(one: EvaluationSet) -> Iterator[Item]:
    """The items of a set. Raises ConfigError, and InputError that names the file."""
    fields, seen, number, taken = one.fields, set[str](), 0, set[str]()
    for path in paths(one):
        for row in _rows(path, one):
            if not fields and isinstance(row, dict):
                fields = tuple(name for name in COMMON_FIELDS if name in row)
                if not fields:
                    raise ConfigError(f"decontamination: {path}: name the `fields` of its items; there are {_named(row)}")
            texts = {"": row} if isinstance(row, str) else {name: "\n".join(_strings(_value(row, name))) for name in fields}
            seen.update(name for name, text in texts.items() if text)
            variants = (texts.values(), (text for name, text in texts.items() if name not in one.optional))
            joined = dict.fromkeys("\n".join(filter(None, parts)) for parts in variants)
            given = row.get(one.id_field) if isinstance(row, dict) else None
            name = str(number if given is None else given)
            name = f"{name}#{number}" if name in taken else name
            taken.add(name)
            yield Item(id=name, texts=tuple(filter(str.strip, joined)))
            number += 1
    missing = [name for name in one.fields if name not in seen]
    if missing and number:
        raise ConfigError(f"decontamination: {one.path}: no item has text in the field {missing[0]!r}")


def _kind(path: Path) -> str:
    name = path.with_suffix("") if path.suffix in PACKED else path
    return name.suffix if name.suffix in (*RECORDS, *TABLES, *TEXTS) else ""


def _rows(path: Path, one: EvaluationSet) -> Iterator[dict[str, Any] | str]:
    """The records of a file, or the items of a plain text."""
    try:
        kind = _kind(path)
        if kind in TABLES:
            yield from _of_table(path, kind)
        elif kind in RECORDS:
            yield from _of_json(path)
        else:
            yield from _of_text(path, one.separator)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"decontamination: {path}: cannot be read ({error})") from error


def _lines(path: Path) -> Iterator[str]:
    with pa.input_stream(str(path), compression="detect") as stream:
        yield from io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig", newline=None)


def _of_json(path: Path) -> Iterator[dict[str, Any]]:
    """A record a line; or, if the file begins with a bracket, the objects of one array."""
    lines = _lines(path)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        array = number == 1 and line.lstrip().startswith("[")
        try:
            found = json.loads(line + "".join(lines) if array else line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"decontamination: {path}: line {number} is not JSON ({error})") from error
        for row in found if array else [found]:
            if not isinstance(row, dict):
                raise InputError(f"decontamination: {path}: line {number} holds a {type(row).__name__}, not an object")
            yield row


def _of_table(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    if kind == ".parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()
        return
    with pa.OSFile(str(path)) as source:
        try:
            batches: Any = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            reader = pa.ipc.open_file(source)
            batches = map(reader.get_batch, range(reader.num_record_batches))
        for batch in batches:
            yield from batch.to_pylist()


def _of_text(path: Path, separator: str | None) -> Iterator[str]:
    held: list[str] = []
    for line in _lines(path):
        if separator is None:
            held = [line]
        elif line.strip() != separator:
            held.append(line)
            continue
        if "".join(held).strip():
            yield "".join(held).strip()
        held = []
    if "".join(held).strip():
        yield "".join(held).strip()


def _value(row: dict[str, Any], name: str) -> Any:
    """A field, or one within another, of which a list may hold several; None if it is not there."""
    if name in row:
        return row[name]
    first, _, rest = name.partition(".")
    inner = row.get(first) if rest else None
    if isinstance(inner, list):
        return [_value(one, rest) for one in inner if isinstance(one, dict)]
    return _value(inner, rest) if isinstance(inner, dict) else None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))


def _named(row: dict[str, Any]) -> str:
    return ", ".join(sorted(map(str, row))[:12]) or "none"
