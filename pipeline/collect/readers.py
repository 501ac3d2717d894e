"""Which reader reads a file, by its kind. This runs in a parser, where foreign bytes are decoded (`parser.serve`).

Guarantee: a parser may open no file, so `prepare` imports all that reading may need, before it is confined. What is imported
later than that fails as a parser that died, never as a broken record.
Cost: none of its own. Libraries are imported by kind, so that a parser of web archives does without those of tables.
"""

from __future__ import annotations

import encodings
import importlib
import pkgutil
from collections.abc import Iterator
from io import BufferedReader
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast

from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.kinds import PAGES, TABLES
from tokenmill.pipeline.collect.records import Limits, Record

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatatroveSource, FilesSource

Needs = Literal["streams", "pages", "trafilatura", "tables", "datatrove"]
STREAMS = (
    "email.message",
    # Python's parser looks up names of characters there, and normal forms of identifiers.
    "unicodedata",
    "brotli",
    "zstandard",
    *(f"tokenmill.pipeline.collect.{name}" for name in ("jsonl", "text", "warc", "arc", "wacz")),
)
MODULES: dict[Needs, tuple[str, ...]] = {
    "streams": STREAMS,
    # Compiled code is loaded when a kernel is first called, so that is done too.
    "pages": (*STREAMS, "tokenmill.pipeline.collect.html.choose"),
    "trafilatura": (*STREAMS, "tokenmill.pipeline.collect.html.choose", "trafilatura"),
    # Casts import the compute functions when they are first used.
    "tables": (
        "zstandard",
        "pyarrow.compute",
        *(f"tokenmill.pipeline.collect.{name}" for name in ("tables", "arrow", "csv_rows")),
    ),
    "datatrove": ("zstandard", "pyarrow.compute", "tokenmill.pipeline.collect.datatrove"),
}
SHORT_PAGES = (
    "<html><body><p>A page with a few words.</p></body></html>",
    "<html><body><article><p>A page with a few words, and more of them.</p><p>Two paragraphs.</p></article></body></html>",
)
ONLY_ON_WINDOWS = ("mbcs", "oem")
"""Encodings whose modules cannot be imported elsewhere."""


def needs(kind: str, extract: str | None) -> Needs:
    """Which libraries the reader of a kind needs, given what takes the main text out of pages."""
    if kind in TABLES:
        return "tables"
    if kind == "datatrove":
        return "datatrove"
    if kind not in PAGES:
        return "streams"
    return "trafilatura" if extract == "trafilatura" else "pages"


def prepare(what: Needs) -> None:
    """Import what the readers need."""
    for name in MODULES[what]:
        importlib.import_module(name)
    if what in ("pages", "trafilatura"):
        from tokenmill.pipeline.collect.html import choose, main

        choose.prepare()
        if what == "trafilatura":
            # Of a page with little text it reads lists of words, once.
            for page in SHORT_PAGES:
                main.main_text(page, Extraction(extract="trafilatura"))
    if what == "datatrove":
        from tokenmill.pipeline.collect import datatrove

        datatrove.prepare()
    # A module may name any encoding of Python's, under any of its names; the web's decoders use a few.
    for module in pkgutil.iter_modules(encodings.__path__):
        if module.name not in ONLY_ON_WINDOWS:
            importlib.import_module(f"encodings.{module.name}")


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
    if kind == "arrow":
        from tokenmill.pipeline.collect import arrow

        return arrow.read(handle, name, source, limits)
    if kind in ("csv", "tsv"):
        from tokenmill.pipeline.collect import csv_rows

        return csv_rows.read_csv(handle, codec, "," if kind == "csv" else "\t", name, source, limits)
    if kind == "datatrove":
        from tokenmill.pipeline.collect import datatrove

        return datatrove.read(handle, codec, name, cast("DatatroveSource", source), limits)
    from tokenmill.pipeline.collect import arc, jsonl, text, wacz, warc

    if kind == "jsonl":
        return jsonl.read(handle, codec, name, begin, end, before, source, limits)
    if kind == "lines":
        return text.read_lines(handle, codec, name, begin, end, before, limits)
    if kind == "separated":
        assert source.separator is not None, "the listing gives this kind to sources with a separator"
        return text.read_separated(handle, codec, name, source.separator, limits)
    if kind == "warc":
        return warc.read(handle, codec, name, begin, end, limits)
    if kind == "arc":
        return arc.read(handle, codec, name, limits)
    if kind == "wacz":
        return wacz.read(handle, name, limits)
    return text.read(handle, codec, kind, name, limits)


def row_groups(handle: BufferedReader, text_field: str) -> list[tuple[int, int]] | None:
    """See `tables.row_groups`."""
    from tokenmill.pipeline.collect import tables

    return tables.row_groups(handle, text_field)
