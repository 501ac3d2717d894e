"""What a stage published: fingerprint, commit, load, verify.

Purpose: a stage is done when its manifest says so and the files it names hold the bytes it names.
Guarantee: a manifest is canonical JSON with a hash of itself, holds content only (no times, hosts, paths of a machine
or worker counts), and every shard in it conserves rows: read == kept + dropped + quarantined.
Cost: verification reads every file once (about 2 GB/s).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, Miscounted, NotBuilt
from tokenmill.pipeline.base.files import FileEntry

FORMAT = 1
NAME = "manifest.json"
CORPUS = "corpus"
"""The manifest of the whole: it names the manifests of all stages, the config and the report."""
FOLDERS = {"pack": "tokens", CORPUS: "."}
"""Stages whose manifest stands elsewhere than in a folder of their own name."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Where the rows of a shard went. Bytes are bytes of text: of what came in alive, and of what is kept.

    Raises Miscounted where the rows do not add up.
    """

    read: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    quarantined: int = 0
    bytes_in: int = 0
    bytes_kept: int = 0

    def __post_init__(self) -> None:
        if self.read != self.kept + sum(self.dropped.values()) + self.quarantined:
            raise Miscounted(f"rows are not conserved (read == kept + dropped + quarantined): {self}")

    @staticmethod
    def total(parts: Iterable[Counts]) -> Counts:
        """The sum over shards."""
        parts = list(parts)
        dropped: Counter[str] = Counter()
        for part in parts:
            dropped.update(part.dropped)
        return Counts(
            read=sum(part.read for part in parts),
            kept=sum(part.kept for part in parts),
            dropped=dict(sorted(dropped.items())),
            quarantined=sum(part.quarantined for part in parts),
            bytes_in=sum(part.bytes_in for part in parts),
            bytes_kept=sum(part.bytes_kept for part in parts),
        )


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard of a stage: `name` is `<source>/<split>`, `files` maps names below the corpus to what they hold."""

    name: str
    files: Mapping[str, FileEntry]
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one stage published. `shards` are in document order; `facts` are the stage's own results."""

    stage: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    shards: tuple[Shard, ...] = ()
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Identity of the work: what went in, never what came out."""
        return fingerprint(self.stage, self.version, self.config, self.inputs)

    @property
    def hash(self) -> str:
        """Identity of the result; it is what stages downstream name as their input."""
        return hashlib.sha256(files.canonical_json(_plain(self))).hexdigest()

    @property
    def counts(self) -> Counts:
        """The sum over the shards."""
        return Counts.total(shard.counts for shard in self.shards)

    def entries(self) -> Iterator[tuple[str, FileEntry]]:
        """Every file that the manifest names."""
        for shard in self.shards:
            yield from shard.files.items()
        yield from self.files.items()


def fingerprint(stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """SHA-256 in hex over stage, version, its slice of the config and the hashes of its inputs."""
    identity = {"stage": stage, "version": version, "config": config, "inputs": inputs}
    return hashlib.sha256(files.canonical_json(identity)).hexdigest()


def path_of(root: Path, stage: str) -> Path:
    """Where the manifest of `stage` stands."""
    return root / FOLDERS.get(stage, stage) / NAME


def commit(root: Path, manifest: Manifest) -> Manifest:
    """Publish: the last write of a stage."""
    files.write_json(path_of(root, manifest.stage), {**_plain(manifest), "hash": manifest.hash})
    return manifest


def withdraw(root: Path, stages: Iterable[str]) -> None:
    """Remove manifests before the first file they name is replaced."""
    for stage in stages:
        files.remove(path_of(root, stage))


def load(root: Path, stage: str) -> Manifest:
    """Read a manifest. Raises NotBuilt when there is none, CorruptFile when its bytes are not what was written."""
    path = path_of(root, stage)
    try:
        made = read(path)
    except FileNotFoundError as error:
        raise NotBuilt(f"{root} has no finished stage {stage!r}: {path} is missing; run the build first") from error
    if made.stage != stage:
        raise NotBuilt(f"{root} has no finished stage {stage!r}: {path} is of the stage {made.stage!r}; give another folder")
    return made


def read(path: Path) -> Manifest:
    """The manifest in a file. Raises FileNotFoundError; CorruptFile when its bytes are not what was written."""
    data = path.read_bytes()
    try:
        plain = json.loads(data)
        claimed = plain.pop("hash")
        shards = tuple(shard_from_plain(shard) for shard in plain.pop("shards"))
        entries = {name: FileEntry(**entry) for name, entry in plain.pop("files").items()}
        known = plain.pop("format") == FORMAT
        manifest = Manifest(**plain, shards=shards, files=entries)
        whole = known and claimed == manifest.hash and data == files.canonical_json({**_plain(manifest), "hash": claimed})
    except (ValueError, KeyError, TypeError, AttributeError, Miscounted) as error:
        raise CorruptFile(f"{path}: is no manifest of format {FORMAT}; run the build again") from error
    if not whole:
        raise CorruptFile(f"{path}: its bytes are not those that were written (hash {claimed!r}); run the build again")
    return manifest


def stage_in(folder: Path) -> str | None:
    """The stage whose manifest stands in `folder` itself; None where there is none, or it cannot be trusted."""
    try:
        return read(folder / NAME).stage
    except (OSError, CorruptFile):
        return None


def find(root: Path, stage: str) -> Manifest | None:
    """The manifest of `stage`, or None when there is none or it cannot be trusted."""
    try:
        return load(root, stage)
    except (NotBuilt, CorruptFile):
        return None


def problems(root: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the files that `manifest` names: one line each, beginning with the file's path."""
    for name, entry in manifest.entries():
        path = root / name
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != entry.bytes:
            yield f"{path}: {path.stat().st_size} bytes, its manifest names {entry.bytes}"
        elif files.sha256(path) != entry.sha256:
            yield f"{path}: other bytes than its manifest names"


def shard_to_plain(shard: Shard) -> dict[str, Any]:
    """A shard as JSON values."""
    return dataclasses.asdict(shard)


def shard_from_plain(plain: Mapping[str, Any]) -> Shard:
    """A shard from JSON values. Raises KeyError, TypeError or Miscounted when it is none."""
    entries = {name: FileEntry(**entry) for name, entry in plain["files"].items()}
    return Shard(name=plain["name"], files=entries, counts=Counts(**plain["counts"]))


def _plain(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "stage": manifest.stage,
        "version": manifest.version,
        "config": manifest.config,
        "inputs": manifest.inputs,
        "shards": [shard_to_plain(shard) for shard in manifest.shards],
        "files": {name: dataclasses.asdict(entry) for name, entry in manifest.files.items()},
        "facts": manifest.facts,
    }
