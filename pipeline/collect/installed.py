"""The documentation installed on this machine, as files with names that are the same on every machine.

Purpose: lists the Python modules of the standard library and of the environment's distributions, the descriptions and text
files of those distributions as their RECORD names them, and /usr/share/doc.
Guarantee: nothing is imported. Names are `stdlib/...`, `<distribution>/...` and `usr-share-doc/...`, without versions. Files
that RECORD names outside its folder are not read. Our own distribution is left out, so that editing it does not change a
corpus.
Cost: one stat per file, about a second for 25,000.
"""

from __future__ import annotations

import csv
import email.parser
import os
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.entries import Reason, Seen, spelled, unreadable
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.kinds import Kind, kind_of
from tokenmill.pipeline.collect.listing import InputFile, Listing, describe, in_order, name_below

OURSELVES = "tokenmill"
NO_MODULES = frozenset({"__pycache__", "site-packages", "dist-packages"})
How = tuple[Kind, Codec]
DIST_INFO = re.compile(r"^[^/]+\.dist-info/")


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders where documentation is installed. A folder that does not exist counts as empty."""

    stdlib: Path
    site: tuple[Path, ...]
    share_doc: Path


def places() -> Places:
    """The folders of the running interpreter and its environment."""
    paths = sysconfig.get_paths()
    site = dict.fromkeys((paths["purelib"], paths["platlib"]))
    return Places(stdlib=Path(paths["stdlib"]), site=tuple(map(Path, site)), share_doc=Path("/usr/share/doc"))


def listing(where: Places) -> Listing:
    """Every installed file with documentation. Raises InputError if there is none, or if a folder cannot be read."""
    found: dict[str, InputFile] = {}
    left_out: Counter[Reason] = Counter()
    for path, name, how in _candidates(where):
        if isinstance(how, str):
            left_out[how] += 1
            continue
        seen = Seen(roots=(), follow_links=True)
        seen.file(path)
        if path in seen.entries:
            found.setdefault(name, describe(seen.entries[path], name, *how))
        left_out.update(seen.left_out.values())
    if not found:
        raise InputError(f"no documentation is installed below {where.stdlib}, {where.share_doc} or the site packages")
    return Listing(files=in_order(found.values()), left_out=dict(sorted(left_out.items())))


def _candidates(where: Places) -> Iterator[tuple[str, str, How | Reason]]:
    for base, folders, names in os.walk(where.stdlib, onerror=unreadable) if where.stdlib.exists() else ():
        folders[:] = sorted(name for name in folders if name not in NO_MODULES)
        for path in (os.path.join(base, name) for name in sorted(names) if name.endswith(".py")):
            yield path, f"stdlib/{name_below(path, str(where.stdlib))}", ("python", "")
    for site in where.site:
        for info in sorted(site.glob("*.dist-info")):
            yield from _distribution(site, info)
    shared = Seen(roots=(str(where.share_doc),))
    if where.share_doc.exists():
        shared.folder(str(where.share_doc))
    for path in sorted(shared.entries):
        # Links in this folder point to files that are listed under their own names.
        if not os.path.islink(path):
            yield path, f"usr-share-doc/{name_below(path, str(where.share_doc))}", _page(path) or "unknown_kind"


def _distribution(site: Path, info: Path) -> Iterator[tuple[str, str, How | Reason]]:
    try:
        metadata = (info / "METADATA").read_bytes()
        with open(info / "RECORD", newline="", encoding="utf-8", errors="surrogateescape") as handle:
            rows = [row[0] for row in csv.reader(handle) if row]
    except OSError:
        # The installation is incomplete: nothing says which files belong to the distribution.
        return
    except csv.Error:
        yield str(info / "RECORD"), f"{info.name}/RECORD", "unknown_kind"
        return
    # A name with bytes that are not ASCII is a `Header`.
    name = str(email.parser.BytesHeaderParser().parsebytes(metadata).get("Name") or info.name.partition("-")[0])
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name == OURSELVES or not name:
        return
    yield str(info / "METADATA"), f"{name}/METADATA", ("description", "")
    for row in rows:
        how: How | None = ("python", "") if row.endswith(".py") else _page(row)
        if how is None:
            continue
        try:
            path = str(files.inside(site, row))
        except InputError:
            yield row, row, "link_outside"
            continue
        below = spelled(os.fsencode(row))
        yield path, f"{name}/{DIST_INFO.sub('dist-info/', below)}", how


def _page(path: str) -> How | None:
    how = kind_of(path)
    return how if how is not None and how[0] in ("text", "html") else None
