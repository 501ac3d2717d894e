"""The work of a build around its steps: lock, clean-up after a crash, removal of stale files, record of the run.

Guarantee: a build works only in a folder that a build made or that is empty, and only one build at a time works there. It
removes only files in its own folders that no manifest names. Values that differ between runs (seconds, hosts) go to `runs/`,
which is not published.
Cost: one listing of the folder.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenmill.pipeline import kernels
from tokenmill.pipeline.base import files, manifest, state
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS, TOKENIZER, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CONFIG, DOCUMENTS, QUARANTINE, RUNS, TOKENS, is_ours
from tokenmill.pipeline.stages import settings, table
from tokenmill.pipeline.stages.step import Done
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.compact import BESIDE


@contextlib.contextmanager
def at_work(root: Path) -> Iterator[None]:
    """Lock the folder `root`, mark it as a corpus folder, and remove leftovers of a crash.

    Raises Locked, ConfigError, NewerFormat.
    """
    _require_ours(root)
    with files.lock(root):
        manifest.require_writer(root)
        # This folder marks a corpus folder, so it must exist before anything else does.
        (root / state.FOLDER).mkdir(exist_ok=True)
        files.sweep(root)
        yield


def _require_ours(root: Path) -> None:
    """Refuse a folder that no build made: a build removes files that no manifest names. Raises ConfigError."""
    if not root.exists():
        return
    if not root.is_dir():
        raise ConfigError(f"--out {root}: is a file; give a folder")
    if not is_ours(root) and {path.name for path in root.iterdir()} - {".lock"}:
        raise ConfigError(f"--out {root}: is not empty and holds no corpus; choose a new or an empty folder")


def say_compiling(progress: Progress) -> None:
    """Say that kernels are compiled, which takes up to a minute at the first build in an environment."""
    if not kernels.compiled():
        progress.say("compiling kernels, once per environment (up to a minute)")


def say_edited(root: Path, config: Config, progress: Progress) -> None:
    """Say that somebody edited `config.toml` after the last build, and that this build replaces it."""
    whole, path = manifest.find(root, CORPUS), root / CONFIG
    if whole is None or not path.is_file() or files.holds(root, CONFIG, whole.files[CONFIG]):
        return
    if path.read_bytes() != settings.to_toml(config).encode():
        progress.say(f"{path} was changed after the last build; this build replaces it with its own settings")


def withdraw_unused(root: Path, config: Config) -> None:
    """Withdraw the manifests of stages that the config no longer has."""
    names = [kind.name for kind in table.STAGES if kind.name not in config.stages]
    unused = [name for name in names if manifest.path_of(root, name).exists()]
    if unused:
        manifest.withdraw(root, [CORPUS, *unused])


def remove_orphans(root: Path, manifests: Sequence[Manifest]) -> None:
    """Remove files that no manifest names: of removed inputs, of earlier settings, or of an interrupted compaction."""
    named = {name for made in manifests for name, _ in made.entries()}
    named |= {manifest.path_of(Path(), made.stage).as_posix() for made in manifests}
    # The list of forgotten documents outlives every build.
    named.add(forget.LIST)
    stages = [kind.name for kind in table.STAGES]
    for folder in (DOCUMENTS, COLLECT, QUARANTINE, *stages, TOKENIZER, TOKENS, BESIDE):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.relative_to(root).as_posix() not in named:
                files.remove(path)


def record(root: Path, done: Sequence[Done], *, workers: int) -> None:
    """Write `runs/<id>.json`: the seconds of each step, and how much it computed."""
    steps: dict[str, Any] = {
        one.manifest.stage: {
            "seconds": round(one.seconds, 3),
            "recomputed_shards": one.recomputed_shards,
            "scored_rows": one.scored_rows,
            **one.now,
        }
        for one in done
    }
    run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}"
    about = {"host": platform.node(), "workers": workers, "python": platform.python_version()}
    files.write_json(root / RUNS / f"{run}.json", {"id": run, **about, "steps": steps})
