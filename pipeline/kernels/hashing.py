"""Hashes of integers, words and whole texts.

Guarantee: the same bytes give the same hash on every machine and in every process. Words of up to 8 bytes never collide,
unless they differ only in NUL bytes at the end; longer words collide by accident with probability 2^-64 per pair.
`siphash128` is a keyed function: without the key, nobody can construct two texts that share a digest.
Cost: about 3 ns per word, about 0.7 ns per byte of text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.machine_code import njit

PADDING_BYTES = 8
"""A buffer that is hashed must be this many bytes longer than its content, because 8 bytes are loaded at a time."""


@njit(nogil=True, cache=True, inline="always")
def mix64(value: np.uint64) -> np.uint64:
    """The finalizer of MurmurHash3 (A. Appleby, `fmix64`): a bijection in which each output bit depends on all input bits."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@njit(nogil=True, cache=True, inline="always")
def load(data: npt.NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """The 8 bytes at `at` as a little-endian integer. Unsigned indices and one expression let LLVM emit a single load."""
    return (
        np.uint64(data[at])
        | np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[at + np.uint64(4)]) << np.uint64(32)
        | np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[at + np.uint64(6)]) << np.uint64(48)
        | np.uint64(data[at + np.uint64(7)]) << np.uint64(56)
    )


@njit(nogil=True, cache=True, inline="always")
def _load_some(data: npt.NDArray[np.uint8], at: np.uint64, size: np.uint64) -> np.uint64:
    """Like `load`, but only the first `size` < 8 bytes; the bytes behind them are masked out."""
    return load(data, at) & ((np.uint64(1) << (size << np.uint64(3))) - np.uint64(1))


@njit(nogil=True, cache=True)
def hash_word(data: npt.NDArray[np.uint8], start: int, stop: int) -> np.uint64:
    """Hash of `data[start:stop]`: XOR 8 bytes at a time into the state, and mix it after each step."""
    at, rest = np.uint64(start), np.uint64(stop - start)
    state = np.uint64(0)
    while rest >= np.uint64(8):
        state = mix64(state ^ load(data, at))
        at += np.uint64(8)
        rest -= np.uint64(8)
    if rest:
        state = mix64(state ^ _load_some(data, at, rest))
    return state


@njit(nogil=True, cache=True, inline="always")
def _rotated(value: np.uint64, bits: np.uint64) -> np.uint64:
    return (value << bits) | (value >> (np.uint64(64) - bits))


@njit(nogil=True, cache=True, inline="always")
def _round(v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    v0 += v1
    v2 += v3
    v1 = _rotated(v1, np.uint64(13)) ^ v0
    v3 = _rotated(v3, np.uint64(16)) ^ v2
    v0 = _rotated(v0, np.uint64(32)) + v3
    v2 += v1
    v3 = _rotated(v3, np.uint64(21)) ^ v0
    v1 = _rotated(v1, np.uint64(17)) ^ v2
    return v0, v1, _rotated(v2, np.uint64(32)), v3


@njit(nogil=True, cache=True)
def siphash128(data: npt.NDArray[np.uint8], size: int, key: npt.NDArray[np.uint64], out: npt.NDArray[np.uint64]) -> None:
    """out[0:2] = the 128-bit SipHash-2-4 of `data[:size]` under `key` (uint64 [2]), as little-endian words.

    J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), and the reference code's 128-bit variant.
    """
    v0 = key[0] ^ np.uint64(0x736F6D6570736575)
    v1 = key[1] ^ np.uint64(0x646F72616E646F6D) ^ np.uint64(0xEE)
    v2 = key[0] ^ np.uint64(0x6C7967656E657261)
    v3 = key[1] ^ np.uint64(0x7465646279746573)
    at, rest = np.uint64(0), np.uint64(size)
    while True:
        last = rest < np.uint64(8)
        word = _load_some(data, at, rest) | np.uint64(size) << np.uint64(56) if last else load(data, at)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
        if last:
            break
        at += np.uint64(8)
        rest -= np.uint64(8)
    v2 ^= np.uint64(0xEE)
    for half in range(2):
        for _ in range(4):
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        out[half] = v0 ^ v1 ^ v2 ^ v3
        v1 ^= np.uint64(0xDD)
