"""Corpora that are published in an object store: where they are built, and how they are changed.

Purpose: a build works in a folder of this machine, as ever, and publishes the finished version at its address. `forget` and
`compact` do the same with a version that is published already.
Guarantee: what is published is replaced only if it is still what was there when the work began: else Locked. What was
forgotten stays so, also in a build on another machine that knows nothing of it. An address is checked, and the store asked,
before any work. Cost: a few small requests; for `forget` and `compact` on another machine than the builder's, a copy of the
corpus.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenmill.flows import housekeeping
from tokenmill.pipeline.base import files, formats, manifest, state, store, versions
from tokenmill.pipeline.base.errors import ConfigError, ExpectationMissed, NotBuilt
from tokenmill.pipeline.base.manifest import CORPUS
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.store import PublishedState, Store, pointer
from tokenmill.pipeline.corpus import TOKENS
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.forget import Request

HOUR_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class PublishedAt:
    """Where a corpus is built, and where it is published then."""

    root: Path
    """The working folder."""
    store: Store
    before: PublishedState
    """What was published when the work began."""
    made_by: str | None

    def begin(self) -> None:
        """Put what is forgotten at the address on the list of the working folder. Call it before the first build step."""
        published = self.before.pointer
        if published is None or published.forgotten is None:
            return
        root, data = self.root, pointer.stored(self.store, published.forgotten)
        known = forget.load(root / TOKENS) if root.is_dir() else None
        if known is None:
            with housekeeping.at_work(root):
                files.write_bytes(root / forget.LIST, data)
                state.save(root / state.FOLDER / forget.NAME, True, durable=True)
            return
        where = f"{self.store.address}/{published.forgotten.key}"
        ids = tuple(bytes.fromhex(one) for one in formats.opened(data, formats.FORGOTTEN, Path(where))["documents"])
        if not set(ids) <= set(known.documents):
            request = Request(by="ids_file", value=published.forgotten.sha256, ids=ids)
            with housekeeping.at_work(root):
                forget.forget(root, [request])

    @contextlib.contextmanager
    def after(self, progress: Progress, *, grace_hours: float) -> Iterator[None]:
        """Publish what the block builds, also if it is not as expected. Raises Locked as `publish` does."""
        try:
            yield
        except ExpectationMissed:
            self.publish(progress, grace_hours=grace_hours)
            raise
        self.publish(progress, grace_hours=grace_hours)

    def publish(self, progress: Progress, *, grace_hours: float) -> None:
        """Publish what stands finished in the working folder. Raises Locked if somebody else did so meanwhile."""
        store.publish(
            self.root,
            self.store,
            self.before,
            progress,
            grace_seconds=grace_hours * HOUR_SECONDS,
            made_by=self.made_by,
        )


def work_folder(address: str, cache: Path | None) -> Path:
    """The folder that a corpus for an address is built in, if none is named."""
    return (cache or store.cache_folder()) / store.parse(address).slug / "work"


def target(address: str, root: Path, *, made_by: str | None, replace: bool = False, in_place: bool = False) -> PublishedAt:
    """The corpus at an address, as what is about to be built in `root`.

    Raises ConfigError for an address that is none, without the extra, or if somebody else's objects are there; InputError if
    the store cannot be reached.
    """
    whole = store.parse(address)
    if in_place:
        raise ConfigError(f"--out {whole}: --in-place keeps no version, and versions are what is published; leave it out")
    place = store.require_room(store.open_store(whole, patient=False), made_by, replace=replace)
    return PublishedAt(root=root, store=store.open_store(whole), before=place, made_by=made_by)


@contextlib.contextmanager
def changing(address: str, cache: Path | None, progress: Progress, *, grace_hours: float) -> Iterator[Path]:
    """The working folder with the version that is published at an address. What the block changes is published after it."""
    root = work_folder(address, cache)
    whole = store.parse(address)
    place = pointer.look(store.open_store(whole, patient=False))
    if place.pointer is None:
        raise NotBuilt(f"{whole}: holds no published corpus; build one there with `tokenmill build ... --out {whole}`")
    here = versions.reading(root)
    if here.published is None or here.published.hash != place.pointer.hash:
        progress.say(f"fetching {whole} to {root}")
        _clone(address, cache, root)
    found = PublishedAt(root=root, store=store.open_store(whole), before=place, made_by=None)
    found.begin()
    yield root
    found.publish(progress, grace_hours=grace_hours)


def _clone(address: str, cache: Path | None, root: Path) -> None:
    """Make the folder `root` hold, and show, the version that is published at an address."""
    now = versions.reading(store.mirror(address, cache=cache))
    whole = manifest.load(now.folder, CORPUS)
    steps = [manifest.load(now.folder, name) for name in whole.inputs]
    with housekeeping.at_work(root):
        manifest.withdraw(root, [CORPUS, *housekeeping.FOLDERS])
        for made in (*steps, whole):
            for name, entry in made.entries():
                files.link(now.folder, [(name, entry)], root / name)
        for made in (*steps, whole):
            manifest.commit(root, made)
        versions.publish(root)
