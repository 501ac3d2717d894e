"""Events as TensorBoard reads them, written byte by byte: pure functions from lines of the log.

Purpose: TensorBoard itself is not needed to write them. A file is a sequence of records (TensorFlow, `tfrecord`): length
(uint64), its checksum, an `Event` (`event.proto`, `summary.proto`) in the wire format of protocol buffers, its checksum.
Guarantee: an event of the kind START takes back what files before say of its step and later ones, so that a run which goes on
has each point once. Checksums are masked CRC-32C (RFC 3720, appendix B.4).
Cost: 0.1 microseconds per byte, about 20 per update.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Mapping
from typing import Any

PREFIX = "events.out.tfevents."
"""Of names of files, by which TensorBoard knows them."""
TAGS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "gradient_norm": "train/gradient_norm",
    "loss_scale": "train/loss_scale",
    "tokens": "train/tokens",
    "tokens_per_second": "speed/tokens_per_second",
    "mfu": "speed/mfu",
    "validation_loss": "validation/loss",
    "bits_per_byte": "validation/bits_per_byte",
}
"""What a number of the log is called there."""
GROUPS = {"sources": "validation_loss_by_source", "languages": "validation_loss_by_language", "seconds": "seconds_per_update"}
START = 1
"""`SessionLog.SessionStatus`."""
STRING = 7
"""`DataType`."""
LARGEST = float.fromhex("0x1.fffffep127")
"""Of float32."""
POLYNOMIAL = 0x82F63B78
MASK = 0xA282EAD8


def beginning(now: float, step: int) -> Iterator[bytes]:
    """The records that a file begins with. `now`: seconds since 1970. `step`: the first one that the file speaks of."""
    yield record(_double(1, now) + _bytes(3, b"brain.Event:2"))
    yield record(_double(1, now) + _integer(2, step) + _bytes(7, _integer(1, START)))


def event(now: float, line: Mapping[str, Any]) -> bytes:
    """The record of a line of the log: its numbers as scalars, its sample as text."""
    numbers = {tag: line[name] for name, tag in TAGS.items() if line.get(name) is not None}
    for name, group in GROUPS.items():
        numbers |= {f"{group}/{part}": value for part, value in (line.get(name) or {}).items()}
    values = [_bytes(1, tag.encode()) + _float(2, value) for tag, value in numbers.items()]
    if "sample" in line:
        values.append(_text("sample", line["sample"]))
    summary = b"".join(_bytes(1, value) for value in values)
    return record(_double(1, now) + _integer(2, line["step"]) + _bytes(5, summary))


def record(data: bytes) -> bytes:
    """A record of a file of events."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked(length)) + data + struct.pack("<I", _masked(data))


def crc32c(data: bytes) -> int:
    """CRC-32 with Castagnoli's polynomial."""
    table = _table()
    value = 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + MASK) & 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    """The checksum of each byte."""
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return tuple(found)


def _text(tag: str, text: str) -> bytes:
    """A `Summary.Value` that the dashboard of texts shows: a tensor of one string."""
    # The dashboard reads Markdown; four spaces make each line of it code, as it stands.
    shown = "\n".join(f"    {line}" for line in text.splitlines())
    shape = _bytes(2, _integer(1, 1))
    tensor = _integer(1, STRING) + _bytes(2, shape) + _bytes(8, shown.encode(errors="replace"))
    plugin = _bytes(1, _bytes(1, b"text"))
    return _bytes(1, tag.encode()) + _bytes(8, tensor) + _bytes(9, plugin)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", max(-LARGEST, min(value, LARGEST)))


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
