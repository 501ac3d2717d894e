"""Composable fingerprints of byte strings: the fingerprint of a concatenation follows from those of its parts.

Purpose: duplicate n-grams are compared by their words joined without spaces, so "ab c" and "a bc" count as equal.
Guarantee: equal strings have equal fingerprints. Two different strings share a fingerprint with probability of about 2^-61, in
text that was not constructed against this base; whoever constructs such a text can only make its own n-grams look repeated.
Cost: about 0.4 ns per byte; joining or separating two fingerprints takes one multiplication.

Source: R. M. Karp, M. O. Rabin, "Efficient randomized pattern-matching algorithms" (1987), modulo the prime 2^61 - 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from tokenmill.pipeline.kernels.hashing import load
from tokenmill.pipeline.kernels.leaf import inlined, leaf

PRIME = (1 << 61) - 1
BASE = 0x2F0B7
"""Below 2^17.6, so that a polynomial of four digits stays below 2^61 without a reduction."""
POWERS = 256
"""How many powers of the base are kept: enough for n-grams of fewer bytes; others are computed."""


def _high_half(typing: Any, a: Any, b: Any) -> Any:
    """The upper 64 bits of the product of two uint64; Numba has no function for this."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


_high: Any = intrinsic(_high_half)


@inlined
def _reduced(value: np.uint64) -> np.uint64:
    """`value` modulo the prime, for a value below 2^62."""
    return value - np.uint64(PRIME) if value >= np.uint64(PRIME) else value


@inlined
def multiply(a: np.uint64, b: np.uint64) -> np.uint64:
    """a * b modulo the prime, for two values below it."""
    low = a * b
    return _reduced((low & np.uint64(PRIME)) + (low >> np.uint64(61) | _high(a, b) << np.uint64(3)))


@leaf
def fill_powers(powers: npt.NDArray[np.uint64]) -> None:
    """powers[i] = BASE^i modulo the prime; uint64 [POWERS]."""
    power = np.uint64(1)
    for i in range(len(powers)):
        powers[i] = power
        power = multiply(power, np.uint64(BASE))


@inlined
def _four(bytes_: np.uint64) -> np.uint64:
    """The polynomial of the lower four bytes; the lowest byte is the first digit. Below 2^61."""
    base, byte = np.uint64(BASE), np.uint64(0xFF)
    square = base * base
    first, second = (bytes_ & byte) * (square * base), (bytes_ >> np.uint64(8) & byte) * square
    return first + second + (bytes_ >> np.uint64(16) & byte) * base + (bytes_ >> np.uint64(24) & byte)


@leaf
def fingerprint(data: npt.NDArray[np.uint8], start: int, stop: int, powers: npt.NDArray[np.uint64]) -> np.uint64:
    """The fingerprint of the UTF-8 bytes `data[start:stop]`; 0 for an empty span.

    The digits are the bytes plus 1, so that NUL counts; no byte of UTF-8 is above 0xF4. Eight bytes are loaded at a time (see
    `hashing.PADDING_BYTES`); if fewer are left, they are moved to the end, behind zero digits.
    """
    at, rest = np.uint64(start), np.uint64(stop - start)
    found = np.uint64(0)
    while rest:
        size = min(rest, np.uint64(8))
        digits = (load(data, at) + np.uint64(0x0101010101010101)) << ((np.uint64(8) - size) << np.uint64(3))
        eight = _reduced(multiply(_four(digits), powers[4]) + _four(digits >> np.uint64(32)))
        found = _reduced(multiply(found, powers[size]) + eight) if found else eight
        at += size
        rest -= size
    return found


@leaf
def _power(exponent: int) -> np.uint64:
    power, square = np.uint64(1), np.uint64(BASE)
    while exponent:
        if exponent & 1:
            power = multiply(power, square)
        square = multiply(square, square)
        exponent >>= 1
    return power


@inlined
def _power_of(exponent: int, powers: npt.NDArray[np.uint64]) -> np.uint64:
    return powers[np.uint64(exponent)] if exponent < POWERS else _power(exponent)


@inlined
def joined(front: np.uint64, back: np.uint64, back_bytes: int, powers: npt.NDArray[np.uint64]) -> np.uint64:
    """The fingerprint of a concatenation, from those of `front` and of `back`, which has `back_bytes` bytes."""
    return _reduced(multiply(front, _power_of(back_bytes, powers)) + back)


@inlined
def without(whole: np.uint64, front: np.uint64, rest_bytes: int, powers: npt.NDArray[np.uint64]) -> np.uint64:
    """The fingerprint of a string's last `rest_bytes` bytes, from that of the whole and that of the bytes in front of them."""
    return _reduced(whole + np.uint64(PRIME) - multiply(front, _power_of(rest_bytes, powers)))
