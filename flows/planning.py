"""What a training would take, and where its time goes: the work of `tokenmill plan` and `tokenmill bench-train`.

Guarantee: nothing is written. Cost: imports torch (1.4 s); see `tokenmill.model.plan` and `tokenmill.model.bench`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tokenmill.flows.training import wanted_alone, wanted_of
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import TOKENS
from tokenmill.pipeline.tokens import TokenStore

if TYPE_CHECKING:
    from tokenmill.model.bench import Bench
    from tokenmill.model.plan import TrainingPlan

CONTEXT_TOKENS = 1_024
"""Of a plan whose settings do not say it: the default of the settings is that of a demonstration."""
VOCABULARY = 32_768
"""Of a model without a corpus."""
SIZES = ("train.layers", "train.heads", "train.width")


def plan(
    root: Path | None,
    settings: Mapping[str, str],
    *,
    tokens: float | None,
    flops: float | None,
    hours: float | None,
    rate: float | None,
    peak_teraflops: float | None,
    mfu: float | None,
    memory_bytes: float | None,
    vocabulary: int | None,
) -> TrainingPlan:
    """The plan of a training with a budget of tokens, operations or hours. Raises ConfigError, NotBuilt, StaleInput."""
    from tokenmill.model import memory
    from tokenmill.model import plan as planning
    from tokenmill.model import rate as rates
    from tokenmill.model.phases import peak_teraflops as peak_of
    from tokenmill.model.setup import device_of, precision_of
    from tokenmill.model.shape import shape_of

    if sum(one is not None for one in (tokens, flops, hours)) != 1:
        raise ConfigError("plan: give one of --tokens, --flops and --hours; the others follow from it")
    root, config, store = _of(root, {"train.context_tokens": str(CONTEXT_TOKENS), **settings})
    if store is not None and vocabulary is not None:
        raise ConfigError(f"--vocabulary {vocabulary}: the corpus has {store.vocabulary:,} ids; leave it out")
    device = device_of(config.device)
    precision = precision_of(config.precision, device)
    if mfu is not None and peak_teraflops is None:
        peak_teraflops = config.peak_teraflops or peak_of(device, precision)
    speed = None
    if (rate, peak_teraflops, mfu) != (None, None, None):
        speed = rates.given(rate, peak_teraflops, mfu)
    elif root is not None:
        speed = rates.logged(root)
    shape, wanted = planning.budget(
        shape_of(config, store.vocabulary if store is not None else vocabulary or VOCABULARY),
        fixed=any(name in settings for name in SIZES),
        tokens=tokens,
        flops=flops,
        seconds=None if hours is None else 3600 * hours,
        rate=speed,
    )
    return planning.plan(
        shape,
        config,
        tokens=wanted,
        rate=speed,
        memory_bytes=memory_bytes or memory.free(device)[0],
        device=device,
        precision=precision,
        given=settings,
        corpus=None
        if store is None
        else planning.repetition(wanted, {one.source: one.tokens for one in store.split("train").sources}, config.weights),
    )


def bench(root: Path | None, settings: Mapping[str, str], progress: Progress, *, updates: int, vocabulary: int | None) -> Bench:
    """Where the time of an update goes: on ids at random, and on those of a corpus. Raises as `train` does, but Locked."""
    from tokenmill.model import bench as benching

    root, config, store = _of(root, settings)
    if store is not None and vocabulary is not None:
        raise ConfigError(f"--vocabulary {vocabulary}: the corpus has {store.vocabulary:,} ids; leave it out")
    return benching.bench(config, store, progress, updates=updates, vocabulary=vocabulary or VOCABULARY)


def _of(root: Path | None, settings: Mapping[str, str]) -> tuple[Path | None, TrainConfig, TokenStore | None]:
    """The folder, the settings and the tokens of a corpus; the settings alone without one."""
    if root is None:
        return None, wanted_alone(settings), None
    root, config = wanted_of(root, settings)
    return root, config, TokenStore.open(root / TOKENS)
