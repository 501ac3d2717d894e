"""Guesses the encoding of bytes that declare none.

Purpose: UTF-8 first, since bytes in other encodings are hardly ever valid UTF-8, and UTF-8 with a few bad bytes is still UTF-8.
Else the statistics of uchardet, which resiliparse contains, say which encoding of the web it is.
Source: uchardet was better and faster than charset-normalizer on 336 texts in 23 encodings; see tests/bench/LOG.md.
Guarantee: time is linear in the bytes; statistics are taken of at most `SAMPLE_BYTES`.
Cost: 1 GB/s for valid UTF-8; else 3 to 7 ms for a document of 16 kB and more, by the sample.
"""

from __future__ import annotations

import re

from resiliparse.parse.encoding import EncodingDetector

from tokenmill.pipeline.collect.charset import decoders
from tokenmill.pipeline.collect.charset.labels import named

SAMPLE_BYTES = 1 << 14
WINDOW_BYTES = 1 << 18
"""The sample is taken from the first windows of so many bytes that hold enough."""
LEAST_BYTES = 2
"""Bytes beyond ASCII from which an encoding other than UTF-8 is guessed."""
GOOD_PER_BAD = 2
"""UTF-8 has about so many good sequences for each malformed one, and one more. Of 3,605 passages of 25 characters and longer in
22 other encodings, none had as many good sequences as malformed ones."""
CUT = re.compile(rb"(?:[\xc2\xc3]|[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})\Z")
"""Sequences that are cut at the end of the data, but for single bytes that are letters in other encodings: "caf\\xe9"."""
ASCII = bytes(range(128))
ENDS = re.compile(rb"[<>\r\n]+")
"""Bytes that are no part of a character, but in ISO-2022-JP, and stand between text and markup."""
JIS_ESCAPE = re.compile(rb"\x1b\$[@B]")
WEB = {
    "cp949": "euc-kr",
    "johab": None,
    "euc_jp": "euc-jp",
    "cp932": "shift_jis",
    "mac-cyrillic": "x-mac-cyrillic",
    "mac_cyrillic": "x-mac-cyrillic",
    "tis-620": "windows-874",
    # A superset of the letters of KOI8-R: Ukrainian has four more.
    "koi8-r": "koi8-u",
    "big5hkscs": "big5",
}
"""What the detector calls otherwise than the web. None, and whatever the web does not have, is no answer."""
NEVER = ("utf-8", "utf-16le", "utf-16be", "iso-2022-jp", "replacement")
"""Encodings that are told in other ways."""


def utf8(data: bytes) -> str | None:
    """The text of bytes that are UTF-8, malformed sequences as U+FFFD; None if the bytes are something else."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    bad = text.count(decoders.REPLACEMENT)
    good = len(text) - (len(data) - high_bytes(data)) - bad
    # The data may end within a character, which speaks for UTF-8.
    cut = CUT.search(data[-3:]) is not None
    bad -= cut
    return text if (good or cut) and good >= GOOD_PER_BAD * bad - 1 else None


def high_bytes(data: bytes) -> int:
    """The number of bytes beyond ASCII."""
    return len(data.translate(None, ASCII))


def detect(data: bytes) -> str | None:
    """The standard's name of the encoding that bytes other than UTF-8 are in; None if they do not say enough."""
    if data.isascii():
        return "iso-2022-jp" if JIS_ESCAPE.search(data) else None
    sample = _sample(data)
    if high_bytes(sample) < LEAST_BYTES:
        return None
    detector = EncodingDetector()
    detector.update(sample)
    found: str | None = detector.encoding(html5_compatible=False)
    name = WEB[found] if found in WEB else named(found or "")
    if name is None or name in NEVER:
        return None
    # More than one malformed sequence in twenty bytes beyond ASCII: the guess was bad.
    return None if decoders.decoded(sample, name).count(decoders.REPLACEMENT) * 20 > high_bytes(sample) else name


def _sample(data: bytes) -> bytes:
    """Pieces of text with bytes beyond ASCII, without markup between them."""
    pieces: list[bytes] = []
    size = 0
    for begin in range(0, len(data), WINDOW_BYTES):
        for piece in ENDS.split(data[begin : begin + WINDOW_BYTES]):
            if not piece.isascii():
                pieces.append(piece)
                size += len(piece)
                if size >= SAMPLE_BYTES:
                    return b"\n".join(pieces)[:SAMPLE_BYTES]
    return b"\n".join(pieces)
