"""Data sets in folders: the files of a configuration and a split, read like other files.

Guarantee: every file that is read stands in the folder and is part of the input's hash. The library `datasets` has no part in
it, since it opens what a card or the data name, and asks the network; so no request is made and no code of the data set runs.
Files are read one at a time: one with other columns, or a broken one, costs no row of another.
Cost: one stat per file, and one reading of README.md.
"""

from __future__ import annotations

import codecs
import os
from collections import Counter
from pathlib import Path

from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect import card
from tokenmill.pipeline.collect.entries import Entry, Seen, identity_of, shown, told
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.kinds import CODECS, RECORDS, Kind, kind_of
from tokenmill.pipeline.collect.listing import Listing, describe, name_below
from tokenmill.pipeline.config import DatasetSource

KINDS: dict[str, Kind] = {**RECORDS, ".txt": "lines"}
"""Kinds of files in local data sets. As in the library, each line of a text file is a record."""
ORDER = tuple(dict.fromkeys(("parquet", *KINDS.values())))
"""Which kind is read if several are as frequent."""
KNOWN = f"{' '.join(KINDS)}, those that are no tables of Arrow's also with {' '.join(CODECS)}"
MOST_CARD_BYTES = 1 << 22
"""What is read of README.md."""


def listing(source: DatasetSource, own: Path | None = None) -> Listing:
    """The files of a data set in a folder, called `<split>/<number>`. `own`: the folder of the corpus that is built.

    Raises
    ------
    ConfigError
        There is no such configuration or split.
    InputError
        The folder holds no data of a kind that can be read, or its card names data outside.
    """
    root = os.path.abspath(source.path)
    seen = Seen(roots=(os.path.realpath(root),), follow_links=source.follow_links, own=identity_of(own))
    seen.folder(root)
    reasons = told(seen.left_out.values())
    where = f"source {source.name!r}: the data set {source.path!r}"
    if not seen.entries:
        raise InputError(f"{where} holds no file{reasons}")
    names = {name_below(path, root): path for path in seen.entries}
    stated = card.configurations(_text(seen.entries[names[card.README]]), where) if card.README in names else []
    configuration = card.chosen(stated, source.config_name, where)
    if configuration is not None and configuration.options:
        raise InputError(
            f"{where} sets {', '.join(map(ascii, configuration.options))} for its readers; convert its files to JSON lines"
        )
    files = _of_one_kind(card.files_of(list(names), configuration, source.split, where))
    if not files:
        raise InputError(f"{where} holds nothing that can be read in the split {source.split!r}{reasons}; known kinds: {KNOWN}")
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
    known = [(name, how) for name in names if (how := kind_of(name, KINDS)) is not None]
    counts = Counter(how[0] for _, how in known)
    most = max(ORDER, key=lambda kind: (counts[kind], -ORDER.index(kind)))
    return [(name, how) for name, how in known if how[0] == most]


def _check_lines(entry: Entry, where: str) -> None:
    """Raises InputError for a .json file that is one array. In most data sets such files have a record a line."""
    with describe(entry, "", "jsonl", "").open() as handle:
        if handle.read(1 << 12).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
            raise InputError(f"{where}: {shown(entry.path)} is one JSON array; write a record a line (`jq -c '.[]'`)")


def _text(entry: Entry) -> str:
    with describe(entry, card.README, "text", "").open() as handle:
        return handle.read(MOST_CARD_BYTES).decode(errors="replace")
