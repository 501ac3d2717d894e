"""Features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html.columns import Found

NAMES: tuple[str, ...] = ("chars",)


def features(found: Found) -> npt.NDArray[np.float32]:
    return found.blocks[:, [c.CHARS]].astype(np.float32)
