"""The decoders of the Encoding Standard, in terms of Python's codecs.

Purpose: labels mean on the web what browsers take them for, and tables of browsers have more rows than Python's. Here Python's
codec decodes what both decode alike, an error handler decodes what only the web has, and a translation mends the rest.
Source: https://encoding.spec.whatwg.org. All sequences of one and two bytes, of three in EUC-JP, and of four up to U+FFFF in
GB 18030 were compared with the TextDecoder of Chromium: all decode alike but A2 41 and A2 42 of Big5, which become "／" and
"＼" where browsers have "∕" and "﹨", 8F A2 B7 of EUC-JP ("~" for "～"), and 81 35 F4 37 of GB 18030.
Guarantee: malformed bytes become U+FFFD as the standard says: in UTF-8 one for each maximal part of a sequence; elsewhere one
for each sequence, and an ASCII byte in it stays. Nothing else is lost, and nothing raises an error.
Cost: 250 MB/s and more, of ISO-2022-JP 26 MB/s; 1 microsecond for each malformed sequence of several bytes.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Callable

REPLACEMENT = "\ufffd"
Malformed = Callable[[bytes, int], tuple[str, int]]
"""Gives, for the bytes and the place of a sequence that Python's codec does not know, its text and where to go on."""

MOST_MALFORMED = 1 << 20
"""Bytes with more malformed sequences, or escapes, are left to Python's decoder, which is faster. Such a text is of no use."""
SINGLE = {
    "ibm866": "cp866",
    "iso-8859-8-i": "iso8859_8",
    "macintosh": "mac_roman",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac_cyrillic",
}
"""Python's names of encodings with one byte a character, where they differ."""
SINGLE_MENDED = {"koi8-u": {0xAE: "ў", 0xBE: "Ў"}, "windows-1255": {0xCA: "\u05ba"}}
MULTI = {
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "euc-jp": "euc_jp",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
}
"""Python's names of encodings with several bytes a character."""
GB_MENDED = dict(
    zip(
        "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
        "\u3000︐︒︑︓︔︕︖︗︘︙ḿ龴龵龶龷龸龹龺龻",
        strict=True,
    )
)
"""Characters that had no place in Unicode when Python's table was made."""
MENDED = {
    "gbk": GB_MENDED,
    "gb18030": GB_MENDED,
    "big5": dict(zip("•､‾∼♁☉¥¢£", "‧﹑¯～⊕⊙￥￠￡", strict=True)),
    "euc-jp": dict(zip("〜‖−¢£¬", "～∥－￠￡￢", strict=True)),
    # Python decodes four bytes that are no characters.
    "shift_jis": dict.fromkeys("\uf8f0\uf8f1\uf8f2\uf8f3", REPLACEMENT),
}
"""Characters of Python's decoders that browsers read as others."""
BIG5_MORE = (
    "877a 㡵𡵓𣚞𦀡㻬𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆㓦珄𥶹瓆鿇垳 "
    "87c4 䤯呌䄱𣚎堘穲𧭥讏䚮𦺈䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿拁灮鿋 8e69 箸 8e6f 簆 8e7e 糎 8eab 緒 8eb4 縝 8ecd 者 8ed0 耨 "
    "8f57 菁 8f69 蒨 8f6e 萏 8fcb 覦覩 8ffe 起 906d 都 907a 銹 90dc 靜 90f1 響 91bf 鼖 9244 蔃 92af 兙兛兝兞 92c8 鍮 "
    "92d1 瑹 9447 浧 94ca 禛 95d9 邗 9644 靝 96ed 瀞 96fc 嬨 9b76 爁 9b78 矗 9b7b 纇 9bc6 駖 9bde 釔 9bec 惞 9bf6 澶 "
    "9c42 輶 9c53 侻 9c62 營 9c68 鄄 9c6b 鷰 9c77 菏 9cbc 尐秣 9cd0 婧 9d57 輋 9d5a 筑 9dc4 拐 9ea9 恢 9eef 痹 9efd 汊 "
    "9f60 鬮 9f66 鼗 9fcb 僭 9fd8 弌 a063 蠏 a077 拎 a0d5 瑨 a0df 煢 a0e4 牐 a3c0 ␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟␡€ "
    "c6cf 廴 c6d3 无 c6d5 癶 c6d7 隶 c6de 〃仝 fa5f 倩 fa66 偽 fabd 包 fac5 卄 fad5 卿 fb48 嘅 fbb8 婷 fbf3 幵 fbf9 廐 "
    "fc4f 彘 fc6c 悤 fcb9 撐 fce2 晴 fcf1 杞 fdb7 沜渝 fdbb 港 fdf1 煮 fe52 猪 fe6f 瑜 feaa 瓩 fedd 砉"
)
"""Runs of the web's Big5 that Python's table lacks: the code of the first character in hexadecimal, and the characters."""
JIS_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B])")
"""The escapes of ISO-2022-JP."""
SEVEN_BITS = bytes(0x80 if byte in (0x0E, 0x0F, 0x1B) else byte for byte in range(256))
KATAKANA = bytes(byte + 0x80 if 0x21 <= byte <= 0x5F else 0xA0 for byte in range(256))
KANJI = bytes(byte + 0x80 if 0x21 <= byte <= 0x7E else 0xFF for byte in range(256))
"""What the bytes between escapes are in ASCII, Shift_JIS and EUC-JP; malformed ones are malformed there, too."""


def decoded(data: bytes, name: str) -> str:
    """The text of `data` in the encoding that the standard calls `name`, without a byte order mark."""
    if name == "utf-8":
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
    if name in ("utf-16le", "utf-16be"):
        return data.decode(name, "replace").removeprefix("\ufeff")
    if name == "replacement":
        return REPLACEMENT if data else ""
    if name == "iso-2022-jp":
        return _iso_2022_jp(data)
    if name in MULTI:
        text = data.decode(MULTI[name], "replace")
        if 0 < text.count(REPLACEMENT) <= MOST_MALFORMED:
            text = data.decode(MULTI[name], _handler(name))
        for theirs, ours in MENDED.get(name, {}).items():
            text = text.replace(theirs, ours)
        return text
    return codecs.charmap_decode(data, "strict", _table(name))[0]


@functools.cache
def _table(name: str) -> str:
    """The 256 characters of an encoding with one byte a character. Bytes 80 to 9F that Windows leaves open are controls."""
    if name == "x-user-defined":
        return "".join(map(chr, (*range(128), *range(0xF780, 0xF800))))
    mended = SINGLE_MENDED.get(name, {})
    table = []
    for byte in range(256):
        character = mended.get(byte) or bytes([byte]).decode(SINGLE.get(name, name), "replace")
        table.append(chr(byte) if character == REPLACEMENT and byte < 0xA0 else character)
    return "".join(table)


@functools.cache
def _handler(name: str) -> str:
    """The name of the error handler of an encoding, which is registered at the first call."""
    malformed = MALFORMED[name]

    def handle(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        return malformed(error.object, error.start)

    handler = f"tokenmill.{name}"
    codecs.register_error(handler, handle)
    return handler


def _pair(data: bytes, at: int) -> tuple[str, int]:
    """A malformed pair of bytes: an ASCII byte in it is read again."""
    if at + 1 == len(data) or data[at + 1] < 0x80:
        return REPLACEMENT, at + 1
    return REPLACEMENT, at + 2


def _gb18030(data: bytes, at: int) -> tuple[str, int]:
    first, *rest = data[at : at + 4]
    if first == 0x80:
        return "€", at + 1
    if first == 0xFF:
        return REPLACEMENT, at + 1
    if rest and 0x30 <= rest[0] <= 0x39:
        if len(rest) < 3 and (len(rest) < 2 or 0x81 <= rest[1] <= 0xFE):
            return REPLACEMENT, len(data)
        whole = 0x81 <= rest[1] <= 0xFE and 0x30 <= rest[2] <= 0x39
        return REPLACEMENT, at + (4 if whole else 1)
    return _pair(data, at)


def _big5(data: bytes, at: int) -> tuple[str, int]:
    more = _big5_more().get(data[at : at + 2])
    if more:
        return more, at + 2
    return (REPLACEMENT, at + 1) if data[at] in (0x80, 0xFF) else _pair(data, at)


@functools.cache
def _big5_more() -> dict[bytes, str]:
    found = {}
    words = BIG5_MORE.split()
    for code, characters in zip(words[::2], words[1::2], strict=True):
        lead, trail = bytes.fromhex(code)
        place = lead * 157 + trail - (0x40 if trail < 0x7F else 0x62)
        for number, character in enumerate(characters, place):
            lead, trail = divmod(number, 157)
            found[bytes([lead, trail + (0x40 if trail < 0x3F else 0x62)])] = character
    return found


def _euc_jp(data: bytes, at: int) -> tuple[str, int]:
    first, *rest = data[at : at + 3]
    if first == 0x8F:
        if len(rest) < 2 and (not rest or 0xA1 <= rest[0] <= 0xFE):
            return REPLACEMENT, len(data)
        return _pair(data, at) if not 0xA1 <= rest[0] <= 0xFE else (REPLACEMENT, at + (2 if rest[1] < 0x80 else 3))
    if not 0xA1 <= first <= 0xFE:
        return (REPLACEMENT, at + 1) if first != 0x8E else _pair(data, at)
    if rest and 0xA1 <= rest[0] <= 0xFE and (character := _windows_kanji(first, rest[0])):
        return character, at + 2
    return _pair(data, at)


@functools.cache
def _windows_kanji(first: int, second: int) -> str | None:
    """The character of a code of EUC-JP in the table of Windows, which has the rows of NEC and IBM; None if there is none."""
    lead, trail = divmod((first - 0xA1) * 94 + second - 0xA1, 188)
    code = bytes([lead + (0x81 if lead < 0x1F else 0xC1), trail + (0x40 if trail < 0x3F else 0x41)])
    try:
        return code.decode("cp932")
    except UnicodeDecodeError:
        return None


def _shift_jis(data: bytes, at: int) -> tuple[str, int]:
    return _pair(data, at)


def _euc_kr(data: bytes, at: int) -> tuple[str, int]:
    return (REPLACEMENT, at + 1) if data[at] in (0x80, 0xFF) else _pair(data, at)


MALFORMED: dict[str, Malformed] = {
    "gbk": _gb18030,
    "gb18030": _gb18030,
    "big5": _big5,
    "euc-jp": _euc_jp,
    "shift_jis": _shift_jis,
    "euc-kr": _euc_kr,
}


def _iso_2022_jp(data: bytes) -> str:
    """Text between escapes: ASCII, Roman, katakana of half width, or pairs of seven bits, which are those of EUC-JP."""
    if data.count(b"\x1b") > MOST_MALFORMED:
        return data.decode("iso2022_jp", "replace")
    first, *rest = JIS_ESCAPE.split(data)
    parts = [_ascii(first)]
    for number, (escape, piece) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
        if number and not rest[2 * number - 1]:
            # An escape right after another is malformed: it may hide what follows from a filter.
            parts.append(REPLACEMENT)
        if escape == b"(B":
            parts.append(_ascii(piece))
        elif escape == b"(J":
            parts.append(_ascii(piece).replace("\\", "¥").replace("~", "‾"))
        elif escape == b"(I":
            parts.append(decoded(piece.translate(KATAKANA), "shift_jis"))
        else:
            parts.append(decoded(piece.translate(KANJI), "euc-jp"))
    return "".join(parts)


def _ascii(piece: bytes) -> str:
    return piece.translate(SEVEN_BITS).decode("ascii", "replace")
