"""Splits: divides the input into tasks, each of which gives one shard of about `shard_bytes` of text.

Purpose: one huge file is read in parallel, many small files are read together, and added files disturb little.
Guarantee: small files are grouped in the order of their names. A hash of a file's own name and its size decide whether the
file ends its group, so an added file changes the group it falls in and no other. A split is named by its first file and range,
never by a number.
Cost: one hash per file; reading the footers of Parquet files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tokenmill.pipeline.collect.faults import DEFLATED
from tokenmill.pipeline.collect.kinds import BY_LINE, Kind
from tokenmill.pipeline.collect.listing import InputFile
from tokenmill.pipeline.collect.parser.attempts import row_groups

TEXT_SHARE: dict[Kind, float] = {"html": 0.3, "warc": 0.3, "arc": 0.3, "wacz": 1.2, "python": 0.12, "description": 0.8}
"""Bytes of text per byte of file (other kinds: 1), measured: 88.7 MB of documentation pages gave 25.6 MB, 296 MB of modules
37 MB."""
RECORD_TEXT_BYTES = 1_000
"""Assumed bytes per document if the number of records is unknown before reading. It is rather low, so that a cap on documents
seldom excludes documents that would fit."""
ONE_DOCUMENT = ("text", "html", "python", "description")


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A file or a part of it: bytes [begin, end); for Parquet row groups [begin, end); for a data set shard `begin` of `end`
    shards.
    """

    file: InputFile
    begin: int
    end: int
    before: int = 0
    """Line ends (kinds with one record per line) or rows (Parquet) before `begin`."""
    text_bytes: int = 0
    """Estimated bytes of text."""
    documents: int = 1
    """Estimated number of documents."""

    @property
    def input_bytes(self) -> int:
        """Bytes of the file in this piece, for progress."""
        if self.file.kind in ("parquet", "dataset"):
            return self.file.size_bytes if self.begin == 0 else 0
        return self.end - self.begin


@dataclass(frozen=True, kw_only=True)
class InputSplit:
    """Pieces in order. A split is one task and gives one shard, or several if a file that cannot be divided gives more."""

    source: str
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """`<source>/<hash of the first file and range>`."""
        first = self.pieces[0]
        key = f"{len(first.file.name.encode())}:{first.file.name}:{first.begin}"
        return f"{self.source}/{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"

    @property
    def input_bytes(self) -> int:
        return sum(piece.input_bytes for piece in self.pieces)

    @property
    def text_bytes(self) -> int:
        return sum(piece.text_bytes for piece in self.pieces)

    @property
    def documents(self) -> int:
        return sum(piece.documents for piece in self.pieces)


Local = Callable[[InputFile], InputFile]
Marks = Mapping[str, Sequence[int]]
"""For each large uncompressed file with one record per line, by path: the line ends before byte k * shard_bytes."""


def divide(
    source: str, files: Iterable[InputFile], *, shard_bytes: int, text_field: str, marks: Marks, local: Local | None = None
) -> list[InputSplit]:
    """The splits of a source's files. `files` must be in order.

    `local`: makes a local file of an object in a store. Without it, Parquet files in stores are not looked into.
    """
    splits: list[InputSplit] = []
    group: list[Piece] = []

    def close() -> None:
        if group:
            splits.append(InputSplit(source=source, pieces=tuple(group)))
            group.clear()

    for file in files:
        pieces = _pieces(file, shard_bytes, text_field, marks.get(file.path, ()), local)
        if len(pieces) > 1 or pieces[0].text_bytes >= shard_bytes:
            close()
            splits += [InputSplit(source=source, pieces=(piece,)) for piece in pieces]
            continue
        group += pieces
        # Ends a group after `shard_bytes` on average. The decision depends only on the file itself.
        if unit_hash(file.name, "group") * shard_bytes < max(1, pieces[0].text_bytes):
            close()
    close()
    return splits


def unit_hash(name: str, salt: str) -> float:
    """A number in [0, 1) that depends only on the name and the salt."""
    digest = hashlib.blake2b(f"{salt}:{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


def _pieces(file: InputFile, shard_bytes: int, text_field: str, marks: Sequence[int], local: Local | None) -> list[Piece]:
    if file.kind == "parquet" and file.remote is not None and local is None:
        return [_unseen(file)]
    if file.kind == "parquet":
        return _row_groups(file, shard_bytes, text_field, local)
    growth = TEXT_SHARE.get(file.kind, 1.0) * (DEFLATED if file.codec else 1.0)
    whole = int(file.size_bytes * growth)
    divisible = (file.kind in BY_LINE and not file.codec) or (file.kind == "warc" and file.codec)
    step = max(1, int(shard_bytes / growth)) if divisible and whole > shard_bytes else max(1, file.size_bytes)
    return [
        Piece(
            file=file,
            begin=begin,
            end=(end := min(begin + step, file.size_bytes)),
            before=marks[number] if number < len(marks) else 0,
            text_bytes=(text_bytes := int((end - begin) * growth)),
            documents=1 if file.kind in ONE_DOCUMENT else max(1, text_bytes // RECORD_TEXT_BYTES),
        )
        for number, begin in enumerate(range(0, max(1, file.size_bytes), step))
    ]


def _unseen(file: InputFile) -> Piece:
    """A Parquet file of which only the size is known, for estimates."""
    text_bytes = int(file.size_bytes * DEFLATED)
    return Piece(file=file, begin=0, end=1 << 31, text_bytes=text_bytes, documents=max(1, text_bytes // RECORD_TEXT_BYTES))


def _row_groups(file: InputFile, shard_bytes: int, text_field: str, local: Local | None) -> list[Piece]:
    """Row groups combined to about `shard_bytes`. An unreadable file is one piece; reading it reports the error."""
    groups = row_groups(file if local is None else local(file), text_field)
    if not groups:
        return [Piece(file=file, begin=0, end=1 << 31)]
    pieces: list[Piece] = []
    begin = rows = size = before = 0
    for number, (group_rows, group_bytes) in enumerate(groups, 1):
        rows, size = rows + group_rows, size + group_bytes
        if size >= shard_bytes or number == len(groups):
            pieces.append(Piece(file=file, begin=begin, end=number, before=before, text_bytes=size, documents=max(1, rows)))
            begin, before, rows, size = number, before + rows, 0, 0
    return pieces


def allot(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided into integers in proportion to `weights`, by largest remainder. Ties go to the first."""
    weights = [max(1, weight) for weight in weights]
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda number: (-(total * weights[number] % whole), number))
    for number in by_remainder[: total - sum(shares)]:
        shares[number] += 1
    return shares
