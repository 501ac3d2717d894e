"""What Numba does at the first call of any kernel, done once for all workers.

Purpose: the server that workers are forked from imports this (see `pipeline.base.executor`), which is all that such a server can
be told to do; so this is the one module that works when it is imported.
Cost: 0.3 s, which each worker would need by itself.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.hashing import hash_word

hash_word(np.zeros(8, dtype=np.uint8), 0, 1)
