"""Data sets through the `datasets` library: a local folder, or a name on a hub with a revision, streamed.

Guarantee: no code of a data set is run (since version 4 the library cannot), and nothing is copied to disk. A name on a hub
needs a revision, so that a corpus records what it was made of.
Cost: importing the library takes a second; memory of one record.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import ConfigError, InputError, RecordError
from tokenmill.pipeline.collect.entries import Seen, identity_of
from tokenmill.pipeline.collect.jsonl import text_of
from tokenmill.pipeline.collect.listing import InputFile, Listing, describe, listed, name_below
from tokenmill.pipeline.collect.plan import RECORD_TEXT_BYTES, InputSplit, Piece
from tokenmill.pipeline.collect.records import Limits, Place, Record, document, dropped, fields, name_of, quarantined
from tokenmill.pipeline.config import DatasetSource


def listing(source: DatasetSource, own: Path | None = None) -> Listing:
    """The files of a local data set; none for a data set on a hub. Raises ConfigError, InputError."""
    if not os.path.isdir(source.path):
        if source.revision is None:
            raise ConfigError(
                f"source {source.name!r}: {source.path!r} is not a local folder, so it is a data set on a hub; "
                "set its revision (a commit's hash), so that the corpus can be built again"
            )
        return Listing(files=())
    root = os.path.abspath(source.path)
    seen = Seen(roots=(os.path.realpath(root),), own=identity_of(own) if own is not None else None)
    seen.folder(root)
    if not seen.entries:
        raise InputError(f"source {source.name!r}: {source.path!r} holds no file")
    return listed([describe(entry, name_below(path, root), "dataset", "") for path, entry in seen.entries.items()], seen)


def identity(source: DatasetSource) -> str:
    """What identifies a data set on a hub."""
    return f"{source.path}@{source.revision}"


def divide(source: DatasetSource, size_bytes: int) -> list[InputSplit]:
    """One split per shard of the data set, as the library counts shards. Raises InputError."""
    count = int(_stream(source).num_shards)
    file = InputFile(
        path=source.path,
        name=source.split,
        kind="dataset",
        codec="",
        size_bytes=size_bytes // count,
        mtime_ns=0,
        ctime_ns=0,
        inode=0,
    )
    text_bytes = size_bytes // count
    documents = max(1, text_bytes // RECORD_TEXT_BYTES)
    return [
        InputSplit(
            source=source.name,
            pieces=(Piece(file=file, begin=number, end=count, text_bytes=text_bytes, documents=documents),),
        )
        for number in range(count)
    ]


def read(piece: Piece, source: DatasetSource, limits: Limits) -> Iterator[Record]:
    """The records of one shard of the data set. Split, shard and row identify them. Raises InputError."""
    stream = _stream(source)
    shard = stream.shard(num_shards=piece.end, index=piece.begin) if piece.end > 1 else stream
    path = f"{source.split}/{piece.begin}"
    rows = iter(shard)
    number = 0
    while True:
        place = Place(path=path, record=number)
        try:
            row = next(rows)
        except StopIteration:
            return
        except _errors() as error:
            message = f"the library cannot read on from here ({type(error).__name__})"
            yield quarantined(place, RecordError("broken_dataset", message))
            return
        yield _record(row, place, source, limits)
        number += 1


def _record(row: dict[str, Any], place: Place, source: DatasetSource, limits: Limits) -> Record:
    if source.text_field in row and row[source.text_field] is None:
        return dropped(place, "empty", "the text is null")
    try:
        text = text_of(row, source.text_field)
    except RecordError as error:
        return quarantined(place, error)
    url, own = name_of(row.get(source.url_field)), name_of(row.get(source.id_field))
    about = {"fields": fields(row, source.text_field, source.id_field, source.url_field)}
    return document(text, place, limits, identity=own, url=url, about=about)


def _errors() -> tuple[type[Exception], ...]:
    import datasets
    import pyarrow as pa

    return (OSError, ValueError, TypeError, KeyError, RuntimeError, datasets.exceptions.DatasetsError, pa.ArrowException)


def _stream(source: DatasetSource) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(
            source.path, name=source.config_name, split=source.split, revision=source.revision, streaming=True
        )
    except _errors() as error:
        raise InputError(
            f"source {source.name!r}: the data set {source.path!r} cannot be opened ({type(error).__name__}: {error}); check "
            "its name, revision, config_name and split, and the network"
        ) from error
