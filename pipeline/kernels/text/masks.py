"""Tests 64 bytes at once for a range of values; the answers are the bits of one integer.

Purpose: a scanner steps from one byte of interest to the next: one step per find, and none for the bytes between.
Guarantee: bit i is the answer for the byte at `at + i`. All 64 bytes must lie in the array: buffers are `BLOCK` bytes longer
than their content, and the caller masks the bits behind the content.
Cost: a few instructions per 64 bytes and range. The code uses LLVM's generic vectors, so any processor runs it.

Source of the method: G. Langdale, D. Lemire, "Parsing gigabytes of JSON per second" (2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tokenmill.pipeline.kernels.leaf import inlined

BLOCK = 64
"""Bytes tested at a time."""


def _between(typing: Any, data: Any, at: Any, low: Any, high: Any) -> Any:
    """Bit i of the result: low <= data[at + i] <= high."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), vector.as_pointer())
        block = builder.load(place)
        block.align = 1

        def all_of(byte: Any) -> Any:
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0))
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), lanes)

        distance = builder.sub(block, all_of(arguments[2]))
        inside = builder.icmp_unsigned("<=", distance, all_of(builder.sub(arguments[3], arguments[2])))
        return builder.bitcast(inside, ir.IntType(BLOCK))

    return types.uint64(data, types.uint64, types.uint8, types.uint8), generate


def _trailing_zeros(typing: Any, mask: Any) -> Any:
    """The index of the lowest set bit; 64 if no bit is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.uint64(types.uint64), generate


def _ones(typing: Any, mask: Any) -> Any:
    """The number of set bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


between: Any = intrinsic(_between)
lowest: Any = intrinsic(_trailing_zeros)
ones: Any = intrinsic(_ones)


@inlined
def place(mask: np.uint64) -> int:
    """The index of the lowest set bit as a signed integer: if signed and unsigned integers meet, Numba computes in floats."""
    return int(np.int64(lowest(mask)))


@inlined
def first(size: int) -> np.uint64:
    """A mask of the lowest `size` bits; of all 64 bits if `size` is 64 or more."""
    return (np.uint64(1) << np.uint64(size)) - np.uint64(1) if size < BLOCK else np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def ascii_spaces(data: npt.NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """A mask of the bytes that are ASCII white space, as `str.isspace` defines it."""
    return between(data, at, 0x20, 0x20) | between(data, at, 0x09, 0x0D) | between(data, at, 0x1C, 0x1F)  # type: ignore[no-any-return]
