"""Looks at an installation: what is there, what is missing, what to do about it.

Purpose: `tokenmill doctor`, for whoever has to find out why something is slow, refused or broken.
Guarantee: nothing is changed, no network is used, and no address is shown with a password. Cost: a second; it imports Numba.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tokenmill.pipeline import kernels
from tokenmill.pipeline.base.shortage import LEAST_ADDRESSES, free_bytes, free_memory
from tokenmill.pipeline.base.words import address, amount
from tokenmill.pipeline.collect.parser import confine
from tokenmill.pipeline.kernels import machine_code

NAME = "tokenmill"
LOCK = Path(__file__).parents[1] / ".ci" / "constraints.txt"
"""The versions that the tests run with. It stands beside the source, not in an installed package."""
LEAST_DISK, LITTLE_DISK = 100_000_000, 5_000_000_000
LEAST_MEMORY, LITTLE_MEMORY = 500_000_000, 2_000_000_000
"""Bytes below which something is wrong, or worth a word."""
LITTLE_FILES = 256
"""Open files that a build with few workers stays below."""
FEW = 5
State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. `advice`: what to do; "" if nothing is to be done."""

    what: str
    state: State
    found: str
    advice: str = ""


def findings(folder: Path, *, prefect_home: Path, api_url: str | None) -> list[Finding]:
    """Everything, in an order that one reads. `folder`: where a corpus is to stand. `api_url`: Prefect's, if one is set."""
    return [
        _python(),
        *_packages(),
        *_lock(),
        *(_disk(what, path) for what, path in (("disk", folder), ("temporary files", Path(tempfile.gettempdir())))),
        _memory(),
        _open_files(),
        _text(),
        _kernels(),
        _sandbox(),
        *_prefect(prefect_home, api_url),
    ]


def _python() -> Finding:
    """tokenmill itself, on which Python and machine."""
    about = f"{NAME} {version(NAME)}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    cores = f"{len(os.sched_getaffinity(0))} CPU cores for this process"
    return Finding(what="version", state="ok", found=f"{about}, {cores}")


def _packages() -> Iterator[Finding]:
    """Each required package that is missing or has another version, or one line if all fit."""
    needed = [one for one in map(Requirement, requires(NAME) or []) if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = False
    for one in needed:
        installed = _installed(one.name)
        if installed is not None and one.specifier.contains(installed, prereleases=True):
            continue
        wrong = True
        there = "is not installed" if installed is None else f"{installed} is installed"
        fit = f"'{one.name}{one.specifier}'"
        yield Finding(what="package", state="wrong", found=f"{fit} is required, {there}", advice=f"pip install {fit}")
    if not wrong:
        yield Finding(what="packages", state="ok", found=f"all {len(needed)} have the versions that {NAME} requires")


def _lock() -> Iterator[Finding]:
    """How the installed versions differ from the lock, where there is one."""
    if not LOCK.is_file():
        return
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    found = {name: _installed(name) for name in pins}
    # A build for one kind of machine has its name behind the version: 2.13.0+cpu.
    plain = {name: one.partition("+")[0] for name, one in found.items() if one is not None}
    other = [f"{name} {plain[name]} (lock: {pin})" for name, pin in pins.items() if plain.get(name, pin) != pin]
    if not other:
        yield Finding(what="lock", state="ok", found=f"installed packages have the versions of {LOCK.name}")
        return
    more = f", and {len(other) - FEW} more" if len(other) > FEW else ""
    advice = "`make setup` installs the versions that the tests run with"
    yield Finding(what="lock", state="note", found=f"other versions: {', '.join(other[:FEW])}{more}", advice=advice)


def _installed(name: str) -> str | None:
    with contextlib.suppress(PackageNotFoundError):
        return version(canonicalize_name(name))
    return None


def _disk(what: str, path: Path) -> Finding:
    free, standing = free_bytes(path), _standing(path)
    if not _takes_files(standing):
        advice = "choose another folder, or make it writable for you"
        there = "cannot be written" if standing.is_dir() else "is no folder"
        return Finding(what=what, state="wrong", found=f"{standing} {there}", advice=advice)
    if free is None:
        return Finding(what=what, state="note", found=f"nobody can tell what is free in {path}")
    state: State = "wrong" if free < LEAST_DISK else "note" if free < LITTLE_DISK else "ok"
    advice = "" if state == "ok" else "make room, or use another disk; `tokenmill build ... --dry-run` says what a build takes"
    return Finding(what=what, state=state, found=f"{amount(free)} free for {path}", advice=advice)


def _standing(path: Path) -> Path:
    """The folder itself, or the nearest thing above that exists, which may be a file in its way."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if os.path.lexists(one))


def _takes_files(standing: Path) -> bool:
    return standing.is_dir() and os.access(standing, os.W_OK | os.X_OK)


def _memory() -> Finding:
    """What this process can still take: of the machine, of its control group, and of its own limit."""
    known = free_memory()
    if not known:
        return Finding(what="memory", state="note", found="nobody can tell how much is free")
    name, free = min(known.items(), key=lambda pair: pair[1])
    refused = known.get("ulimit -v", LEAST_ADDRESSES) < LEAST_ADDRESSES
    state: State = "wrong" if free < LEAST_MEMORY or refused else "note" if free < LITTLE_MEMORY else "ok"
    advice = "" if state == "ok" else "use --workers 1 and a smaller collect.shard_bytes, or raise the limit"
    return Finding(what="memory", state=state, found=f"{amount(free)} available ({name})", advice=advice)


def _open_files() -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= limit < LITTLE_FILES
    advice = "raise it (`ulimit -n 4096`), or use fewer --workers" if few else ""
    return Finding(what="open files", state="note" if few else "ok", found=f"at most {limit:,} (ulimit -n)", advice=advice)


def _text() -> Finding:
    names, shown = sys.getfilesystemencoding(), getattr(sys.__stdout__, "encoding", "utf-8")
    fit = {one.lower().replace("-", "") for one in (names, shown)} == {"utf8"}
    advice = "" if fit else "set LC_ALL=C.UTF-8, so that names of files and documents are shown as they are"
    return Finding(what="text", state="ok" if fit else "note", found=f"file names {names}, terminal {shown}", advice=advice)


def _kernels() -> Finding:
    """Whether machine code is there, or can be kept once it is made."""
    if kernels.compiled():
        there = next((one for one in machine_code.FOLDERS if one.is_dir()), machine_code.FOLDERS[0])
        return Finding(what="kernels", state="ok", found=f"compiled, in {there}")
    keeping = [one for one in machine_code.FOLDERS if _takes_files(_standing(one))]
    if keeping:
        advice = "the next build compiles them, once, in up to a minute"
        return Finding(what="kernels", state="note", found=f"not compiled yet; {keeping[0]} will keep them", advice=advice)
    advice = "make one of them writable for you: without it every process compiles them again, for up to a minute"
    found = f"cannot be kept in {' or '.join(map(str, machine_code.FOLDERS))}"
    return Finding(what="kernels", state="wrong", found=found, advice=advice)


def _sandbox() -> Finding:
    missing = confine.lacking()
    if not missing:
        return Finding(what="sandbox", state="ok", found="Landlock and seccomp confine the parsers of foreign files")
    advice = "collect files from strangers on a machine with a newer kernel, or in a container that allows both"
    return Finding(what="sandbox", state="note", found=f"the kernel lacks {'; '.join(missing)}", advice=advice)


def _prefect(home: Path, api_url: str | None) -> Iterator[Finding]:
    writable = _takes_files(_standing(home))
    advice = "" if writable else "set PREFECT_HOME to a folder of yours, or build with --no-prefect"
    yield Finding(what="Prefect's home", state="ok" if writable else "wrong", found=str(home), advice=advice)
    database = home / "prefect.db"
    if database.is_file() and database.stat().st_mode & 0o077:
        found = f"{database} can be read by other users"
        yield Finding(what="Prefect's data", state="note", found=found, advice=f"chmod 600 {database}")
    url = api_url or _of_profile(home / "profiles.toml")
    shown = address(url) if url else "none set: a build starts an embedded one, `serve` one of its own"
    yield Finding(what="Prefect's server", state="ok", found=shown)


def _of_profile(path: Path) -> str | None:
    """The address of the server in Prefect's active profile."""
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    chosen = profiles.get("profiles", {}).get(profiles.get("active"), {})
    url = chosen.get("PREFECT_API_URL") if isinstance(chosen, Mapping) else None
    return url if isinstance(url, str) else None
