"""How fast a machine trains: as somebody says, or as the log of a training says.

Guarantee: a rate in operations holds for models of other sizes about; small models use less of a device.
Cost: none, or one reading of a checkpoint and a log.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.model import checkpoint
from tokenmill.model.log import LOG
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import MODEL
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.report.history import History

RECENT = 100
"""Updates of a log whose median is the speed."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRate:
    """How fast the machine is; one of the two is known. `source`: how that is known, in words."""

    source: str
    flops_per_second: float | None = None
    """That the model needs (Shape.flops_per_token)."""
    tokens_per_second: float | None = None
    """With the planned model."""

    def seconds(self, tokens: float, shape: Shape) -> float:
        """The time that `tokens` take with a model of this shape."""
        if self.tokens_per_second is not None:
            return tokens / self.tokens_per_second
        assert self.flops_per_second is not None
        return tokens * shape.flops_per_token / self.flops_per_second


def given(tokens_per_second: float | None, peak_teraflops: float | None, mfu: float | None) -> MeasuredRate:
    """The rate that options say. Raises ConfigError where they say two or a half."""
    if tokens_per_second is not None:
        if mfu is not None or peak_teraflops is not None:
            raise ConfigError("plan: give --rate, or --mfu with --peak-teraflops, not both")
        return MeasuredRate(source="--rate, with a model of this size", tokens_per_second=tokens_per_second)
    if mfu is None or peak_teraflops is None:
        raise ConfigError("plan: a rate is --peak-teraflops times --mfu, for example --peak-teraflops 989 --mfu 0.45")
    return MeasuredRate(source=f"{mfu:.0%} of {peak_teraflops:,.3g} teraflops", flops_per_second=mfu * peak_teraflops * 1e12)


def logged(root: Path) -> MeasuredRate | None:
    """The rate of the last training of the corpus in `root`; None without a log. Raises CorruptFile."""
    found = checkpoint.newest(root / MODEL / checkpoint.FOLDER, Silent())
    history = History(path=root / MODEL / LOG)
    history.follow()
    speeds = history.column("tokens_per_second")
    speed = float(np.median(speeds[np.isfinite(speeds)][-RECENT:])) if np.isfinite(speeds).any() else 0.0
    if found is None or not speed > 0:
        return None
    shape = found.state.shape
    return MeasuredRate(
        source=f"the log of {root}: {speed:,.0f} tokens/s with {shape.parameters:,} parameters",
        flops_per_second=speed * shape.flops_per_token,
    )
