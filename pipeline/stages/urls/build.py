"""Makes the index of each list, once, and finds it again as long as the list holds the same bytes.

Purpose: a list of 100 million entries takes minutes to read; the next build of the corpus, and all its workers, map the result.
Guarantee: an index is known by the SHA-256 of all its list's files and by what decides how lines are read, and its own files
are compared with their hashes before it is used again. It is the same for any memory and number of workers.
Cost: about 1.5 us for each line, in workers, and one sort outside memory: 16 bytes and the entry's text for each entry. A task
holds the lines of BLOCK_BYTES; a gzipped file is one task.
"""

from __future__ import annotations

import codecs
import dataclasses
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from tokenmill.pipeline.base import files, manifest, state
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Run
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.stages.urls.hashes import of_keys
from tokenmill.pipeline.stages.urls.index import KINDS, PLACE_BITS, ListIndex
from tokenmill.pipeline.stages.urls.lines import LONGEST, keys
from tokenmill.pipeline.stages.urls.settings import Kind, UrlList

VERSION = 1
"""Of the way in which lines are read and an index is written."""
FOLDER = ".lists"
"""Below `.state/urls`. No source name begins with a dot, so it is no record of a shard."""
NAMES = ("domains", "urls", "domains.gz", "urls.gz")
"""Files of a folder that are read, as UT1's lists have them."""
PART_BYTES = 32_000_000
"""Bytes of a file that is not gzipped for one task (approximate)."""
BLOCK_BYTES = 4_000_000
"""Bytes of lines that a task holds and sorts at a time. As Python's objects and hashed they take about 30 times as much."""
EXAMPLE_CHARACTERS = 200
GZIP = b"\x1f\x8b"
"""The first bytes of a gzipped file."""


@dataclass(frozen=True, kw_only=True)
class ListFacts:
    """What a list held."""

    lines: int
    entries: int
    """Keys, also those that occur more than once."""
    unread_lines: int
    """Lines that are no entry, such as Adblock's rules."""
    example: str
    """The beginning of the first of them."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The lines of a file from byte `first` to the one before `last`, or to the end."""

    path: Path
    first: int
    last: int | None
    kind: Kind
    subdomains: bool
    number: int
    folder: Path
    """For the keys."""
    scratch: Path


@dataclass(frozen=True, kw_only=True)
class _Read:
    runs: list[Run]
    keys: FileEntry
    facts: ListFacts


def paths_of(name: str, given: UrlList) -> list[Path]:
    """The files of a list, in the order of its paths. Raises ConfigError if one is missing, or if a folder holds none."""
    found: list[Path] = []
    for path in map(Path, given.paths):
        if path.is_dir():
            inside = [one for folder in (path, *sorted(path.iterdir())) for part in NAMES if (one := folder / part).is_file()]
            if not inside:
                raise ConfigError(
                    f"urls.lists.{name}: {path} and the folders in it have no file called {' or '.join(NAMES[:2])}"
                )
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ConfigError(f"urls.lists.{name}: there is no file or folder {path}")
    return found


def identity(name: str, given: UrlList) -> dict[str, Any]:
    """What distinguishes a list from others, as JSON values. Raises ConfigError if it cannot be read."""
    try:
        hashes = [files.sha256(path) for path in paths_of(name, given)]
    except OSError as error:
        raise ConfigError(f"urls.lists.{name}: {error.filename} cannot be read ({error.strerror})") from error
    return {"kind": given.kind, "subdomains": given.subdomains, "sha256": hashes, "version": VERSION}


def indexes(
    lists: Sequence[tuple[str, UrlList]], identities: Mapping[str, Any], work: Work
) -> tuple[list[ListIndex], dict[str, ListFacts]]:
    """The index of each list, and what it held. `identities`: what `identity` says of each. Indexes of other lists are removed.

    Raises ConfigError, InputError, OSError.
    """
    home = work.root / state.FOLDER / "urls" / FOLDER
    found, facts, kept = [], {}, set()
    for name, given in lists:
        folder = home / manifest.fingerprint("urls", VERSION, identities[name], {})[:32]
        record = _known(folder)
        if record is None:
            work.progress.say(f"urls: reads the list {name}")
            files.clear(folder, durable=False)
            with runs.scratch(work.scratch("urls")) as scratch:
                record = _made(paths_of(name, given), given, folder, work.means(scratch))
            if identity(name, given) != identities[name]:
                raise InputError(f"urls.lists.{name}: its files changed while they were read; run the build again")
            if not record["facts"]["entries"]:
                raise InputError(f"urls.lists.{name}: none of its {record['facts']['lines']:,} lines is an entry; see `kind`")
            state.save(folder / "record.json", record)
        names = sorted(name for name in record["files"] if name.startswith("keys"))
        run = Run(path=folder / "hashes", rows=record["facts"]["entries"], kinds=KINDS)
        found.append(ListIndex(name=name, identity=identities[name], run=run, keys=tuple(folder / one for one in names)))
        facts[name] = ListFacts(**record["facts"])
        kept |= {folder / one for one in ("record.json", *record["files"])}
    files.clear(home, keep=kept, durable=False)
    return found, facts


def _known(folder: Path) -> Mapping[str, Any] | None:
    record: Mapping[str, Any] | None = state.load(folder / "record.json")
    if record is None or not all(files.holds(folder, name, FileEntry(**entry)) for name, entry in record["files"].items()):
        return None
    return record


def _made(paths: Sequence[Path], given: UrlList, folder: Path, means: Means) -> dict[str, Any]:
    """Read the files and write the index. Returns its record."""
    parts = [
        _Part(
            path=path,
            first=first,
            last=last,
            kind=given.kind,
            subdomains=given.subdomains,
            number=number,
            folder=folder,
            scratch=means.folder,
        )
        for number, (path, first, last) in enumerate(_parts(paths))
    ]
    read = means.executor.map(_read, parts)
    merged = sort.merge(means, [run for one in read for run in one.runs], "list")
    rows = sum(run.rows for run in merged)
    with runs.growing(folder / "hashes", KINDS, rows) as out:
        for block in sort.ordered([run.columns() for run in merged], 1, means.rows(KINDS)):
            out.add(block)
    whole = FileEntry(bytes=(folder / "hashes").stat().st_size, sha256=files.sha256(folder / "hashes"))
    named = {"hashes": whole, **{_name(part.number): one.keys for part, one in zip(parts, read, strict=True)}}
    return {
        "files": {name: dataclasses.asdict(entry) for name, entry in named.items()},
        "facts": {
            "lines": sum(one.facts.lines for one in read),
            "entries": rows,
            "unread_lines": sum(one.facts.unread_lines for one in read),
            "example": next((one.facts.example for one in read if one.facts.example), ""),
        },
    }


def _name(number: int) -> str:
    return f"keys-{number:06d}"


def _parts(paths: Sequence[Path]) -> Iterator[tuple[Path, int, int | None]]:
    """Files, or parts of them that end behind a line."""
    for path in paths:
        with path.open("rb") as file:
            gzipped = file.read(len(GZIP)) == GZIP
            first, size = 0, path.stat().st_size
            while not gzipped and size - first > PART_BYTES:
                file.seek(first + PART_BYTES)
                while (piece := file.readline(BLOCK_BYTES)) and not piece.endswith(b"\n"):
                    pass
                yield path, first, file.tell()
                first = file.tell()
            if first < size:
                yield path, first, None


def _read(part: _Part) -> _Read:
    """Read the lines of a part: its keys into a file, their hashes and places into runs. Raises InputError, OSError."""
    found: list[Run] = []
    lines = unread = 0
    example = ""
    with files.create(part.folder / _name(part.number), durable=False) as out:
        for block in _blocks(part):
            mine: list[str] = []
            for line in block:
                read = keys(line, part.kind, subdomains=part.subdomains)
                if read is None:
                    unread += 1
                    example = example or line.strip()[:EXAMPLE_CHARACTERS]
                else:
                    mine += read
            lines += len(block)
            encoded = list(map(str.encode, mine))
            sizes = np.fromiter(map(len, encoded), dtype=np.uint64, count=len(mine)) + np.uint64(1)
            places = np.uint64(part.number << PLACE_BITS | out.tell()) + np.cumsum(sizes, dtype=np.uint64) - sizes
            out.write(b"".join(key + b"\n" for key in encoded))
            found.append(runs.write_sorted(part.scratch / f"part-{part.number}-{len(found)}", of_keys(encoded), places))
    total = sum(run.rows for run in found)
    facts = ListFacts(lines=lines, entries=total, unread_lines=unread, example=example)
    return _Read(runs=found, keys=out.entry(), facts=facts)


def _blocks(part: _Part) -> Iterator[list[str]]:
    """The lines of a part, those of about BLOCK_BYTES at a time. Of a line that is too long, the beginning."""
    left = part.last - part.first if part.last is not None else None
    try:
        with part.path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as unzipped:
            gzipped = raw.read(len(GZIP)) == GZIP
            raw.seek(part.first)
            file: IO[bytes] = unzipped if gzipped else raw
            rest, begins = b"", part.first == 0
            while data := file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
                left = None if left is None else left - len(data)
                data = rest + (data.removeprefix(codecs.BOM_UTF8) if begins else data)
                begins, end = False, data.rfind(b"\n") + 1
                # The rest of the last line, but for what is too long anyway.
                rest = data[end:][: 4 * LONGEST + 4]
                if end:
                    yield data[: end - 1].decode(errors="replace").split("\n")
            if rest:
                yield [rest.decode(errors="replace")]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"urls: {part.path} is no whole gzip file ({error})") from error
