"""Does Numba's work for the first call of any kernel once, for all workers.

Purpose: the server that workers are forked from imports this module (see `pipeline.base.executor`). Such a server can
only be told to import modules, so this is the one module that calls a kernel when it is imported.
Cost: 0.3 s, which every worker would otherwise spend itself.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.hashing import hash_word

hash_word(np.zeros(8, dtype=np.uint8), 0, 1)
