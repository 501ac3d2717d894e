"""The owner of a corpus folder: what stands in it, under which names, and with which settings it was built.

Purpose: every command, question and report asks this module; none reads `config.toml`, joins names or sorts manifests itself.
Guarantee: settings are those that the manifest of the corpus names: a `config.toml` that was edited since is refused. Every
step was made from the manifests that stand beside it. Tables are opened by the hash that their manifest names.
Cost: one read of the manifests; tables are read when they are asked for.

What readers mask since it was forgotten stands in the token store, which also exists without a corpus: see
`pipeline.tokens.forget`.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, manifest, ownership, shards, versions
from tokenmill.pipeline.base.errors import CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import COLLECT, CORPUS, PACK, TOKENIZER, Manifest, source_of
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.base.versions import Lease
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages import censor, settings, table
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.stage import name_of

CONFIG = "config.toml"
REPORT = "report.html"
DOCUMENTS = "documents"
QUARANTINE = "quarantine"
TOKENS = "tokens"
RUNS = "runs"
DROPPED = f"{COLLECT}/dropped.parquet"


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What the manifest of the whole says of itself: its steps in their order."""

    steps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CorpusShard:
    """One shard of documents with the tables that stages made of it, by (stage, kind): scores, verdicts, edits."""

    name: str
    documents: Named
    tables: Mapping[tuple[str, str], Named]

    @property
    def source(self) -> str:
        """The source that the documents are from."""
        return source_of(self.name)


@dataclass(frozen=True, kw_only=True, repr=False)
class CorpusFolder:
    """A corpus folder as it is published. Made by `open_corpus`, `so_far` and `being_published`."""

    root: Path
    """The folder of the corpus, absolute."""
    published: Path
    """The folder that published files are read from: a version below `.versions`, or `root` where there is none."""
    steps: tuple[Manifest, ...]
    """The manifests of the finished steps, in the order of the steps."""
    known_settings: Config | None
    """None while the corpus is not finished."""
    lease: Lease | None = None
    """What keeps the version from being removed while this object lives."""

    def __repr__(self) -> str:
        return f"CorpusFolder({str(self.root)!r}): {', '.join(made.stage for made in self.steps)}"

    @property
    def settings(self) -> Config:
        """The settings that the corpus was built with. Raises NotBuilt while it is not finished."""
        if self.known_settings is None:
            raise NotBuilt(f"{self.root} is not finished, so its settings are not settled; run `tokenmill build` to its end")
        return self.known_settings

    @functools.cached_property
    def censor(self) -> Censor:
        """What hides personal data in all that is shown of the corpus. Of an unfinished corpus, it hides them in any case."""
        return censor.strict() if self.known_settings is None else censor.censor_of(self.known_settings)

    def step(self, name: str) -> Manifest | None:
        """The manifest of a step, or None where the corpus lacks it."""
        return next((made for made in self.steps if made.stage == name), None)

    def require(self, name: str) -> Manifest:
        """The manifest of a step. Raises NotBuilt."""
        found = self.step(name)
        if found is None:
            raise NotBuilt(f"{self.root} was built without {name!r}; there: {', '.join(made.stage for made in self.steps)}")
        return found

    @property
    def collect(self) -> Manifest:
        """The manifest of collection, which every corpus has."""
        return self.steps[0]

    @property
    def stages(self) -> tuple[tuple[StageKind[Any], Manifest], ...]:
        """The stages between collection and the tokenizer, in their order, with their manifests."""
        return tuple((table.kind_of(made.stage), made) for made in self.deciding[1:])

    @property
    def deciding(self) -> tuple[Manifest, ...]:
        """The steps that decide which documents stay: collection and the stages."""
        return tuple(made for made in self.steps if made.stage not in (TOKENIZER, PACK))

    def before(self, step: str) -> tuple[Manifest, ...]:
        """The manifests of the steps before one that is there. Raises NotBuilt."""
        return self.steps[: self.steps.index(self.require(step))]

    def views(self, *, before: str | None = None) -> list[View]:
        """The shards as the stage `before` sees them, in document order; None: what all stages leave. Raises NotBuilt."""
        return shards.views(self.published, self.deciding if before is None else self.before(before))

    @functools.cached_property
    def shards(self) -> tuple[CorpusShard, ...]:
        """The shards of documents in document order. Raises CorruptFile, StaleInput where verdicts are missing."""
        entries = {made.stage: dict(made.entries()) for made in self.deciding[1:]}
        found = []
        for shard in self.collect.shards:
            documents = [(name, entry) for name, entry in shard.files.items() if name.startswith(f"{DOCUMENTS}/")]
            if len(documents) != 1:
                raise CorruptFile(
                    f"{manifest.path_of(self.published, COLLECT)}: shard {shard.name!r} names {len(documents)} tables of "
                    "documents, not one; run the build again"
                )
            tables = {
                (stage, kind): (name, files_of[name])
                for stage, files_of in entries.items()
                for kind in ("scores", "verdicts", "edits")
                if (name := name_of(stage, kind, shard.name)) in files_of
            }
            missing = [stage for stage in entries if (stage, "verdicts") not in tables]
            if missing:
                raise StaleInput(
                    f"stage {missing[0]!r} has no verdicts on shard {shard.name!r} of {COLLECT}; run the build again"
                )
            found.append(CorpusShard(name=shard.name, documents=documents[0], tables=tables))
        return tuple(found)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The records of runs that can be read, by the id of the run, the newest first."""
        for path in sorted((self.root / RUNS).glob("*.json"), reverse=True):
            try:
                record = json.loads(files.read_bytes(path))
            except (OSError, ValueError):
                continue
            if isinstance(record, dict):
                yield path.stem, record

    def last_run(self) -> dict[str, Any]:
        """By step, what the newest record of a run says: seconds, recomputed shards. Empty where none can be read."""
        steps = (record.get("steps") for _, record in self.records())
        return next((one for one in steps if one and isinstance(one, dict)), {})


def open_corpus(root: Path) -> CorpusFolder:
    """A finished corpus.

    Raises NotBuilt where there is none, CorruptFile for a manifest that is not what was written, StaleInput for a
    `config.toml` that was edited since, or a step that was made from other results.
    """
    if not root.is_dir():
        raise NotBuilt(f"{root} is no folder; give the folder of a corpus, as --out of `tokenmill build` named it")
    root = root.absolute()
    now, root = versions.reading_of(root), versions.corpus_of(root)
    whole = manifest.load(now.folder, CORPUS)
    if now.published is not None and whole.hash != now.published.hash:
        raise CorruptFile(
            f"{now.folder}: is {whole.hash}, but the corpus was published as {now.published.hash}; build it again"
        )
    steps = tuple(manifest.load(now.folder, name) for name in step_names(whole))
    for made in steps:
        if made.hash != whole.inputs[made.stage]:
            raise StaleInput(
                f"{manifest.path_of(now.folder, made.stage)}: is {made.hash}, but the corpus was published with "
                f"{whole.inputs[made.stage]}; run the build again, or copy the whole corpus again"
            )
    known = _settings(root, now.folder, whole)
    found = CorpusFolder(root=root, published=now.folder, steps=steps, known_settings=known, lease=now.lease)
    _check_lineage(found)
    return found


def so_far(root: Path) -> CorpusFolder:
    """A corpus that may be unfinished: the steps that are, and no settings before all are.

    Raises NotBuilt where no step is finished, and else what `open_corpus` raises.
    """
    with contextlib.suppress(NotBuilt):
        return open_corpus(root)
    made = []
    for name in (COLLECT, *(kind.name for kind in table.STAGES), TOKENIZER, PACK):
        with contextlib.suppress(NotBuilt):
            made.append(manifest.load(root, name))
    if not made or made[0].stage != COLLECT:
        raise NotBuilt(f"{root} holds no corpus; run `tokenmill build` with --out {root} first")
    # A step names the steps before it as its inputs; those of collection are sources, not steps.
    made.sort(key=lambda one: 0 if one.stage == COLLECT else len(one.inputs))
    found = CorpusFolder(root=root, published=root, steps=tuple(made), known_settings=None)
    _check_lineage(found)
    return found


def being_published(root: Path, steps: tuple[Manifest, ...], config: Config) -> CorpusFolder:
    """The corpus whose manifest is about to be written: for the report, which that manifest names."""
    return CorpusFolder(root=root, published=root, steps=steps, known_settings=config)


def step_names(whole: Manifest) -> tuple[str, ...]:
    """The steps that the manifest of a corpus names, in order. Raises CorruptFile for one that no build writes."""
    steps = manifest.facts(whole, CorpusFacts).steps
    ends = steps[:1] == (COLLECT,) and steps[-2:] == (TOKENIZER, PACK)
    known = set(steps[1:-2]) <= {kind.name for kind in table.STAGES}
    if not (ends and known and len(set(steps)) == len(steps) and whole.inputs.keys() == set(steps)):
        raise CorruptFile(
            f"the manifest of the corpus names the steps {list(steps)}, which no build makes; run the build again"
        )
    if not {CONFIG, REPORT} <= whole.files.keys():
        raise CorruptFile(f"the manifest of the corpus does not name {CONFIG} and {REPORT}; run the build again")
    return steps


def around(folder: Path) -> Path | None:
    """The corpus folder around a token store, if it is the one that the store was packed in."""
    above = versions.corpus_of(folder.resolve().parent)
    if files.marker(above) is not None and versions.reading(above).folder != above:
        return above if folder.resolve().name == TOKENS else None
    mine = manifest.path_of(above, PACK).parent.resolve() == folder.resolve()
    return above if mine and manifest.stage_in(above) == CORPUS else None


def is_ours(root: Path) -> bool:
    """Whether a build of ours made this folder."""
    return ownership.is_ours(root)


def _settings(root: Path, version: Path, whole: Manifest) -> Config:
    """The settings as built. Raises StaleInput where the file was edited, CorruptFile where that of the version is damaged."""
    path, entry = root / CONFIG, whole.files[CONFIG]
    # What stands in the corpus folder itself counts only while no newer build is unfinished there.
    counts = version == root or manifest.find(root, CORPUS) == whole
    if counts and not files.holds(root, CONFIG, entry):
        what = "was changed after the corpus was built" if path.is_file() else "is missing"
        raise StaleInput(
            f"{path}: {what}, so it does not say how the corpus was made (the manifest names SHA-256 {entry.sha256}). To build "
            f"with changed settings, move the file out of the corpus and run `tokenmill build FILE --out {root}`; to bring the "
            "settings back, run the build that made the corpus again"
        )
    # The version's own file, of which every byte is compared.
    files.read_verified(version, CONFIG, entry)
    return settings.load(version / CONFIG)


def _check_lineage(corpus: CorpusFolder) -> None:
    hashes = {made.stage: made.hash for made in corpus.steps}
    for made in corpus.steps:
        for name, claimed in made.inputs.items():
            if made.stage != COLLECT and name in hashes and claimed != hashes[name]:
                raise StaleInput(
                    f"stage {made.stage!r} was made from {name} {claimed}, but {name} is {hashes[name]}; run the build again"
                )
