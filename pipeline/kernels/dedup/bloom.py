"""A counting Bloom filter: counts how often each hash was added, in a fixed number of bytes and never too low.

Guarantee: `lowest` is at least the smaller of 255 and the number of times that a hash was added; the counters depend on what
was added, not on the order. Of the hashes added fewer than n times, a share of at most about fill ** probes is counted n times
or more, where fill is the share of counters that are not 0.
Cost: `probes` reads or writes at random places per hash.

Sources: B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970); counters in place of bits:
L. Fan, P. Cao, J. Almeida, A. Z. Broder, "Summary cache" (2000); probes from two hashes: A. Kirsch, M. Mitzenmacher, "Less
hashing, same performance" (2006).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import inlined, leaf

Hashes = npt.NDArray[np.uint64]
Counters = npt.NDArray[np.uint8]

MOST = 255
"""A counter stays at this value once it reaches it."""


@inlined
def _place(key: np.uint64, probe: int, counters: int) -> np.uint64:
    return (key + np.uint64(probe) * (mix64(key) | np.uint64(1))) % np.uint64(counters)


@leaf
def add(counters: Counters, probes: int, hashes: Hashes) -> None:
    """Add each of `hashes` once."""
    for key in hashes:
        for probe in range(probes):
            place = _place(key, probe, len(counters))
            counters[place] += counters[place] < MOST


@leaf
def lowest(counters: Counters, probes: int, hashes: Hashes, out: Counters) -> None:
    """out[i] = how often hashes[i] was added, or more, up to 255; uint8 [hashes]."""
    for i in range(len(hashes)):
        least = MOST
        for probe in range(probes):
            least = min(least, counters[_place(hashes[i], probe, len(counters))])
        out[i] = least
