"""Publishing a finished corpus in an object store.

Purpose: what `.versions` and its marker are on a disk: objects first, the pointer last.
Guarantee: readers see the old version or the new one, whole. The pointer is replaced only if it is still the one that the
publisher saw when its work began, so of several publishers one wins and the others are told (Locked). What is removed is
referred to by no version that is kept, and older than the pointer: whoever is uploading it has lost already.
Cost: each file that the version before did not have is read twice here (once to compare it with its manifest) and sent once;
one listing of the objects.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tokenmill.pipeline.base import files, manifest, state, versions
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError, Locked, NotBuilt
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import CORPUS
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.store import pointer
from tokenmill.pipeline.base.store.pointer import OBJECTS, POINTER, Pointer, PublishedState, StoredFile, SupersededVersion
from tokenmill.pipeline.base.store.protocol import Store

UPLOADS = 4
"""Files that are sent at once."""
FORGOTTEN = "tokens/forgotten.json"
"""The list of forgotten documents, which stands outside all versions."""
RECORD = f"{state.FOLDER}/publication.json"
"""In the working folder: which attempt was begun, so that one that was interrupted goes on."""


def require_room(store: Store, made_by: str | None, *, replace: bool) -> PublishedState:
    """What the place holds now, if a build of `made_by` may publish there. Writes nothing.

    Raises ConfigError for somebody else's objects and for the corpus of another config, unless it is to be replaced; InputError
    for a store that cannot be reached.
    """
    place = pointer.look(store)
    if place.pointer is None:
        other = next((found.key for found in store.listed() if not found.key.startswith(f"{OBJECTS}/")), None)
        if other is not None:
            raise ConfigError(f"--out {store.address}: holds objects ({other}, ...) and no corpus; choose a new prefix")
    elif not replace and None not in (made_by, place.pointer.made_by) and made_by != place.pointer.made_by:
        raise ConfigError(
            f"--out {store.address}: holds the corpus of {place.pointer.made_by!r}, and {made_by!r} would replace it; choose "
            "another --out, or add --replace if that corpus is no longer needed"
        )
    return place


def publish(
    work: Path, store: Store, before: PublishedState, progress: Progress, *, grace_seconds: float, made_by: str | None = None
) -> bool:
    """Make the finished corpus in the folder `work` the one that readers of the store see. Returns whether anything changed.

    Parameters
    ----------
    before
        What the store held when the work began.
    grace_seconds
        How long the objects of superseded versions stay for their readers; 0 removes them at once.

    Raises
    ------
    Locked
        Somebody else published meanwhile; nothing that readers see has changed.
    NotBuilt, CorruptFile, InputError
        There is no finished version in `work`, a file of it has changed, or the store fails.
    """
    now = versions.reading(work)
    if now.published is None:
        raise NotBuilt(f"{work}: holds no finished version to publish; run the build to its end, without --in-place")
    last = before.pointer
    listed = work / FORGOTTEN
    forgotten = _entry(listed) if listed.is_file() else None
    if last is not None and last.hash == now.published.hash and _same(last.forgotten, forgotten) and grace_seconds:
        return False
    live = {} if last is None else pointer.index_of(store, last.index)
    attempt = _attempt(work, before, now.published.hash)
    folder = f"{OBJECTS}/{attempt}"
    held = _send(store, now.folder, folder, live, progress)
    made = Pointer(
        made_by=made_by if made_by is not None or last is None else last.made_by,
        generation=1 if last is None else last.generation + 1,
        hash=now.published.hash,
        index=_put(store, folder, pointer.index_data(held)),
        forgotten=None if forgotten is None else _put(store, folder, files.read_bytes(listed)),
        publisher=secrets.token_hex(16),
        superseded=_superseded(last, grace_seconds),
    )
    if not store.swap(POINTER, made.data(), before=before.found) and not _was_ours(store, made):
        _withdraw(store, folder)
        files.remove(work / RECORD)
        found = pointer.look(store).pointer
        which = "removed what was published" if found is None else f"published version {found.generation}"
        raise Locked(
            f"{store.address}: somebody else {which} while this corpus was built, so nothing was published; it is finished in "
            f"{work}: run the same command again to put it in the place of that version"
        )
    files.remove(work / RECORD)
    progress.say(f"published as version {made.generation} of {store.address}")
    try:
        _collect(store, last)
    except InputError as error:
        if not grace_seconds:
            raise
        progress.say(f"warning: superseded objects stay until the next publication: {error}")
    return True


def _collect(store: Store, last: Pointer | None) -> None:
    """Remove the objects that no version refers to which readers may see. `last`: what the pointer said before."""
    place = pointer.look(store)
    if place.pointer is None or place.found is None:
        return
    used, before = _used(store, place.pointer), place.found.changed_ns
    dropped = set() if last is None else _used(store, last)
    store.remove(
        found.key
        for found in store.listed(OBJECTS)
        # What is newer than the pointer may belong to somebody who has just begun, and takes over nothing that was dropped.
        if found.key not in used and (found.key in dropped or found.changed_ns < before)
    )


def _used(store: Store, now: Pointer) -> set[str]:
    """The keys that the pointer and the versions in it refer to."""
    used = {now.index.key, *(() if now.forgotten is None else (now.forgotten.key,))}
    for index in (now.index, *(one.index for one in now.superseded)):
        used.add(index.key)
        with contextlib.suppress(CorruptFile):  # one that a publication before has removed, and was then cut off
            used |= {file.key for file in pointer.index_of(store, index).values()}
    return used


def _superseded(last: Pointer | None, grace_seconds: float) -> tuple[SupersededVersion, ...]:
    """The versions whose objects stay when `last` is superseded now."""
    if last is None or not grace_seconds:
        return ()
    now = time.time()
    every = (*last.superseded, SupersededVersion(index=last.index, publisher=last.publisher, since=now))
    return tuple(one for one in every if one.since + grace_seconds > now)


def _was_ours(store: Store, made: Pointer) -> bool:
    """Whether `made` was published, and then superseded, before its answer was read."""
    found = pointer.look(store).pointer
    return found is not None and made.publisher in (found.publisher, *(one.publisher for one in found.superseded))


def _withdraw(store: Store, folder: str) -> None:
    """Remove what a lost attempt has sent, but for what the winner refers to."""
    found = pointer.look(store).pointer
    used = set() if found is None else _used(store, found)
    store.remove(one.key for one in store.listed(folder) if one.key not in used)


def _attempt(work: Path, before: PublishedState, hash: str) -> str:
    """The folder of this attempt's objects: that of an interrupted one for the same version in the same place, or a new one."""
    about = [hash, None if before.found is None else before.found.etag]
    known = state.load(work / RECORD)
    if isinstance(known, dict) and known.get("about") == about:
        return str(known["attempt"])
    attempt = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(8)}"
    state.save(work / RECORD, {"attempt": attempt, "about": about})
    return attempt


def _send(
    store: Store, version: Path, folder: str, live: Mapping[str, StoredFile], progress: Progress
) -> dict[str, StoredFile]:
    """Send the files of a version that are not there yet. Returns all of them, by name."""
    there = {found.key: found.bytes for found in store.listed(folder)}
    held: dict[str, StoredFile] = {}
    missing: list[tuple[str, StoredFile]] = []
    for name, entry in _entries(version).items():
        known = live.get(name)
        if known is not None and (known.bytes, known.sha256) == (entry.bytes, entry.sha256):
            held[name] = known
            continue
        held[name] = StoredFile(key=f"{folder}/{entry.sha256}", bytes=entry.bytes, sha256=entry.sha256)
        if there.get(held[name].key) != entry.bytes:
            missing.append((name, held[name]))
    missing = list({file.key: (name, file) for name, file in missing}.values())
    progress.begin("publish", sum(file.bytes for _, file in missing), "bytes")

    def send(one: tuple[str, StoredFile]) -> int:
        name, file = one
        if not files.holds(version, name, pointer.entry_of(file)):
            raise CorruptFile(f"{version / name}: holds other bytes than its manifest names; run the build again")
        store.put(file.key, version / name)
        return file.bytes

    with ThreadPoolExecutor(UPLOADS) as pool:
        try:
            for sent in pool.map(send, missing):
                progress.advance(sent)
        except BaseException:  # also on Ctrl-C: what waits is not begun
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    progress.end(f"{len(missing):,} of {len(held):,} files sent")
    return held


def _entries(version: Path) -> dict[str, FileEntry]:
    """Every file of a version, with the hash that its manifest names; that of a manifest itself is computed."""
    found = {name: _entry(version / name) for name in versions.names_in(version) if Path(name).name == manifest.NAME}
    for name in (CORPUS, *manifest.load(version, CORPUS).inputs):
        found.update(manifest.load(version, name).entries())
    return found


def _entry(path: Path) -> FileEntry:
    data = files.read_bytes(path)
    return FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _put(store: Store, folder: str, data: bytes) -> StoredFile:
    digest = hashlib.sha256(data).hexdigest()
    key = f"{folder}/{digest}"
    store.put(key, data)
    return StoredFile(key=key, bytes=len(data), sha256=digest)


def _same(one: StoredFile | None, other: FileEntry | None) -> bool:
    return (None if one is None else one.sha256) == (None if other is None else other.sha256)
