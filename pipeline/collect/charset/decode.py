"""Bytes of any encoding to text, and what is known of the encoding.

Purpose: one way from bytes to text for files and web archives.
Source: the order of evidence is that of the HTML standard
(https://html.spec.whatwg.org/multipage/parsing.html#determining-the-character-encoding); bytes that indicate binary data are
those of the MIME Sniffing standard.
Guarantee: whatever is declared, the text is whole: malformed bytes become U+FFFD, and a page full of them has a reason to be
dropped (`Faults.reason`). Time is linear in the bytes.
Cost: that of `decoders`; pages that declare nothing and are not UTF-8 cost a detection.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Literal

from tokenmill.pipeline.collect.charset import declared, decoders, detect
from tokenmill.pipeline.collect.charset.labels import BLANKS, named

Evidence = Literal["bom", "header", "meta", "xml", "utf-8", "detection", "default"]
DEFAULT = "windows-1252"
"""What browsers take pages for that declare nothing and tell nothing."""
SNIFFED_BYTES = 1_445
"""Bytes of a resource that the MIME Sniffing standard looks at."""
BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
MARKS: tuple[tuple[bytes, str, Evidence], ...] = (
    (codecs.BOM_UTF8, "utf-8", "bom"),
    (codecs.BOM_UTF16_LE, "utf-16le", "bom"),
    (codecs.BOM_UTF16_BE, "utf-16be", "bom"),
    (b"<\0?\0x\0", "utf-16le", "xml"),
    (b"\0<\0?\0x", "utf-16be", "xml"),
)
"""How byte order marks, and XML declarations in UTF-16, begin."""
WIDE = ("utf-16le", "utf-16be")
FREE_FAULTS = 8
"""So many faults and one in a hundred characters are let through."""
CONTINUING = "\u0080-\u00bf" + decoders.decoded(bytes(range(0x80, 0xA0)), DEFAULT)
"""The bytes 80 to BF in ISO-8859-1 and in windows-1252, within a character class."""
DOUBLED = re.compile(f"[\u00c2-\u00df][{CONTINUING}]|[\u00e0-\u00ef][{CONTINUING}]{{2}}|[\u00f0-\u00f4][{CONTINUING}]{{3}}")
"""A character beyond ASCII in UTF-8, read as one of these: "Ã©" for "é"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """Text, and the encoding it was decoded from, by the standard's name."""

    text: str
    encoding: str
    evidence: Evidence
    """What told the encoding. "utf-8": the bytes are UTF-8; "default": nothing told it."""
    declared: str | None = None
    """The label that the page or the server declares, also where other evidence comes first; None without a known label."""
    detected: str | None = None
    """What the bytes look like, if they are malformed in the declared encoding, or are UTF-8."""

    @property
    def about(self) -> dict[str, str | None]:
        """What the metadata of a document hold."""
        return {
            "encoding": self.encoding,
            "encoding_from": self.evidence,
            "encoding_declared": self.declared,
            "encoding_detected": self.encoding if self.evidence == "detection" else self.detected,
        }


def is_binary(data: bytes, charset: str | None = None) -> bool:
    """Whether bytes that claim to be text are binary data, judged by their beginning. charset: the label in HTTP headers."""
    marked = _marked(data)
    if named(charset or "") in WIDE or (marked and marked[0] in WIDE):
        return False
    return BINARY.search(data[:SNIFFED_BYTES]) is not None


def _marked(data: bytes) -> tuple[str, Evidence] | None:
    return next(((name, evidence) for mark, name, evidence in MARKS if data.startswith(mark)), None)


def decode(data: bytes, charset: str | None = None, *, markup: bool = False) -> Decoded:
    """Decode a page or a text.

    Evidence in this order: byte order mark, `charset` (from HTTP headers), a declaration in the first 1,024 bytes if `markup`,
    characters beyond ASCII in UTF-8, a declaration further in, detection, and the web's default.
    """
    inside = declared.prescan(data) if markup else None
    header = named(charset or "")
    label = charset.strip(BLANKS).lower() if charset and header else inside[0] if inside else None
    marked = _marked(data)
    if marked and (marked[1] == "bom" or not header):
        return _as_said(data, *marked, label)
    if header:
        return _as_said(data, header, "header", label)
    if inside and (name := declared.meant(*inside)):
        return _as_said(data, name, inside[1], label)
    plain = None if data.isascii() else detect.utf8(data)
    late = declared.later(data) if markup and plain is None else None
    if late and (name := declared.meant(late, "meta")):
        return _as_said(data, name, "meta", late)
    if plain is None and data.isascii() and not detect.JIS_ESCAPE.search(data):
        plain = data.decode("ascii")
    if plain is not None:
        return Decoded(text=plain, encoding="utf-8", evidence="utf-8")
    if name := detect.detect(data):
        return Decoded(text=decoders.decoded(data, name), encoding=name, evidence="detection")
    return Decoded(text=decoders.decoded(data, DEFAULT), encoding=DEFAULT, evidence="default")


def _as_said(data: bytes, name: str, evidence: Evidence, label: str | None) -> Decoded:
    text = decoders.decoded(data, name)
    detected = None
    if not data.isascii() and (name != "utf-8" or decoders.REPLACEMENT in text):
        if detect.utf8(data) is not None:
            detected = "utf-8"
        elif decoders.REPLACEMENT in text:
            detected = detect.detect(data)
    return Decoded(text=text, encoding=name, evidence=evidence, declared=label, detected=detected if detected != name else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """How many characters of a text stand for something else."""

    characters: int
    malformed: int
    """Characters U+FFFD: bytes that are malformed in the encoding used."""
    doubled: int
    """Characters that were encoded twice, as "Ã©" for "é"."""

    @property
    def reason(self) -> tuple[str, str] | None:
        """Why the text is of no use, and a message: more than one fault in a hundred characters, beside `FREE_FAULTS`."""
        for number, reason, what in (
            (self.malformed, "malformed_text", "are U+FFFD: the bytes are malformed in the encoding used"),
            (self.doubled, "double_encoded", "are UTF-8 that was read as windows-1252 and encoded again, as Ã© for é"),
        ):
            if number > FREE_FAULTS + self.characters // 100 or 0 < self.characters <= 2 * number:
                return reason, f"{number} of {self.characters} characters {what}"
        return None

    @property
    def about(self) -> dict[str, int | None]:
        """What the metadata of a document hold."""
        return {"encoding_malformed": self.malformed or None, "encoding_doubled": self.doubled or None}


def faults(text: str) -> Faults:
    """Count what decoding spoiled."""
    if text.isascii():
        return Faults(characters=len(text), malformed=0, doubled=0)
    doubled = sum(1 for _ in DOUBLED.finditer(text))
    return Faults(characters=len(text), malformed=text.count(decoders.REPLACEMENT), doubled=doubled)
