"""Which reader reads a file, by its kind. This runs in a parser, where foreign bytes are decoded (`parser.serve`).

Guarantee: a parser may open no file, so `prepare` imports all that reading may need, before it is confined. What is imported
later than that fails as a parser that died, never as a broken record.
Cost: none of its own. Libraries are imported by kind, so that a parser of web archives does without those of tables.
"""

from __future__ import annotations

import codecs
import importlib
from collections.abc import Iterator
from io import BufferedReader
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.records import Limits, Record

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import FilesSource

Needs = Literal["streams", "tables"]
MODULES: dict[Needs, tuple[str, ...]] = {
    "streams": (
        "email.message",
        "zstandard",
        *(f"tokenmill.pipeline.collect.{name}" for name in ("jsonl", "text", "warc")),
    ),
    # Casts import the compute functions when they are first used.
    "tables": ("zstandard", "pyarrow.compute", *(f"tokenmill.pipeline.collect.{name}" for name in ("tables", "csv_rows"))),
}
WEB_ENCODINGS = (
    *("utf-8", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "ascii", "latin-1", "koi8-r", "koi8-u", "ibm866", "cp874"),
    *(f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    *(f"cp{number}" for number in range(1250, 1259)),
    *("mac-roman", "mac-cyrillic", "gb2312", "gbk", "gb18030", "big5", "big5hkscs", "cp950"),
    *("euc-jp", "iso2022-jp", "shift-jis", "cp932", "euc-kr", "cp949", "johab"),
)
"""Encodings that web pages may be in. Python imports a module for each when it is first used."""


def needs(kind: str) -> Needs:
    """Which libraries the reader of a kind needs."""
    return "tables" if kind in ("parquet", "csv") else "streams"


def prepare(what: Needs) -> None:
    """Import what the readers need."""
    for module in MODULES[what]:
        importlib.import_module(module)
    for name in WEB_ENCODINGS:
        codecs.lookup(name)


def source_of(settings: dict[str, Any]) -> FilesSource:
    """The settings of a source, which the worker has checked, without importing what checks them."""
    return cast("FilesSource", SimpleNamespace(**settings))


def read(
    handle: BufferedReader,
    kind: str,
    codec: Codec,
    name: str,
    begin: int,
    end: int,
    before: int,
    source: FilesSource,
    limits: Limits,
) -> Iterator[Record]:
    """The records of a piece of a file; see `plan.Piece`. Raises InputError, OSError."""
    if kind == "parquet":
        from tokenmill.pipeline.collect import tables

        return tables.read_parquet(handle, name, begin, end, before, source, limits)
    if kind == "csv":
        from tokenmill.pipeline.collect import csv_rows

        return csv_rows.read_csv(handle, codec, name, source, limits)
    from tokenmill.pipeline.collect import jsonl, text, warc

    if kind == "jsonl":
        return jsonl.read(handle, codec, name, begin, end, before, source, limits)
    if kind == "lines":
        return text.read_lines(handle, codec, name, begin, end, before, limits)
    if kind == "warc":
        return warc.read(handle, codec, name, begin, end, limits)
    return text.read(handle, codec, kind, name, limits)


def row_groups(handle: BufferedReader, text_field: str) -> list[tuple[int, int]] | None:
    """See `tables.row_groups`."""
    from tokenmill.pipeline.collect import tables

    return tables.row_groups(handle, text_field)
