"""The decorator for kernels that make no arrays.

Purpose: Numba counts references of array arguments, atomically, at each call and each inlined function. Where functions
are small and many that takes most of the time (measured: 4 of 5 parts in splitting words). Arguments are borrowed from the
caller, so a kernel that makes no arrays needs none of it.
Guarantee: a function that does make an array does not compile with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def leaf(kernel: Kernel) -> Kernel:
    """Compile without reference counts, without the interpreter's lock, and keep the machine code."""
    return njit(nogil=True, cache=True, _nrt=False)(kernel)  # type: ignore[call-overload, no-any-return]


def inlined(kernel: Kernel) -> Kernel:
    """As `leaf`, put into its callers whatever its size."""
    return njit(nogil=True, cache=True, _nrt=False, forceinline=True)(kernel)  # type: ignore[call-overload, no-any-return]
