"""Which reader reads a file, and how it is packed: by the endings of its name, or by the `format` of its source.

Guarantee: this is the one table of endings; listings of folders, data sets and `format` all look here. Cost: none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from tokenmill.pipeline.collect.framing import Codec

Kind = Literal[
    "text",
    "html",
    "python",
    "description",
    "lines",
    "separated",
    "jsonl",
    "parquet",
    "arrow",
    "csv",
    "tsv",
    "warc",
    "arc",
    "wacz",
    "dataset",
    "datatrove",
]
RECORDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".tsv": "tsv",
}
KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".rst": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    **RECORDS,
    ".warc": "warc",
    ".wet": "warc",
    ".arc": "arc",
    ".wacz": "wacz",
}
CODECS: dict[str, Codec] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2", ".xz": "xz"}
BY_LINE: tuple[Kind, ...] = ("jsonl", "lines")
"""Kinds with one record per line. An uncompressed file of such a kind can be divided anywhere."""
NOT_PACKED: tuple[Kind, ...] = ("parquet", "arrow", "wacz")
"""Kinds that are read from any place, so that a codec around them would have to be undone first."""
WEB_ARCHIVES: tuple[Kind, ...] = ("warc", "arc", "wacz")
RECORD_KINDS: tuple[Kind, ...] = tuple(dict.fromkeys(RECORDS.values()))
"""Kinds of files whose records have named columns."""
PAGES: tuple[Kind, ...] = ("html", *WEB_ARCHIVES)
"""Kinds that hold pages of HTML."""
TABLES: tuple[Kind, ...] = ("parquet", "arrow", "csv", "tsv")
"""Kinds whose readers need the libraries of tables."""
_WHOLE = " ".join(end for end, kind in KINDS.items() if kind in NOT_PACKED)
KNOWN = f"{' '.join(KINDS)}, all but {_WHOLE} also with {' '.join(CODECS)}"


def kind_of(name: str, kinds: Mapping[str, Kind] = KINDS, declared: Kind | None = None) -> tuple[Kind, Codec] | None:
    """How a file is read, by the endings of its name. None if no reader knows the file.

    `declared`: its kind where its source states that. Then the ending says only how the file is packed.
    """
    base, last = os.path.splitext(name.lower())
    codec = CODECS.get(last, "")
    kind = declared or kinds.get(os.path.splitext(base)[1] if codec else last)
    return None if kind is None or (codec and kind in NOT_PACKED) else (kind, codec)
