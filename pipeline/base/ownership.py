"""Which folders are ours, and which files in them.

Purpose: a folder is a corpus if it has the marker (`files.MARKER`), or if it was built before markers were written and its
manifests or records prove it; then it gets one. Only names that the journal or a manifest of ours has are ever removed.
Guarantee: a folder of another program, whatever its names are, is neither built in nor changed.
Cost: a few reads; to take over an old corpus, one listing of it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from tokenmill.pipeline.base import files, manifest, state, versions
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.base.files import Marker
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS

_HARMLESS = {".lock", ".DS_Store", ".directory", ".gitignore", ".gitkeep", "lost+found"}
"""What may stand in a folder that counts as empty: a lock, and what file systems and file managers put there."""
_RECORDS = ("inputs.json", "forgotten.json")


def is_ours(root: Path) -> bool:
    """Whether a build of ours made this folder. Raises NewerFormat if a newer tokenmill did."""
    return files.marker(root) is not None or _proves_itself(root)


def around(root: Path) -> Path | None:
    """The corpus that the folder `root`, which may not exist yet, is inside of; None if there is none."""
    absolute = Path(os.path.abspath(root))
    above = dict.fromkeys((*absolute.parents, *absolute.resolve().parents))
    return next((folder for folder in above if is_ours(folder)), None)


def require_room(root: Path) -> None:
    """Refuse a folder that is neither a corpus nor empty, or that is inside a corpus. Writes nothing. Raises ConfigError."""
    files.require_local(root)
    corpus = around(root)
    if corpus is not None:
        raise ConfigError(f"--out {root}: is inside the corpus {corpus}; choose a folder outside of it")
    if not root.exists():
        return
    if not root.is_dir():
        raise ConfigError(f"--out {root}: is a file; give a folder")
    marked = files.marker(root) is not None
    if not marked and os.path.lexists(root / files.MARKER):
        raise ConfigError(
            f"--out {root}: its {files.MARKER} is not the one that tokenmill wrote, so what is there may be somebody else's; "
            "move that file away, and run the build again"
        )
    if marked or _proves_itself(root):
        return
    there = sorted(name for name in os.listdir(root) if not _is_harmless(root / name))
    if there:
        few = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise ConfigError(f"--out {root}: is not empty ({few}) and holds no corpus; choose a new or an empty folder")


def take(root: Path, folders: Iterable[str]) -> Marker:
    """The marker of the corpus in `root`, written if there is none yet. Call it under the lock, after `require_room`.

    `folders`: those of ours in a corpus, with names of stages; in a corpus of before markers, our files are found in them.
    """
    found = files.marker(root)
    if found is None:
        found = Marker(id=secrets.token_hex(16))
        files.note(root, _names_of_old(root, folders), durable=True)
        files.mark(root, found)
    return found


def name(root: Path, made_by: str | None, *, replace: bool) -> None:
    """Say which preset or config file the corpus is built from. Call it under the lock, before anything changes.

    Raises ConfigError if another one made it, unless it is to be replaced.
    """
    found = files.marker(root)
    if found is None or made_by is None or found.made_by == made_by:
        return
    require_same(root, made_by, replace=replace)
    files.mark(root, Marker(**{**vars(found), "made_by": made_by}))


def require_same(root: Path, made_by: str | None, *, replace: bool) -> None:
    """Raises ConfigError if the corpus in `root` was made by another preset or config file, unless it is to be replaced."""
    found = files.marker(root)
    if replace or found is None or None in (made_by, found.made_by) or found.made_by == made_by:
        return
    raise ConfigError(
        f"--out {root}: holds the corpus of {found.made_by!r}, and {made_by!r} would replace it; choose another --out, or add "
        "--replace if that corpus is no longer needed"
    )


def require_no_links(root: Path, names: Iterable[str]) -> None:
    """Raises NotOurs if one of our names in the corpus folder is a symbolic link: nothing is written through one."""
    for each in names:
        if (root / each).is_symlink():
            raise files.not_ours(root / each)


def known(root: Path) -> set[str]:
    """The names of all files in the corpus folder that tokenmill has made: of the journal, and of published manifests."""
    with_lease = versions.reading(root)
    return files.noted(root) | versions.names_in(root) | versions.names_in(with_lease.folder)


def remove_others(root: Path, folders: Iterable[str], ours: Collection[str], keep: Collection[str]) -> list[str]:
    """Remove the files in these folders that are among `ours`, but for those to `keep`.

    Returns the names of all others, which stay.
    """
    foreign = []
    for folder in folders:
        for path in list(files.listed(root / folder)):
            each = path.relative_to(root).as_posix()
            if each in keep:
                continue
            if each in ours:
                files.remove(path)
            else:
                foreign.append(each)
    return foreign


def _proves_itself(root: Path) -> bool:
    """Whether a corpus of before markers stands there: a manifest or a record holds the hash of itself."""
    if not (root / state.FOLDER).is_dir():
        # Without records it is a copy, which is taken over only if it is whole.
        return manifest.stage_in(root) == CORPUS
    whole = any(manifest.find(root, each) is not None for each in (CORPUS, COLLECT))
    return whole or any(state.load(root / state.FOLDER / each) is not None for each in _RECORDS)


def _is_harmless(path: Path) -> bool:
    """Whether a folder with this in it still counts as empty: file managers made it, or a build killed at its beginning."""
    left = files.parsed(path.name)
    # A build that was killed while it wrote its first marker leaves that.
    if path.name in _HARMLESS or (left is not None and left.name == files.MARKER):
        return True
    return path.name == state.FOLDER and path.is_dir() and {each.name for each in path.iterdir()} <= {"names"}


def _names_of_old(root: Path, folders: Iterable[str]) -> set[str]:
    """The names of our files in a corpus of before markers: what its manifests and its records name, and the records."""
    found = set()
    for folder in folders:
        try:
            made = manifest.read(root / folder / manifest.NAME)
        except (OSError, CorruptFile):
            continue
        found |= {f"{folder}/{manifest.NAME}", *(each for each, _ in made.entries())}
    found |= versions.names_in(root)
    records = root / state.FOLDER
    for path in files.listed(records):
        first, *rest = path.relative_to(records).parts
        value = state.load(path) if path.suffix == ".json" else None
        found |= _named_in(value)
        # No source is called with a dot at the beginning, so such a folder of a stage is for its own work.
        if value is not None or (first in folders and rest and rest[0].startswith(".")):
            found.add(path.relative_to(root).as_posix())
    return found


def _named_in(value: object) -> set[str]:
    """The files that a record of a step names: keys and values that are paths of our folders."""
    if isinstance(value, dict):
        return set().union(*map(_named_in, value), *map(_named_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(_named_in, value))
    return {value} if isinstance(value, str) and _PATH.fullmatch(value) else set()


_PATH = re.compile(r"\.?[a-z]+/[^\0]+\.[a-z.]+")
