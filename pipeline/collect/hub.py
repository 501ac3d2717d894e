"""Data sets: a local folder, read like other files, or a name on a hub with a revision, streamed by the `datasets` library.

Guarantee: no code of a data set is run (since version 4 the library cannot), and its data are not copied to disk. What a data
set names as its data lies inside it (`card`): a local one is read without the library and without a request, a file at a time,
and each file is part of the input's hash. A name on a hub needs a revision, so that a corpus records what it was made of.
Cost: for a hub, importing the library takes a second; memory of one record.
"""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import ConfigError, InputError, RecordError
from tokenmill.pipeline.collect import card
from tokenmill.pipeline.collect.entries import Entry, Seen, identity_of, shown
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.jsonl import text_of
from tokenmill.pipeline.collect.listing import CODECS, InputFile, Kind, Listing, describe, name_below
from tokenmill.pipeline.collect.plan import InputSplit, Piece
from tokenmill.pipeline.collect.records import Limits, Place, Record, document, dropped, fields, name_of, quarantined
from tokenmill.pipeline.config import DatasetSource

KINDS: dict[str, Kind] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".txt": "lines",
}
"""Kinds of files in local data sets. As in the library, each line of a text file is a record."""
ORDER = tuple(dict.fromkeys(KINDS.values()))
"""Which kind is read if several are as frequent."""
KNOWN = f"{' '.join(KINDS)}, all but .parquet also with {' or '.join(CODECS)}"
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
MOST_CARD_BYTES = 1 << 22
"""What is read of README.md."""
ON_A_HUB = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*")


def listing(source: DatasetSource, own: Path | None = None) -> Listing:
    """The files of a local data set, called `<split>/<number>`; none for a data set on a hub.

    Raises
    ------
    ConfigError
        There is no such configuration or split, or a name on a hub is none or has no revision.
    InputError
        The folder holds no data of a kind that can be read, or its card names data outside.
    """
    if not os.path.isdir(source.path):
        if source.revision is None:
            raise ConfigError(
                f"source {source.name!r}: {source.path!r} is not a local folder, so it is a data set on a hub; "
                "set its revision (a commit's hash), so that the corpus can be built again"
            )
        if not ON_A_HUB.fullmatch(source.path):
            raise ConfigError(f"source {source.name!r}: {source.path!r} is neither a folder nor a name on a hub (owner/name)")
        return Listing(files=())
    root = os.path.abspath(source.path)
    seen = Seen(
        roots=(os.path.realpath(root),), follow_links=source.follow_links, own=None if own is None else identity_of(own)
    )
    seen.folder(root)
    where = f"source {source.name!r}: the data set {source.path!r}"
    names = {name_below(path, root): path for path in seen.entries}
    stated = card.configurations(_text(seen.entries[names[card.README]]), where) if card.README in names else []
    configuration = card.chosen(stated, source.config_name, where)
    if configuration is not None and configuration.options:
        raise InputError(f"{where} sets {', '.join(configuration.options)} for its readers; convert its files to JSON lines")
    files = _of_one_kind(card.files_of(list(names), configuration, source.split, where))
    if not files:
        raise InputError(f"{where} holds no file of a kind that can be read in the split {source.split!r}; known: {KNOWN}")
    left_out = Counter(seen.left_out.values())
    left_out["not_chosen"] += len(names) - len(files)
    for name, _ in files:
        if name.endswith(".json"):
            _check_lines(seen.entries[names[name]], where)
    described = [
        describe(seen.entries[names[name]], f"{source.split}/{number}", *how) for number, (name, how) in enumerate(files)
    ]
    return Listing(files=tuple(described), left_out=dict(sorted((+left_out).items())), own_corpus=seen.own_seen)


def _of_one_kind(names: list[str]) -> list[tuple[str, tuple[Kind, Codec]]]:
    """Of those files the ones that can be read, of the most frequent kind: as in the library, a data set has one."""
    known = [(name, how) for name in names if (how := _kind_of(name)) is not None]
    counts = Counter(how[0] for _, how in known)
    most = max(ORDER, key=lambda kind: (counts[kind], -ORDER.index(kind)))
    return [(name, how) for name, how in known if how[0] == most]


def _kind_of(name: str) -> tuple[Kind, Codec] | None:
    base, last = os.path.splitext(name)
    codec = CODECS.get(last, "")
    kind = KINDS.get(os.path.splitext(base)[1] if codec else last)
    return None if kind is None or (codec and kind == "parquet") else (kind, codec)


def _check_lines(entry: Entry, where: str) -> None:
    """Raises InputError for a .json file that is one array. In most data sets such files have a record a line."""
    with describe(entry, "", "jsonl", "").open() as handle:
        if handle.read(1 << 12).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
            raise InputError(f"{where}: {shown(entry.path)} is one JSON array; write a record a line (`jq -c '.[]'`)")


def _text(entry: Entry) -> str:
    with describe(entry, card.README, "text", "").open() as handle:
        return handle.read(MOST_CARD_BYTES).decode(errors="replace")


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
