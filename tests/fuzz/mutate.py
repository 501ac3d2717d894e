"""Mutations: from whole files to files that are damaged, hostile or both.

Some are blind (bits, cuts, repeated parts, parts of other files); others know where a format keeps its lengths, counts and
nesting. A compressed file is also changed inside and compressed again, since its checksum would stop the other changes.

Guarantee: the same (seed, draw) gives the same bytes. A result has at most `LARGEST` bytes.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fuzz.seeds import Seed, packed

LARGEST = 1 << 20
DAMAGE = ("flip", "poke", "cut", "zero")
"""Mutations that only damage a file: what it held before and does not give now was lost, and has to be counted."""
NUMBERS = (0, 1, -1, 9, 127, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30)
DIGITS = re.compile(rb"\d+")
NESTS = {
    "jsonl": (b"[", b"]", b'{"text":'),
    "html": (b"<div>", b"", b"<b><table>"),
    "csv": (b'"', b'""', b'"\n'),
    "python": (b"(", b")", b"if 1:\n "),
    "config": (b"[", b"]", b"{a="),
    "json": (b"[", b"]", b'{"a":'),
    "warc": (b"WARC/1.0\r\n", b"\r\n\r\n", b"Content-Length: 5\r\n"),
}
HOSTILE = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xa8",
    b"\\ud800", b"\\u0000", b'"', b"'", b"<", b"&#x110000;", b"&#0;", b"<!--", b"<![CDATA[", b"]]>", b"\x1f\x8b\x08", b"PAR1",
    b"\x28\xb5\x2f\xfd", b"NaN", b"-Infinity", b"1e999", b"null", b"{}", b"[]", b"\n\n", b"\x1a", b"WARC/1.1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: br\r\n", b"ffffffffffffffff\r\n", b"<meta charset=utf-7>",
    b"<div a=\"<", b"<plaintext>", b"<svg><style>", b"'''", b'"""', b"\\N{", b"# coding: utf-7\n", b"\x0c", b"../../x", b"https://a@b",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A changed file. `how`: the mutations, for a person. `damaged`: nothing but damage to the file as it lies on the disk."""

    seed: Seed
    data: bytes
    how: str
    damaged: bool


def mutant(seed: Seed, others: Sequence[Seed], draw: random.Random) -> Mutant:
    """Change `seed`; parts may come from `others`."""
    if seed.codec and draw.random() < 0.6:
        inside, how = _several(seed, seed.data, others, draw)
        return Mutant(seed=seed, data=packed(inside, seed.codec)[:LARGEST], how=f"{how} inside", damaged=False)
    if draw.random() < 0.4:
        name = draw.choice(DAMAGE)
        return Mutant(seed=seed, data=BLIND[name](seed.file, draw), how=name, damaged=True)
    data, how = _several(seed, seed.file, others, draw)
    return Mutant(seed=seed, data=data[:LARGEST], how=how, damaged=False)


def _several(seed: Seed, data: bytes, others: Sequence[Seed], draw: random.Random) -> tuple[bytes, str]:
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        known = FORMATS.get(seed.format.partition(".")[0], ())
        choice: Callable[..., bytes] = (
            draw.choice(known) if known and draw.random() < 0.4 else BLIND[draw.choice(sorted(BLIND))]
        )
        name = choice.__name__.strip("_")
        if choice is _splice:
            data = _splice(data, draw, draw.choice(others).file)
        elif choice is _nest:
            data = _nest(data, draw, seed.format.partition(".")[0])
        else:
            data = choice(data, draw)
        data = data[:LARGEST]
        names.append(name)
    return data, "+".join(names)


def _place(data: bytes, draw: random.Random) -> int:
    """A place in the data; often near one of its ends, where headers and footers are."""
    near = draw.random()
    if near < 0.2:
        return min(len(data), draw.randrange(64))
    return max(0, len(data) - draw.randrange(200)) if near < 0.4 else draw.randrange(len(data) + 1)


def _flip(data: bytes, draw: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))) if made else ():
        made[min(_place(data, draw), len(made) - 1)] ^= 1 << draw.randrange(8)
    return bytes(made)


def _poke(data: bytes, draw: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.choice((1, 2, 4))) if made else ():
        made[min(_place(data, draw), len(made) - 1)] = draw.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
    return bytes(made)


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: _place(data, draw)]


def _zero(data: bytes, draw: random.Random) -> bytes:
    at, size = _place(data, draw), draw.choice((4, 64, 512, 4096))
    return data[:at] + bytes(min(size, len(data) - at)) + data[at + size :]


def _drop(data: bytes, draw: random.Random) -> bytes:
    first, last = sorted((_place(data, draw), _place(data, draw)))
    return data[:first] + data[last:]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    at = _place(data, draw)
    part = data[at : at + draw.choice((1, 5, 40, 600))]
    return data[:at] + part * draw.choice((2, 20, 300, 5_000)) + data[at:]


def _insert(data: bytes, draw: random.Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + draw.choice(HOSTILE) * draw.choice((1, 1, 1, 3, 1_000)) + data[at:]


def _noise(data: bytes, draw: random.Random) -> bytes:
    at = _place(data, draw)
    return data[:at] + draw.randbytes(draw.choice((1, 8, 200))) + data[at:]


def _number(data: bytes, draw: random.Random) -> bytes:
    """Another number in digits: a Content-Length, a field of JSON, a date."""
    found = list(DIGITS.finditer(data, 0, 200_000))
    if not found:
        return _integer(data, draw)
    chosen = draw.choice(found)
    new = b"%d" % draw.choice(NUMBERS) if draw.random() < 0.9 else b"9" * 5_000
    return data[: chosen.start()] + new + data[chosen.end() :]


def _integer(data: bytes, draw: random.Random) -> bytes:
    """Another integer of 2, 4 or 8 bytes: a length, a count, an offset."""
    at, size = _place(data, draw), draw.choice((2, 4, 8))
    value = draw.choice(NUMBERS) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, draw.choice(("little", "big"))) + data[at + size :]


def _splice(data: bytes, draw: random.Random, other: bytes = b"") -> bytes:
    return data[: _place(data, draw)] + other[_place(other, draw) :]


def _nest(data: bytes, draw: random.Random, format: str = "json") -> bytes:
    opening, closing, other = NESTS.get(format, NESTS["json"])
    depth, at = draw.choice((3, 100, 2_000, 20_000)), _place(data, draw)
    return data[:at] + draw.choice((opening, other)) * depth + draw.choice((b"", b"1")) + closing * depth + data[at:]


def _json_value(data: bytes, draw: random.Random) -> bytes:
    """Another value somewhere in a line of JSON, or in the whole file."""
    lines = data.split(b"\n")
    at = draw.randrange(len(lines))
    try:
        plain = json.loads(lines[at])
    except (ValueError, RecursionError):
        return _flip(data, draw)
    lines[at] = json.dumps(other_value(plain, draw)).encode()
    return b"\n".join(lines)


def other_value(plain: Any, draw: random.Random) -> Any:
    """A JSON value of which one part, at any depth, is another one, is missing, or has another name."""
    if isinstance(plain, dict) and plain and draw.random() < 0.9:
        key = draw.choice(sorted(plain))
        rest = {name: value for name, value in plain.items() if name != key}
        chosen = draw.random()
        if chosen < 0.1:
            return rest
        name = draw.choice(("../x", "", key + "x", "\ud800", "a/b\0")) if chosen < 0.2 else key
        return {**rest, name: other_value(plain[key], draw)}
    if isinstance(plain, list) and plain and draw.random() < 0.9:
        at = draw.randrange(len(plain))
        return draw.choice(([*plain[:at], other_value(plain[at], draw), *plain[at + 1 :]], plain[:at], [*plain, plain[at]]))
    return draw.choice((None, True, 0, -1, 2**31, 2**70, 1.5, 1e308, "", "x", "\ud800", "../../x", "/etc/passwd", [], {}, [[]]))


def _gzip_header(data: bytes, draw: random.Random) -> bytes:
    """Flags, method and further fields of a gzip member."""
    made = bytearray(data)
    if len(made) > 10:
        made[draw.choice((2, 3, 3, 3, 8, 9))] = draw.choice((0, 1, 2, 4, 8, 16, 31, 224, 255))
    return bytes(made[:10]) + draw.choice((b"", b"\xff\xff", b"\x02\x00ab", b"name")) + bytes(made[10:])


def _zstd_header(data: bytes, draw: random.Random) -> bytes:
    """The descriptor of a zstd frame: window, size of its content, dictionary."""
    made = bytearray(data)
    if len(made) > 8:
        made[4] = draw.randrange(256)
        made[5] = draw.choice((0, 0x58, 0x90, 0xA8, 0xB0, 0xF8, 0xFF))
    return bytes(made)


def _footer(data: bytes, draw: random.Random) -> bytes:
    """The footer of a Parquet file, which Thrift's compact protocol writes in integers of variable length."""
    if len(data) < 12:
        return _flip(data, draw)
    size = min(int.from_bytes(data[-8:-4], "little"), len(data) - 12)
    footer = bytearray(data[len(data) - 8 - size : -8])
    for _ in range(draw.choice((1, 1, 3))) if footer else ():
        at = draw.randrange(len(footer))
        new = draw.choice(
            (b"\xff\xff\xff\xff\x0f", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x00", b"\x19\xfc", b"\x7f", b"\xff")
        )
        footer[at : at + draw.choice((1, 1, 0, 5))] = new
    length = draw.choice((len(footer), len(footer), len(footer), len(footer) - 1, 0, 2**31, 2**32 - 1))
    return data[: len(data) - 8 - size] + bytes(footer) + (length % 2**32).to_bytes(4, "little") + b"PAR1"


def _attributes(data: bytes, draw: random.Random) -> bytes:
    """Many attributes, or a tag that does not end."""
    at, count = _place(data, draw), draw.choice((10, 1_000, 30_000))
    one = draw.choice((b" a%d", b"/a%d", b' a%d="<"', b" a%d='", b"<a%d", b"&a%d", b"</p%d>"))
    return data[:at] + b"<div" + b"".join(one % number for number in range(count)) + draw.choice((b">", b"")) + data[at:]


BLIND: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": _flip,
    "poke": _poke,
    "cut": _cut,
    "zero": _zero,
    "drop": _drop,
    "repeat": _repeat,
    "insert": _insert,
    "noise": _noise,
    "number": _number,
    "integer": _integer,
    "splice": _splice,
}
FORMATS: dict[str, tuple[Callable[..., bytes], ...]] = {
    "jsonl": (_json_value, _nest, _gzip_header, _zstd_header),
    "text": (_gzip_header, _zstd_header),
    "csv": (_nest, _gzip_header),
    "parquet": (_footer,),
    "dataset": (_footer, _nest),
    "html": (_nest, _attributes),
    "warc": (_number, _nest, _attributes, _gzip_header, _zstd_header),
    "wet": (_number, _nest),
    "json": (_json_value, _nest),
    "store": (_json_value, _nest, _footer),
    "state": (_json_value, _nest),
    "checkpoint": (_json_value, _nest),
    "config": (_nest,),
    "python": (_nest,),
}
