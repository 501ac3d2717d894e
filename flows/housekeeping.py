"""The work of a build around its steps: lock, clean-up after a crash, removal of stale files, record of the run.

Guarantee: a build works only in a folder that a build made or that is empty, and only one build at a time works there. It
removes only files that it made itself (`pipeline.base.ownership`) and that no manifest names. Values that differ between runs
(seconds, hosts) go to `runs/`, which is not published.
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

from tokenmill.flows import masking
from tokenmill.pipeline import kernels
from tokenmill.pipeline.ask import expectations
from tokenmill.pipeline.ask.expectations import Expectation
from tokenmill.pipeline.base import files, manifest, ownership, state, versions
from tokenmill.pipeline.base.errors import Locked
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS, MODEL, TOKENIZER, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CONFIG, DOCUMENTS, QUARANTINE, REPORT, RUNS, TOKENS, open_corpus
from tokenmill.pipeline.stages import settings, table
from tokenmill.pipeline.stages.step import Done
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.compact import BESIDE

FEW = 3
"""Names of files that a message gives."""
STAGES = tuple(kind.name for kind in table.STAGES)
FOLDERS = (DOCUMENTS, COLLECT, QUARANTINE, *STAGES, TOKENIZER, TOKENS)
"""The folders that a build publishes in, and removes what no manifest names from."""
PLACES = (*FOLDERS, RUNS, MODEL, state.FOLDER, versions.FOLDER, CONFIG, REPORT, manifest.NAME)
"""What tokenmill makes in a corpus folder: none of it may be a link."""


@contextlib.contextmanager
def at_work(root: Path, made_by: str | None = None, *, replace: bool = False) -> Iterator[None]:
    """Lock the corpus folder `root`, make sure that it is ours, and remove leftovers of a crash.

    `made_by`, `replace`: see `ownership.require_same`. Raises Locked, ConfigError, NotOurs, NewerFormat.
    """
    ownership.require_room(root)
    ownership.require_same(root, made_by, replace=replace)
    with files.lock(root):
        manifest.require_writer(root)
        # Again: another run may have made it a corpus meanwhile.
        ownership.require_room(root)
        ownership.require_no_links(root, PLACES)
        ownership.take(root, [*FOLDERS, MODEL])
        ownership.name(root, made_by, replace=replace)
        _sweep(root)
        yield


@contextlib.contextmanager
def at_training(root: Path) -> Iterator[None]:
    """Lock the folder of the model. A build may run beside, since the version that is trained on stays as it is.

    Without versions, a build changes the very files that the training reads, so it is kept away too. Raises Locked, NotOurs,
    ConfigError, NewerFormat.
    """
    now = versions.reading(root)
    with contextlib.ExitStack() as held:
        if now.lease is None:
            held.enter_context(at_work(root))
        manifest.require_writer(root)
        ownership.require_no_links(root, PLACES)
        held.enter_context(files.lock(root / MODEL))
        files.sweep(root, root / MODEL)
        yield


@contextlib.contextmanager
def without_training(root: Path) -> Iterator[None]:
    """Keep trainings away from the corpus, which is locked. Raises Locked if there is one now."""
    with files.lock(root / MODEL) if (root / MODEL).is_dir() else contextlib.nullcontext():
        yield


def _sweep(root: Path) -> None:
    """Remove what dead writers left. A training may write now, perhaps on another machine, so its folder is left alone then."""
    files.sweep(root, without=root / MODEL)
    with contextlib.suppress(Locked), without_training(root):
        files.sweep(root, root / MODEL)


def prepare_versions(root: Path, *, in_place: bool, progress: Progress) -> None:
    """Before the first file changes: make sure that a version can be kept beside, or, in place, that none is."""
    if in_place:
        say_held(versions.withdraw(root), progress)
        return
    found = files.marker(root)
    if found is None or found.published is None:
        files.require_links(root)


def free_superseded(root: Path, progress: Progress) -> None:
    """Remove the versions that readers had open when a newer one was published, where nobody reads them now."""
    if versions.superseded(root):
        with at_work(root):
            say_held(versions.publish(root), progress)


def say_held(number: int, progress: Progress) -> None:
    """Say how many superseded versions stay for readers that hold them."""
    if number:
        which = "1 superseded version stays" if number == 1 else f"{number} superseded versions stay"
        progress.say(f"{which} on disk, because readers have it open; the next build removes what is free then")


def say_compiling(progress: Progress) -> None:
    """Say that kernels are compiled, which takes up to a minute at the first build in an environment."""
    if not kernels.compiled():
        progress.say("compiling kernels, once per environment (up to a minute)")


def say_edited(root: Path, config: Config, progress: Progress) -> None:
    """Say that somebody edited `config.toml` after the last build, and that this build replaces it."""
    whole, path = manifest.find(root, CORPUS), root / CONFIG
    if whole is None or not path.is_file() or files.holds(root, CONFIG, whole.files[CONFIG]):
        return
    if files.read_bytes(path) != settings.to_toml(config).encode():
        progress.say(f"{path} was changed after the last build; this build replaces it with its own settings")


def withdraw_unused(root: Path, config: Config) -> None:
    """Withdraw the manifests of stages that the config no longer has."""
    names = [kind.name for kind in table.STAGES if kind.name not in config.stages]
    unused = [name for name in names if manifest.path_of(root, name).exists()]
    if unused:
        manifest.withdraw(root, [CORPUS, *unused])


def remove_orphans(root: Path, manifests: Sequence[Manifest], progress: Progress) -> None:
    """Remove our files that no manifest names: of removed inputs, of earlier settings, or of an interrupted compaction.

    Files that are not ours stay, and are reported.
    """
    # Again: a worker of a build that was killed may have ended after this one began.
    _sweep(root)
    named = {name for made in manifests for name, _ in made.entries()}
    named |= {manifest.path_of(Path(), made.stage).as_posix() for made in manifests}
    # The list of forgotten documents outlives every build.
    named.add(forget.LIST)
    ours = ownership.known(root)
    # A compaction writes shards under the names that they have in the store.
    ours |= {f"{BESIDE}/{name}" for name in ours if name.startswith(f"{TOKENS}/")}
    foreign = [*ownership.remove_others(root, (*FOLDERS, BESIDE, masking.BESIDE), ours, named), *versions.foreign(root)]
    if foreign:
        few = ", ".join(foreign[:FEW]) + (", ..." if len(foreign) > FEW else "")
        progress.say(f"{len(foreign):,} files in {root} are not of tokenmill, and stay where they are: {few}")
    files.settle(root)


def record(root: Path, done: Sequence[Done], *, workers: int, whole: Manifest, expected: tuple[Expectation, ...]) -> None:
    """Write `runs/<id>.json`: the seconds of each step, how much it computed, and what was `expected` of the corpus `whole`."""
    steps: dict[str, Any] = {
        one.manifest.stage: {
            "seconds": round(one.seconds, 3),
            "recomputed_shards": one.recomputed_shards,
            "scored_rows": one.scored_rows,
            **one.now,
        }
        for one in done
    }
    now = time.time()
    # Sorted by name, records stand in the order of their runs, also of those that end within one second.
    run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}-{os.getpid()}"
    about = {"host": platform.node(), "workers": workers, "python": platform.python_version()}
    found = {expectations.OF_CORPUS: whole.hash, expectations.RECORDED: expectations.recorded(expected)}
    files.write_json(root / RUNS / f"{run}.json", {"id": run, **about, "steps": steps, **found})
    _write_page(root, wanted=bool(expected))


def _write_page(root: Path, *, wanted: bool) -> None:
    """Write the report of this run, which also says what is met and missed; remove that of an earlier run if none is wanted."""
    page = expectations.rendered(open_corpus(root)) if wanted else None
    if page is None:
        files.remove(root / expectations.PAGE)
    else:
        files.write_bytes(root / expectations.PAGE, page)
