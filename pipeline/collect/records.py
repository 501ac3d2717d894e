"""What a reader makes of one record: a document, or a rejected record with the reason.

Purpose: every reader yields these two, and a mark for what is only counted, so nothing gets lost between them.
Guarantee: a document's text is UTF-8, not empty, at most `document_bytes` long, with lines ending in "\\n". Its URL holds no
user and no password. Its metadata is canonical JSON. A record that cannot meet this is rejected. A rejected record says how
many records of the input it stands for and how many bytes were not read; a document says which columns its metadata lacks.
Cost: one encoding of the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.metadata import ENCODE, fields, name_of
from tokenmill.pipeline.collect.urls import without_userinfo

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatasetSource, FilesSource


PREVIEW_BYTES = 200
"""Bytes of a rejected record that are kept, so that users can see what it is."""
MOST_ROWS = 1 << 53
"""Rows and bytes beyond this are claims of a damaged footer."""
RECORD_BYTES = 1_000
"""Assumed bytes per record where nothing of a file could be read, for estimates."""
RATIO = 250
"""Largest growth by decompression. Harmless text compresses less; deflate's own limit is about 1,000."""
ZSTD_WINDOW = 27
"""Window of zstd frames that is read unless a source allows a longer one, as the logarithm to base 2 of its bytes: 128 MiB, as
for zstd itself."""
OTHER_TYPE = "other"
RECORD_TYPES = ("response", "resource", "conversion", "warcinfo", "request", "metadata", "revisit", "continuation", OTHER_TYPE)
"""The types of records in web archives, by ISO 28500; the first three may hold text."""
FREE_BYTES = 8 << 20
"""Bytes of output that the check of the ratio ignores: short runs may be very regular."""
FATAL = {
    "parser_died": "the parser of this record ended without an answer, also when it was tried alone",
    "deadline": "parsing took longer than the deadline, also when it was tried alone",
}
"""Reasons that depend on the machine, with their messages."""


@dataclass(kw_only=True)
class Growth:
    """How much a piece grows while it is decoded, beside compression of the file itself: by dictionaries, by codings of a body.

    A small record may become a large one, forty times over, so all records of a piece share `FREE_BYTES`.
    """

    _read: int = 0
    _produced: int = 0

    def read(self, size_bytes: int) -> None:
        """Count bytes of the file."""
        self._read += max(0, size_bytes)

    def produced(self, size_bytes: int) -> None:
        """Count bytes that were made of them. Raises RecordError (bomb), and does not count them, if they are too many."""
        if self._produced + size_bytes > FREE_BYTES + RATIO * self._read:
            message = (
                f"the content grows more than {RATIO} times: {size_bytes} bytes more, after {self._read} bytes of the file"
            )
            raise RecordError("bomb", message)
        self._produced += size_bytes


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits for one record."""

    document_bytes: int
    """Texts with more bytes are quarantined."""
    condemned: Mapping[str, str] = field(default_factory=dict)
    """Places where a parser died or overran its deadline twice, with the reason. They are quarantined without parsing."""
    announce: Callable[[str], None] | None = None
    """Called with each place before it is parsed."""
    zstd_window: int = ZSTD_WINDOW
    """Longest window of zstd frames, as the logarithm to base 2 of its bytes."""
    extraction: Extraction = field(default_factory=Extraction)
    """How main text is taken out of HTML."""
    growth: Growth = field(default_factory=Growth, compare=False)
    """What the piece that is read has grown so far."""

    @property
    def record_bytes(self) -> int:
        """Most bytes held of a record before its text is known: markup and escapes need room."""
        return 2 * self.document_bytes + 65_536

    def begin(self, place: Place) -> None:
        """Say that what is at `place` is parsed now. Raises RecordError (parser_died, deadline) if it is condemned."""
        if self.announce is not None:
            self.announce(str(place))
        if self.condemned and (reason := self.condemned.get(str(place))):
            raise RecordError(reason, FATAL[reason])


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A record that became a document. `identity` identifies it within its source."""

    identity: str
    url: str | None
    text: bytes
    metadata: str
    left_out: tuple[str, ...] = ()
    """Columns of the record that hold something but are not in the metadata."""
    type: str | None = None
    """Of a record in a web archive: its type."""
    scores: bytes = b""
    """Of a web page: those of its blocks (`html.candidates.PageScores`), if they are to be stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """Records that did not become documents: a rule dropped one, or one or more are broken and quarantined."""

    position: str
    reason: str
    message: str
    preview: bytes
    quarantined: bool
    text_bytes: int = 0
    """Bytes of its text, if known; else 0."""
    rows: int = 1
    """Records of the input that it stands for, at least 1. If `estimate` is not 0, more of them may be lost."""
    unread_bytes: int = 0
    """Bytes of the file that were not read because of it. 0 where one record was read and found broken."""
    estimate: int = 0
    """0 if `rows` is exact. Otherwise about how many records are lost, at least `rows`: the ceiling weighs so many."""
    instead: str | None = None
    """Of a record without the column with the text: see `RecordError`."""
    type: str | None = None
    """Of a record in a web archive: its type, if that could be read."""

    @property
    def at_least(self) -> bool:
        """Whether `rows` is a lower bound."""
        return self.estimate > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A record of a web archive whose type holds no text, such as a request. It is counted by its type, and else no record."""

    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainLines:
    """Lines of a plain text file, each a document of its own, without an object for each."""

    path: str
    first: int
    """The number of the first one."""
    data: bytes
    """The lines, with "\\n" between them. An empty one is no document."""
    type: str | None = None
    """None, as of every record that is in no web archive."""

    @property
    def documents(self) -> Iterator[Document]:
        """The same as a document each, as `document` makes them."""
        place = ENCODE({"path": self.path})[:-1]
        for number, line in enumerate(self.data.split(b"\n"), self.first):
            if line:
                yield Document(identity=f"{self.path}#{number}", url=None, text=line, metadata=f'{place},"record":{number}}}')

    @property
    def count(self) -> int:
        """The number of documents."""
        found = self.data.split(b"\n")
        return len(found) - found.count(b"")


Record = Document | Rejected | Skipped | PlainLines


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a record is: the path below the source's root, and its position in that file (None: it is the whole file)."""

    path: str
    record: int | str | None = None

    def __str__(self) -> str:
        return self.path if self.record is None else f"{self.path}#{self.record}"


def dropped(place: Place, reason: str, message: str, preview: bytes = b"", text_bytes: int = 0) -> Rejected:
    """A record that a rule drops."""
    return _rejected(place, reason, message, preview, quarantined=False, text_bytes=text_bytes)


def quarantined(
    place: Place,
    error: RecordError,
    preview: bytes = b"",
    text_bytes: int = 0,
    *,
    rows: int = 1,
    unread_bytes: int = 0,
    estimate: int = 0,
) -> Rejected:
    """A record, or the `rows` that a fault takes with it, quarantined as broken. See `Rejected` for the numbers."""
    rows = min(max(1, rows), MOST_ROWS)
    return _rejected(
        place,
        error.reason,
        str(error),
        preview,
        quarantined=True,
        text_bytes=text_bytes,
        rows=rows,
        unread_bytes=min(max(0, unread_bytes), MOST_ROWS),
        estimate=max(rows, estimate) if estimate else 0,
        instead=None if error.instead is None else _encodable(error.instead),
    )


def _rejected(
    place: Place, reason: str, message: str, preview: bytes, *, quarantined: bool, instead: str | None = None, **numbers: int
) -> Rejected:
    return Rejected(
        position=_encodable(str(place)),
        reason=reason,
        message=_encodable(message),
        preview=preview[:PREVIEW_BYTES],
        quarantined=quarantined,
        instead=instead,
        **numbers,  # type: ignore[arg-type]
    )


def _encodable(text: str) -> str:
    """With escapes in place of halves of surrogate pairs, which UTF-8 cannot spell."""
    return text.encode(errors="backslashreplace").decode()


def document(
    text: str,
    place: Place,
    limits: Limits,
    *,
    identity: str | None = None,
    url: str | None = None,
    about: Mapping[str, Any] | None = None,
    left_out: tuple[str, ...] = (),
    scores: bytes = b"",
) -> Record:
    """The record at `place` with the text `text`. Its metadata hold its place and `about`, without values that are None."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    url = without_userinfo(url) if url else None
    try:
        data = text.encode()
        for name in (identity, url):
            (name or "").encode()
    except UnicodeEncodeError as error:
        message = f"holds half of a surrogate pair, {error.object[error.start]!a}, which UTF-8 cannot encode"
        preview = text[:PREVIEW_BYTES].encode(errors="backslashreplace")
        return quarantined(place, RecordError("unpaired_surrogate", message), preview)
    if len(data) > limits.document_bytes:
        return quarantined(place, too_long(len(data), limits.document_bytes), data, len(data))
    if not text or text.isspace():
        return dropped(place, "empty", "holds no text", data, len(data))
    plain = {"path": place.path, "record": place.record, **(about or {})}
    metadata = ENCODE({key: value for key, value in plain.items() if value is not None})
    return Document(identity=identity or str(place), url=url, text=data, metadata=metadata, left_out=left_out, scores=scores)


def of_row(text: str, row: Mapping[str, Any], place: Place, source: FilesSource | DatasetSource, limits: Limits) -> Record:
    """The record of a row with named columns: one names it, one is its URL, and the others go into the metadata if they fit."""
    identity, url = name_of(row.get(source.id_field)), name_of(row.get(source.url_field))
    if identity is not None and source.id_scope == "file":
        identity = f"{place.path}#id:{identity}"
    kept, left_out = fields(row, source.text_field, source.id_field, source.url_field)
    return document(text, place, limits, identity=identity, url=url, about={"fields": kept}, left_out=left_out)


def place_of(metadata: str) -> Place:
    """The place that `document` wrote into the metadata."""
    plain = json.loads(metadata)
    return Place(path=plain["path"], record=plain.get("record"))


def too_long(size_bytes: int, cap_bytes: int) -> RecordError:
    """The error of a record over a cap."""
    return RecordError("too_long", f"{size_bytes} bytes, at most {cap_bytes} are allowed (collect.max_document_bytes)")
