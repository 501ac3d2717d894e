"""Decorators for kernels that make no arrays.

Purpose: Numba counts references to array arguments, atomically, at each call and in each inlined function. With many small
functions this takes most of the time (measured: four fifths of splitting words). A kernel borrows its arguments from its
caller, so one that makes no arrays needs no reference counts.
Guarantee: a function that does make an array does not compile with these decorators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tokenmill.pipeline.kernels.machine_code import njit

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def leaf(kernel: Kernel) -> Kernel:
    """Compile `kernel` without reference counts and without the interpreter's lock, and keep the machine code."""
    return njit(nogil=True, cache=True, _nrt=False)(kernel)


def inlined(kernel: Kernel) -> Kernel:
    """Compile like `leaf`, and inline the kernel into every caller, whatever its size."""
    return njit(nogil=True, cache=True, _nrt=False, forceinline=True)(kernel)
