"""Manifests, which say what a stage published: fingerprint, commit, load, verify.

Purpose: a stage is done if its manifest exists and the files that it names hold the bytes that it names.
Guarantee: a manifest is canonical JSON with a hash of itself. It holds content only (no times, hosts, paths of a machine
or worker counts), and every shard in it conserves rows: read == kept + dropped + quarantined.
Cost: verification reads every file once (about 2 GB/s).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tokenmill.pipeline.base import files, formats
from tokenmill.pipeline.base.errors import CorruptFile, Miscounted, NotBuilt, NotOurs, StaleInput
from tokenmill.pipeline.base.files import FileEntry

Facts = TypeVar("Facts")

NAME = "manifest.json"
COLLECT, TOKENIZER, PACK = "collect", "tokenizer", "pack"
"""The steps of every corpus. The stages between the first and the second are `pipeline.stages.table.STAGES`."""
CORPUS = "corpus"
"""The manifest of the whole: it names the manifests of all steps, the settings and the report."""
MODEL = "model"
"""The manifest of the trained model, which stands in the corpus folder too."""
MODELS = (MODEL, *(f"{MODEL}/{name}" for name in ("masked", "spans", "instructions", "classes")))
"""That of the causal model, and those of models with other objectives."""
ABLATION = "ablation"
"""The manifest of a comparison, in a folder of its own with a corpus for each of its variants."""
FOLDERS = {PACK: "tokens", CORPUS: ".", ABLATION: "."}
"""The folders of steps whose manifest is not in a folder of the step's own name."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What became of the rows of a shard. Raises Miscounted unless read == kept + dropped + quarantined."""

    read: int = 0
    kept: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows dropped, by reason."""
    quarantined: int = 0
    bytes_in: int = 0
    """Bytes of text in the rows that reached the stage alive."""
    bytes_kept: int = 0
    """Bytes of text in the rows kept."""

    def __post_init__(self) -> None:
        if self.read != self.kept + sum(self.dropped.values()) + self.quarantined:
            raise Miscounted(f"rows are not conserved (read == kept + dropped + quarantined): {self}")

    @staticmethod
    def total(parts: Iterable[Counts]) -> Counts:
        """Sum `parts`, for example over shards."""
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
    """One shard of a stage: `name` is `<source>/<split>`; `files` maps each file's path below the corpus to its entry."""

    name: str
    files: Mapping[str, FileEntry]
    counts: Counts = field(default_factory=Counts)

    @property
    def source(self) -> str:
        """The source that the shard's documents are from."""
        return source_of(self.name)


def source_of(shard: str) -> str:
    """`web/0123abcd` -> `web`"""
    return shard.partition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one stage published."""

    stage: str
    version: int
    """The version of the stage's code."""
    config: Mapping[str, Any]
    """The part of the config that the stage depends on, as JSON values."""
    inputs: Mapping[str, str]
    """The hash of each input, by name."""
    shards: tuple[Shard, ...] = ()
    """In document order."""
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    """Files that belong to no shard, by path below the corpus."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The stage's own results, as JSON values."""
    header: Mapping[str, Any] = field(default_factory=lambda: formats.MANIFEST.header)
    """The format, and who may read and change it (see `formats`); with fields that only a newer tokenmill knows."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex that identifies the work: it depends on what went in, never on what came out."""
        return fingerprint(self.stage, self.version, self.config, self.inputs)

    @property
    def hash(self) -> str:
        """SHA-256 in hex that identifies the result; later stages name it as their input."""
        return formats.digest(_plain(self))

    @property
    def is_older(self) -> bool:
        """Whether its format is older than the one that is written now. A build makes such a step again."""
        return int(self.header["format"]) < formats.MANIFEST.number

    @property
    def counts(self) -> Counts:
        """The sum of the counts of all shards."""
        return Counts.total(shard.counts for shard in self.shards)

    def by_source(self) -> dict[str, Counts]:
        """The same for each source, in the order of their shards."""
        parts: dict[str, list[Counts]] = {}
        for shard in self.shards:
            parts.setdefault(shard.source, []).append(shard.counts)
        return {source: Counts.total(counts) for source, counts in parts.items()}

    def entries(self) -> Iterator[tuple[str, FileEntry]]:
        """Yield (path below the corpus, entry) for every file that the manifest names."""
        for shard in self.shards:
            yield from shard.files.items()
        yield from self.files.items()


def fingerprint(stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """SHA-256 in hex over a stage's name, its version, its part of the config and the hashes of its inputs."""
    identity = {"stage": stage, "version": version, "config": config, "inputs": inputs}
    return hashlib.sha256(files.canonical_json(identity)).hexdigest()


def facts(made: Manifest, kind: type[Facts]) -> Facts:
    """The facts of a manifest as the type that its step declares. Raises StaleInput where they are of another version."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(made.facts)
    except ValidationError as error:
        raise StaleInput(
            f"the facts of {made.stage} (version {made.version}) are not those that this version of tokenmill reads; run the "
            "build again"
        ) from error


def plain_facts(value: Any) -> dict[str, Any]:
    """Facts of a declared type, a dataclass, as JSON values: what `facts` reads."""
    from pydantic import TypeAdapter

    found: dict[str, Any] = TypeAdapter(type(value)).dump_python(value, mode="json")
    return found


def path_of(root: Path, stage: str) -> Path:
    """The path of the manifest of `stage` in the corpus folder `root`."""
    return root / FOLDERS.get(stage, stage) / NAME


def commit(root: Path, manifest: Manifest) -> Manifest:
    """Publish `manifest`, which must be the last write of its stage, and return it as `load` would: what is said of it by the
    run that made it and by a later one is the same, in the same order. Raises OSError.
    """
    files.write_json(path_of(root, manifest.stage), formats.sealed(_plain(manifest)))
    return dataclasses.replace(manifest, config=_as_written(manifest.config), facts=_as_written(manifest.facts))


def _as_written(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files.canonical_json(values))
    return found


def withdraw(root: Path, stages: Iterable[str]) -> None:
    """Remove the manifests of `stages`; call this before the first file that they name is replaced. Raises OSError."""
    for stage in stages:
        files.remove(path_of(root, stage))


def load(root: Path, stage: str) -> Manifest:
    """Read the manifest of `stage` in the corpus folder `root`.

    Raises
    ------
    NotBuilt
        There is no manifest, or it belongs to another stage.
    CorruptFile
        The file does not hold the bytes that were written.
    NewerFormat
        A newer tokenmill wrote it.
    """
    path = path_of(root, stage)
    try:
        made = read(path)
    except FileNotFoundError as error:
        if stage == CORPUS:
            raise NotBuilt(
                f"{root} holds no finished corpus ({path} is missing); run the build first, to its end. "
                f"`tokenmill status {root}` shows the steps that are done"
            ) from error
        raise NotBuilt(f"{root} has no finished stage {stage!r}: {path} is missing; run the build first") from error
    except NotOurs as error:
        raise CorruptFile(str(error)) from error
    except OSError as error:
        raise CorruptFile(
            f"{files.known_as(path)}: cannot be read ({error.strerror}); remove it and run the build again"
        ) from error
    if made.stage != stage:
        raise NotBuilt(f"{root} has no finished stage {stage!r}: {path} belongs to {made.stage!r}; choose another folder")
    return made


def read(path: Path) -> Manifest:
    """Read the manifest in the file `path`.

    Raises
    ------
    OSError
        The file cannot be read; FileNotFoundError if it does not exist.
    CorruptFile
        The file does not hold the bytes that were written.
    NewerFormat
        A newer tokenmill wrote it.
    """
    shown = files.known_as(path)
    plain = formats.opened(files.read_bytes(path), formats.MANIFEST, shown)
    try:
        known = {name: plain.pop(name) for name in ("stage", "version", "config", "inputs", "shards", "files", "facts")}
        shards = tuple(shard_from_plain(shard) for shard in known.pop("shards"))
        entries = {name: FileEntry(**entry) for name, entry in known.pop("files").items()}
        return Manifest(**known, shards=shards, files=entries, header=plain)
    except (ValueError, KeyError, TypeError, AttributeError, Miscounted) as error:
        raise CorruptFile(f"{shown}: is not a manifest of format {formats.MANIFEST.number}; run the build again") from error


def require_writer(root: Path) -> None:
    """Check that this version of tokenmill may change the corpus in `root`. Raises NewerFormat, naming what to install."""
    for path in sorted((root / NAME, *root.glob(f"*/{NAME}"))):
        try:
            formats.require_writer(read(path).header, formats.MANIFEST, path)
        except (OSError, CorruptFile):
            # A build makes anew what is missing or damaged.
            continue


def stage_in(folder: Path) -> str | None:
    """The stage whose manifest is in `folder` itself; None if there is no manifest or it is corrupt. Raises NewerFormat."""
    try:
        return read(folder / NAME).stage
    except (OSError, CorruptFile):
        return None


def find(root: Path, stage: str) -> Manifest | None:
    """The manifest of `stage`; None if there is none, it is corrupt, or it belongs to another stage. Raises NewerFormat."""
    try:
        return load(root, stage)
    except (NotBuilt, CorruptFile):
        return None


def problems(root: Path, manifest: Manifest, holds: Callable[[Path, str, FileEntry], bool] = files.holds) -> Iterator[str]:
    """Yield one line, beginning with the file's path, for each file of `manifest` that is missing or differs.

    `holds`: how the bytes of a file are compared.
    """
    for name, entry in manifest.entries():
        path = root / name
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != entry.bytes:
            yield f"{path}: {path.stat().st_size} bytes, its manifest names {entry.bytes}"
        elif not holds(root, name, entry):
            yield f"{path}: other bytes than its manifest names"


def shard_to_plain(shard: Shard) -> dict[str, Any]:
    """Convert a shard to JSON values."""
    return dataclasses.asdict(shard)


def shard_from_plain(plain: Mapping[str, Any]) -> Shard:
    """Make a shard from JSON values. Raises KeyError, TypeError or Miscounted if they do not describe one."""
    entries = {name: FileEntry(**entry) for name, entry in plain["files"].items()}
    return Shard(name=plain["name"], files=entries, counts=Counts(**plain["counts"]))


def _plain(manifest: Manifest) -> dict[str, Any]:
    return {
        **manifest.header,
        "stage": manifest.stage,
        "version": manifest.version,
        "config": manifest.config,
        "inputs": manifest.inputs,
        "shards": [shard_to_plain(shard) for shard in manifest.shards],
        "files": {name: dataclasses.asdict(entry) for name, entry in manifest.files.items()},
        "facts": manifest.facts,
    }
