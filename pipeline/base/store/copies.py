"""Reading a corpus that is published in an object store: a copy on this machine of what a command needs of it.

Purpose: every reader of a corpus reads a folder. For an address, that is a folder in the cache of this machine with a version
for each one that the pointer named: `.versions/<n>`, as in the folder of a build. It holds the files that were asked for.
Guarantee: a file gets its name after its bytes were compared with the SHA-256 in the index, which the pointer names. A reader
holds a lease on its version (`pipeline.base.versions`), so a newer one, fetched beside, takes nothing from it; superseded
versions are removed when nobody holds them. Documents that were forgotten are masked from the next opening on. One process
fetches at a time; the others wait for it.
Cost: one small read of the store for each opening, and once each byte that is asked for. Files that two versions share are
links.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tokenmill.pipeline.base import files, manifest, ownership, state, versions
from tokenmill.pipeline.base.address import parse
from tokenmill.pipeline.base.errors import CorruptFile, Locked, NotBuilt, StaleInput
from tokenmill.pipeline.base.files import Published
from tokenmill.pipeline.base.store import pointer
from tokenmill.pipeline.base.store.client import open_store
from tokenmill.pipeline.base.store.pointer import Pointer, StoredFile
from tokenmill.pipeline.base.store.protocol import Store, StoredObject
from tokenmill.pipeline.base.store.publishing import FORGOTTEN

INDEX = f"{state.FOLDER}/index.json"
"""In the folder of a copy: the index of the version that readers see."""
FETCHES = 4
"""Files that are fetched at once."""
WAIT_SECONDS = 0.2
MOVED = 3
"""Openings that find the version gone, because a newer one was published meanwhile, before that is an error."""

Wanted = Callable[[str], bool]
"""Whether a file of a corpus, by its name, is needed."""


def everything(_: str) -> bool:
    """All files of a corpus."""
    return True


def summary(name: str) -> bool:
    """What says how a corpus was made and what it holds: manifests, settings, the report, records that were refused."""
    return Path(name).name == manifest.NAME or "/" not in name or name.startswith(("quarantine/", "collect/dropped"))


def tokens(name: str) -> bool:
    """What a trainer reads: the token store, the tokenizer, and the summary."""
    return name.startswith(("tokens/", "tokenizer/")) or summary(name)


def cache_folder() -> Path:
    """Where copies are kept if the caller says nothing."""
    return Path.home() / ".cache" / "tokenmill" / "stores"


def mirror(address: str, *, wanted: Wanted = everything, cache: Path | None = None, anew: bool = False) -> Path:
    """The folder of a copy of the corpus at an address, with the version that is published now.

    Parameters
    ----------
    wanted
        Which files are needed; the copy holds at least those.
    cache
        The folder that copies are kept in.
    anew
        Read every file from the store again, also those that are there: that proves what the store holds.

    Raises
    ------
    NotBuilt
        Nothing is published at the address.
    CorruptFile
        An object is missing, or holds other bytes than were published.
    ConfigError, InputError
        The address is none, the extra is missing, or the store cannot be reached.
    """
    whole = parse(address)
    root = (cache or cache_folder()) / whole.slug / "copy"
    store = open_store(whole, patient=False)
    for _ in range(MOVED):
        now = pointer.look(store).pointer
        if now is None:
            raise NotBuilt(f"{whole}: holds no published corpus; build one there with `tokenmill build ... --out {whole}`")
        try:
            _bring(open_store(whole), root, now, wanted, anew=anew)
            return root
        except CorruptFile:
            again = pointer.look(store).pointer
            if again is None or again.index == now.index:
                raise
    raise StaleInput(f"{whole}: newer versions are published faster than they can be fetched; try again later")


def _bring(store: Store, root: Path, now: Pointer, wanted: Wanted, *, anew: bool) -> None:
    """Make the copy in `root` hold these files of the version `now`, and make it the one that readers see."""
    while True:
        if not anew and _is_there(store, root, now, wanted):
            return
        try:
            with files.lock(root):
                _fetch(store, root, now, wanted, anew=anew)
                return
        except Locked:
            # Somebody else fetches, perhaps these very files. A process that ends lets go.
            time.sleep(WAIT_SECONDS)


def _is_there(store: Store, root: Path, now: Pointer, wanted: Wanted) -> bool:
    found = files.marker(root)
    if found is None or found.published != Published(generation=now.generation, hash=now.hash):
        return False
    listed = root / FORGOTTEN
    if now.forgotten is None:
        if listed.exists():
            return False
    elif not files.holds(root, FORGOTTEN, pointer.entry_of(now.forgotten)):
        return False
    held = _known_index(store, root, now)
    return held is not None and not _missing(versions.path_of(root, now.generation), held, wanted)


def _fetch(store: Store, root: Path, now: Pointer, wanted: Wanted, *, anew: bool) -> None:
    found = ownership.take(root, [])
    state.save(root / versions.ORIGIN, {"address": str(store.address)})
    held = _known_index(store, root, now)
    if held is None:
        data = pointer.stored(store, now.index)
        held = pointer.parsed(data, f"{store.address}/{now.index.key}")
        files.write_bytes(root / INDEX, data)
    folder = versions.path_of(root, now.generation)
    if not (folder / versions.LEASE).exists():
        files.write_bytes(folder / versions.LEASE, b"")
    before = None if found.published is None else versions.path_of(root, found.published.generation)
    names = [name for name in held if wanted(name)] if anew else _missing(folder, held, wanted)
    # Manifests first, so that a version that is only begun says what it may hold.
    first = [name for name in names if Path(name).name == manifest.NAME]
    for group in (first, [name for name in names if Path(name).name != manifest.NAME]):
        with ThreadPoolExecutor(FETCHES) as pool:
            for _ in pool.map(lambda name: _bring_file(store, folder, before, name, held[name], anew=anew), group):
                pass
    if now.forgotten is not None:
        files.write_bytes(root / FORGOTTEN, pointer.stored(store, now.forgotten))
    else:
        files.remove(root / FORGOTTEN)
    versions.show(root, Published(generation=now.generation, hash=now.hash))
    files.settle(root)


def _bring_file(store: Store, folder: Path, before: Path | None, name: str, file: StoredFile, *, anew: bool) -> None:
    path, entry = folder / name, pointer.entry_of(file)
    if not anew and before is not None and before != folder and files.holds(before, name, entry):
        files.link(before, [(name, entry)], path)
        return
    with files.create(path) as out:
        try:
            store.fetch(StoredObject(key=file.key, bytes=file.bytes, etag=None, version=None, changed_ns=0), out)
        except StaleInput as error:
            raise CorruptFile(f"{store.address}/{file.key} ({name}): is missing or has another length") from error
        if out.entry().sha256 != file.sha256:
            raise CorruptFile(f"{store.address}/{file.key} ({name}): holds other bytes than were published")


def _missing(folder: Path, held: Mapping[str, StoredFile], wanted: Wanted) -> list[str]:
    """The wanted files that are not there. What is there was compared when it came, and readers compare it again."""

    def size(name: str) -> int | None:
        with contextlib.suppress(OSError):
            return os.stat(folder / name).st_size
        return None

    return [name for name, file in held.items() if wanted(name) and size(name) != file.bytes]


def _known_index(store: Store, root: Path, now: Pointer) -> dict[str, StoredFile] | None:
    if not files.holds(root, INDEX, pointer.entry_of(now.index)):
        return None
    return pointer.parsed(files.read_bytes(root / INDEX), str(store.address))
