"""Finds what is wrong with a build before any work.

Purpose: settings that contradict one another, models and labels that do not exist, input that cannot be read, a disk without
room, more tokens in the vocabulary than the text can give: all of it is refused, or said, before a server starts or a folder is
made.
Guarantee: nothing is written. Cost: one listing of the sources, and loading models and kernels.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tokenmill.flows import room
from tokenmill.flows.cli.environment import variable
from tokenmill.pipeline.base import manifest, ownership, secrets
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import Config, fit
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.step import StageStep, Step

BASE_TOKENS = 257
"""The 256 bytes and end-of-text."""
CERTAIN = 4
"""How much more text there may be than the estimate, which guesses what compressed files and pages hold."""
FEW_DOCUMENTS = 3
"""An expected number of validation documents below which the split is empty in more than 1 of 20 corpora (exp(-3))."""


def check(config: Config, root: Path, steps: Mapping[str, Callable[[Path], Step]]) -> tuple[str, ...]:
    """What to say before the work. `steps`: those of the build, in order.

    Raises ConfigError, InputError, DiskFull for what would fail later.
    """
    secrets.read_by(variable)
    fit.require_weights(config)
    made = [steps[name](root) for name in (*config.stages, TOKENIZER)]
    for step in made:
        step.config()
    ownership.require_room(root)
    _require_writable(root)
    plan = CollectStep(config.collect).plan(root)
    left = [name for name in steps if not manifest.path_of(root, name).exists()]
    said = tuple(_said(config, root, plan, left))
    # Last, since kernels may have to be compiled.
    for step in made:
        if isinstance(step, StageStep):
            step.stage.prepare()
    return said


def _require_writable(root: Path) -> None:
    """Raises ConfigError if the folder cannot be made, or cannot be written."""
    standing = next(one for one in (root.absolute(), *root.absolute().parents) if os.path.lexists(one))
    if not standing.is_dir():
        raise ConfigError(f"--out {root}: {standing} is not a folder; choose another --out")
    if not os.access(standing, os.W_OK | os.X_OK):
        fixed = os.statvfs(standing).f_flag & os.ST_RDONLY
        why = os.strerror(errno.EROFS if fixed else errno.EACCES)
        raise ConfigError(f"--out {root}: {standing} cannot be written ({why}); make it writable, or choose another --out")


def _said(config: Config, root: Path, plan: Mapping[str, int], left: list[str]) -> Iterator[str]:
    for name in config.stages:
        if remark := (kind := table.kind_of(name)).remark(kind.settings(config)):
            yield remark
    needed = room.needed_bytes(plan, left)
    room.require_least(needed, root)
    foreseen = room.shortage(needed, root)
    if foreseen is not None:
        yield foreseen
    if TOKENIZER in left:
        yield from _vocabulary(config, plan["text_bytes"])
    fraction, documents = config.pack.validation_fraction, plan["documents"]
    if 0 < fraction * documents < FEW_DOCUMENTS:
        enough = min(0.5, round(FEW_DOCUMENTS / documents + 0.005, 2))
        yield (
            f"pack.validation_fraction = {fraction:g} of about {documents:,} documents is {fraction * documents:.1f}: the "
            f"validation split may be empty; --set pack.validation_fraction={enough:g} gives it some"
        )


def _vocabulary(config: Config, text_bytes: int) -> Iterator[str]:
    """Whether a text of this size can give the vocabulary. Raises ConfigError if it certainly cannot, and the user set it."""
    wanted, collect = config.tokenizer.vocabulary, config.collect
    if config.tokenizer.path is not None:
        return
    # Each merge shortens the text by at least `min_frequency` tokens, and it has at most as many as bytes.
    most = BASE_TOKENS + text_bytes // config.tokenizer.min_frequency
    capped = collect.max_documents is not None or collect.max_text_bytes is not None
    is_set = "vocabulary" in config.tokenizer.model_fields_set and not capped
    if is_set and wanted > BASE_TOKENS + CERTAIN * (most - BASE_TOKENS):
        raise ConfigError(
            f"tokenizer.vocabulary = {wanted:,} is more than the text allows: about {text_bytes:,} bytes give at most "
            f"{most:,} tokens; add text, or --set tokenizer.vocabulary={_usual(text_bytes)}"
        )
    if wanted > 2 * _usual(text_bytes):
        yield (
            f"tokenizer.vocabulary = {wanted:,}, but about {text_bytes:,} bytes of text usually give {_usual(text_bytes):,} "
            "tokens: the vocabulary may end up smaller"
        )


def _usual(text_bytes: int) -> int:
    """The tokens that a text of this size usually gives, to two digits: 1,500 for 20 kB, 11,000 for 1 MB, 28,000 for 4 MB
    (measured on English documentation and on Python, with the default settings)."""
    tokens = BASE_TOKENS + int(4 * text_bytes**0.58)
    unit: int = 10 ** (len(str(tokens)) - 2)
    return max(BASE_TOKENS, tokens // unit * unit)
