"""Data sets on a hub: a name with a revision, streamed by the `datasets` library.

Guarantee: no code of a data set is run (since version 4 the library cannot), and its data are not copied to disk. A name needs
a revision, so that a corpus records what it was made of. The library is asked for nothing but files of the data set itself:
what its card or its data name elsewhere is refused, or not looked at.
Cost: importing the library takes a second; memory of one record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.errors import ConfigError, InputError, RecordError
from tokenmill.pipeline.collect import card
from tokenmill.pipeline.collect.jsonl import text_of
from tokenmill.pipeline.collect.listing import InputFile
from tokenmill.pipeline.collect.plan import InputSplit, Piece
from tokenmill.pipeline.collect.records import Limits, Place, Record, dropped, of_row, quarantined
from tokenmill.pipeline.config import DatasetSource

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
ON_A_HUB = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")


def check(source: DatasetSource) -> None:
    """Raises ConfigError if the path of a source is no name on a hub, or has no revision."""
    if source.revision is None:
        raise ConfigError(
            f"source {source.name!r}: {source.path!r} is not a local folder, so it is a data set on a hub; "
            "set its revision (a commit's hash), so that the corpus can be built again"
        )
    if not ON_A_HUB.fullmatch(source.path):
        raise ConfigError(f"source {source.name!r}: {source.path!r} is neither a folder nor a name on a hub (owner/name)")


def identity(source: DatasetSource) -> str:
    """What identifies a data set on a hub."""
    return f"{source.path}@{source.revision}"


def divide(source: DatasetSource) -> list[InputSplit]:
    """One split per shard of a data set on a hub, as the library counts shards. Raises InputError."""
    count = int(_stream(source).num_shards)
    file = InputFile(
        path=source.path, name=source.split, kind="dataset", codec="", size_bytes=0, mtime_ns=0, ctime_ns=0, inode=0
    )
    return [
        InputSplit(source=source.name, pieces=(Piece(file=file, begin=number, end=count, documents=1),))
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
            message = f"the library cannot read on from here ({type(error).__name__}); how much is missing is unknown"
            # As in files that are cut, as much as was read is assumed.
            yield quarantined(place, RecordError("broken_dataset", message), estimate=max(1, number, piece.documents))
            return
        yield _record(row, place, source, limits)
        number += 1


def _record(row: dict[str, Any], place: Place, source: DatasetSource, limits: Limits) -> Record:
    field = textfield.parse(source.text_field)
    try:
        text = text_of(row, field)
    except RecordError as error:
        return quarantined(place, error)
    if text is None:
        return dropped(place, "empty", "the text is null")
    return of_row(text, field.without(row), place, source, limits)


def _errors() -> tuple[type[Exception], ...]:
    import datasets
    import pyarrow as pa

    return (OSError, ValueError, TypeError, KeyError, RuntimeError, datasets.exceptions.DatasetsError, pa.ArrowException)


def _stream(source: DatasetSource) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        _check_card(source)
        builder = datasets.load_dataset_builder(source.path, name=source.config_name, revision=source.revision)
        _check_files(builder.config.data_files or {}, source)
        stream = builder.as_streaming_dataset(split=source.split)
    except InputError:
        raise
    except _errors() as error:
        raise InputError(
            f"source {source.name!r}: the data set {source.path!r} cannot be opened ({type(error).__name__}: {error}); check "
            "its name, revision, config_name and split, and the network"
        ) from error
    # Decoding an image, a sound or a film would open whatever path or address the data give for it.
    return stream.decode(False) if stream.features else stream


def _check_files(found: Mapping[str, Sequence[str]], source: DatasetSource) -> None:
    """Raises InputError for files that are not in the repository itself, and for archives.

    The library joins the names in an archive to its address, so that a name may lead to any other address.
    """
    for name in found.get(source.split, ()):
        if not name.startswith("hf://") or "::" in name or name.lower().endswith(ARCHIVES):
            where = f"source {source.name!r}: the data set {source.path!r}"
            raise InputError(f"{where} has data in {name.rpartition('/')[2]!a}; archives and files elsewhere are not read")


def _check_card(source: DatasetSource) -> None:
    """Raises InputError if the card of a data set on a hub names data elsewhere, before the library asks for these."""
    import datasets
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    where = f"source {source.name!r}: the data set {source.path!r}"
    for name, parse in ((card.README, card.configurations), (card.OTHER_CARD, card.of_yaml)):
        try:
            path = hf_hub_download(
                source.path, name, repo_type="dataset", revision=source.revision, endpoint=datasets.config.HF_ENDPOINT
            )
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            continue
        parse(Path(path).read_text(encoding="utf-8", errors="replace"), where)
