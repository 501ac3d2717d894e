"""Globs in `collect.paths`: which files a pattern names.

Guarantee: as for folders, links to folders are not followed unless the source says so, and corpora are left out. So a pattern
with `**` ends where links form a loop, which `glob` follows 40 levels deep. A folder that it looks into and cannot read is an
error, where `glob` would treat it as empty. Entries that it does not name are not counted.
Cost: `**` looks at everything below the pattern's fixed part.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from tokenmill.pipeline.collect.entries import Reason, Seen, is_corpus, unreadable

ANYWHERE = "**"
NOT_ENTERED: tuple[Reason, ...] = ("corpus", "link_to_folder")
"""Folders below which a pattern with `**` might have named files. They count whether or not it names them."""


def fixed(pattern: str) -> str:
    """The folder above a pattern's first part that is one."""
    folder = Path(pattern)
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return str(folder)


def see(pattern: str, seen: Seen) -> bool:
    """Take the files that a pattern names, and all that is in folders that it names. False if it names nothing.

    Raises InputError if a folder that it looks into cannot be read.
    """
    folder = fixed(pattern)
    parts = Path(pattern).relative_to(folder).parts
    if not os.path.isdir(folder):
        return False
    return _anywhere(folder, parts, seen) if ANYWHERE in parts else _at_depth(pattern, folder, parts, seen)


def _anywhere(folder: str, parts: Sequence[str], seen: Seen) -> bool:
    below = seen.part()
    below.folder(folder, hidden=any(part.startswith(".") for part in parts))

    def named(path: str) -> bool:
        steps = Path(path).relative_to(folder).parts
        return any(not any(step.startswith(".") for step in steps[depth:]) for depth in reached(parts, steps))

    found = seen.part()
    found.entries = {path: entry for path, entry in below.entries.items() if named(path)}
    found.left_out = {path: why for path, why in below.left_out.items() if why in NOT_ENTERED or named(path)}
    found.own_seen = below.own_seen
    seen.add(found)
    return bool(found.entries or found.left_out or found.own_seen)


def reached(parts: Sequence[str], steps: Sequence[str]) -> set[int]:
    """How many of the first `steps` of a path the pattern can name. As in `glob`, only a dot names a dot at the beginning."""
    reached = {0}
    for part in parts:
        if part == ANYWHERE:
            for depth, step in enumerate(steps):
                if depth in reached and not step.startswith("."):
                    reached.add(depth + 1)
        else:
            reached = {depth + 1 for depth in reached if depth < len(steps) and _fits(steps[depth], part)}
    return reached


def _fits(step: str, part: str) -> bool:
    return (part.startswith(".") or not step.startswith(".")) and fnmatch.fnmatchcase(step, part)


def _at_depth(pattern: str, folder: str, parts: Sequence[str], seen: Seen) -> bool:
    _check_readable(folder, parts)
    matches = sorted(glob.glob(pattern))
    for match in matches:
        between = [str(above) for above in reversed(Path(match).parents) if len(above.parts) > len(Path(folder).parts)]
        link = next((above for above in between if os.path.islink(above)), None)
        corpus = next(filter(is_corpus, between), None)
        if link is not None and not seen.follow_links:
            seen.left_out[link] = "link_to_folder"
        elif corpus is not None:
            seen.corpus(corpus)
        elif not os.path.isdir(match):
            seen.file(match)
        elif not os.path.islink(match) or seen.enters(match):
            seen.folder(match)
    return bool(matches)


def _check_readable(folder: str, parts: Sequence[str]) -> None:
    for depth, part in enumerate(parts):
        if not glob.has_magic(part):
            continue
        for place in glob.iglob(os.path.join(folder, *parts[:depth], "")):
            try:
                os.scandir(place).close()
            except OSError as error:
                unreadable(error)
