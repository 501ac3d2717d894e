"""The canonical form of URLs that are plain, which most are; the rest is for a whole parser.

Purpose: a parser makes objects for each URL. Of a plain one, the address is a copy of its bytes but for a few.
Guarantee: what is copied is what `stages.addresses.parse` says of the URL. Whatever WHATWG's rules could change otherwise is
declined: other schemes, users, ports, hosts beyond ASCII or in Punycode, numbers as hosts, parts of paths that begin with a
dot, and characters that have to be written with a percent sign, or without it.
Cost: 2 ns per byte.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.machine_code import njit

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PATH, QUERY, FREE, HEX = 1, 2, 4, 8
"""Classes of bytes: what stands as it is in a path, and in a query; what needs no percent sign; digits behind one."""


@functools.cache
def classes() -> Bytes:
    """uint8 [256]: the classes of a byte, as a sum of the constants above."""
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(0x21, 0x7F):
        sign = chr(byte)
        free = sign.isalnum() or sign in "-._~"
        path = free or sign in "!$&'()*+,;=:@/"
        table[byte] = (
            PATH * path | QUERY * ((path and sign != "'") or sign == "?") | FREE * free | HEX * (sign in "0123456789ABCDEF")
        )
    return table


@inlined
def _value(byte: int) -> int:
    return byte - 0x30 if byte <= 0x39 else byte - 0x37


@leaf
def _scheme(data: Bytes, at: int, stop: int) -> int:
    """Where the host begins behind `http://` or `https://`; `stop` if there is no such scheme."""
    if stop - at < 9 or data[at] != 0x68 or data[at + 1] != 0x74 or data[at + 2] != 0x74 or data[at + 3] != 0x70:
        return stop
    at += 5 if data[at + 4] == 0x73 else 4
    return at + 3 if data[at] == 0x3A and data[at + 1] == 0x2F and data[at + 2] == 0x2F else stop


@leaf
def _host(data: Bytes, at: int, stop: int, out: Bytes, end: int) -> tuple[int, int]:
    """Copy the host in small letters. Returns where it ends in both; -1 if it is no plain one."""
    label = at
    while True:
        byte = data[at] if at < stop else 0x2F
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or byte == 0x2D or byte == 0x5F:
            out[end] = byte
        elif at == label:
            return -1, -1
        else:
            # Punycode is decoded, and a host whose last part is a number is an address.
            begins_x = at - label >= 4 and data[label] | 0x20 == 0x78
            if begins_x and data[label + 1] | 0x20 == 0x6E and data[label + 2] == 0x2D and data[label + 3] == 0x2D:
                return -1, -1
            if byte != 0x2E:
                plain = (byte == 0x2F or byte == 0x3F or byte == 0x23) and data[label] > 0x39
                return (at, end) if plain else (-1, -1)
            out[end] = byte
            label = at + 1
        at += 1
        end += 1


@leaf
def _rest(data: Bytes, at: int, stop: int, out: Bytes, end: int, classes: Bytes) -> tuple[int, bool]:
    """Copy path and query, without a fragment. Returns where they end, and if there is a "%"; -1 if they are no plain ones."""
    allowed, escaped = np.uint8(PATH), False
    if at == stop or data[at] != 0x2F:
        out[end] = 0x2F
        end += 1
    while at < stop:
        byte = data[at]
        if byte == 0x23:
            break
        if byte == 0x25:
            escaped = True
            if at + 2 >= stop or classes[data[at + 1]] & classes[data[at + 2]] & HEX == 0:
                return -1, escaped
            if classes[16 * _value(data[at + 1]) + _value(data[at + 2])] & FREE:
                return -1, escaped
        elif byte == 0x3F:
            allowed = np.uint8(QUERY)
        elif classes[byte] & allowed == 0 or (byte == 0x2E and data[at - 1] == 0x2F and allowed == PATH):
            return -1, escaped
        out[end] = byte
        end += 1
        at += 1
    return end, escaped


@njit(nogil=True, cache=True)
def canonical(
    data: Bytes, offsets: Places, classes: Bytes, out: Bytes, starts: Places, hosts: Places, ends: Places, escaped: Flags
) -> int:
    """The addresses of the URLs `data[offsets[i]:offsets[i + 1]]`, one behind the other.

    classes: see `classes`. out: receives them; it has room for all bytes of the URLs and one more for each. starts, hosts,
    ends: receive where each begins, where its host ends and its path begins, and where it ends; 0 for a URL that is declined.
    escaped: receives whether it has a "%". Returns the bytes in `out`.
    """
    size = 0
    for row in range(len(offsets) - 1):
        stop = offsets[row + 1]
        starts[row] = hosts[row] = ends[row] = 0
        escaped[row] = False
        at = _scheme(data, offsets[row], stop)
        if at == stop:
            continue
        at, host = _host(data, at, stop, out, size)
        if at < 0:
            continue
        end, escaped[row] = _rest(data, at, stop, out, host, classes)
        if end > 0:
            starts[row], hosts[row], ends[row] = size, host, end
            size = end
    return size
