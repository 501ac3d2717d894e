"""The step `collect`: turns sources into documents.

Purpose: the first step of a corpus. It lists the sources, divides them into splits, collects the splits with the workers,
makes ids unique, and publishes documents, `collect/dropped.parquet` and `quarantine/<source>.parquet`.
Guarantee: every record of the sources is kept, dropped with a reason, or quarantined with a reason. The result depends only on
the settings and the content of the input. A finished split that has not changed is not read again.
Cost: one read of the input for its identity and one to collect it. Memory of one shard per worker.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.losses import FACT, Losses
from tokenmill.pipeline.base.manifest import COLLECT
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.collect import facts, hub, plan, publish, remote, snapshot, sniff, unique
from tokenmill.pipeline.collect.inputs import Identity, Known
from tokenmill.pipeline.collect.kinds import PAGES
from tokenmill.pipeline.collect.listing import InputFile, Listing
from tokenmill.pipeline.collect.parser import confine
from tokenmill.pipeline.collect.plan import InputSplit, Local, Marks
from tokenmill.pipeline.collect.records import Limits
from tokenmill.pipeline.collect.remote import FetchTask
from tokenmill.pipeline.collect.snapshot import Snapshot
from tokenmill.pipeline.collect.split import (
    VERSION,
    RepeatedIds,
    SplitResult,
    SplitTask,
    extractor,
    run_again,
    run_split,
    settings,
)
from tokenmill.pipeline.collect.write import Instead
from tokenmill.pipeline.config import AnySource, CollectConfig, DatasetSource, FilesSource, InstalledSource
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.stages.censor import COLUMNS, Censor
from tokenmill.pipeline.stages.step import Outcome, Work

Answer = TypeVar("Answer")
IDS = f"{state.FOLDER}/{COLLECT}/.ids"
"""The folder of ids, while they are made unique. No source name begins with a dot."""


class CollectStep:
    """The step `collect` for these settings. Each time its identity is requested, it lists the input anew.

    `instead`: what is made of the texts of each shard in place of documents, for a caller who wants nothing else of them. `run`
    raises NotUnique then if ids repeat. `censor`: hides personal data in what an error says of records; None hides nothing.
    """

    name = COLLECT
    version = VERSION

    def __init__(self, config: CollectConfig, *, instead: Instead | None = None, censor: Censor | None = None) -> None:
        self._config = config
        self._instead = instead
        self._censor = censor or Censor()
        self._snapshots: dict[Path, Snapshot] = {}
        self._known: dict[Path, Known] = {}

    def config(self) -> Mapping[str, Any]:
        """The settings that documents depend on. Paths are not among them, nor is the ceiling, which only judges the result."""
        config = self._config
        return {
            "sources": [settings(source) for source in config.all_sources],
            "extractors": [extractor(source) for source in config.all_sources],
            "max_text_bytes": config.max_text_bytes,
            "max_documents": config.max_documents,
            "max_document_bytes": config.max_document_bytes,
            "shard_bytes": config.shard_bytes,
            "seed": config.seed,
        }

    def inputs(self, work: Work) -> Mapping[str, str]:
        """For each source, one hash of its files' names and contents. Writes nothing. Raises InputError, ConfigError."""
        # Kept in memory between calls, so that files with unchanged size and time are not read twice.
        known = self._known.get(work.root) or self._known.setdefault(work.root, Known.load(work.root))
        sources = snapshot.listed(self._config.all_sources, work.root)
        identities: dict[str, Identity] = {}
        # Only a build fetches objects, not who asks whether there is anything to build.
        fetch = functools.partial(self._fetched, work, remote.identity) if os.path.abspath(work.root) in files.held() else None
        for _, found in sources:
            identities |= known.identities(found.files, self._config.shard_bytes, work.executor, fetch)
        seen = self._snapshots[work.root] = Snapshot(sources=sources, identities=identities)
        return {source.name: seen.digest(source, found) for source, found in sources}

    def plan(self, root: Path | None = None) -> dict[str, int]:
        """Numbers for a dry run: `files`, `splits`, `input_bytes`, `fetched_bytes` (from object stores), `text_bytes`,
        `documents`, and `left_out_<reason>`.

        `text_bytes` and `documents` are estimates of what is collected, after caps. `root`: the folder of the corpus, which is
        no input. Reads no file except the footers of Parquet files and the first records of record files. Raises InputError,
        ConfigError.
        """
        self._require_extractors()
        sources = snapshot.listed(self._config.all_sources, root)
        for source, found in sources:
            if not isinstance(source, InstalledSource) and self._config.quarantine_ceiling < 1:
                sniff.require_column(source, found.files, Limits(document_bytes=self._config.max_document_bytes))
        splits = [split for source, found in sources for split in self._divide(source, found, {})]
        text_bytes, documents = sum(split.text_bytes for split in splits), sum(split.documents for split in splits)
        return {
            "files": sum(len(found.files) for _, found in sources),
            **{f"left_out_{reason}": count for reason, count in snapshot.left_out(sources).items()},
            "splits": len(splits),
            "input_bytes": sum(split.input_bytes for split in splits),
            "fetched_bytes": sum(file.size_bytes for _, found in sources for file in found.files if file.remote is not None),
            "text_bytes": min(text_bytes, self._config.max_text_bytes or text_bytes),
            "documents": min(documents, self._config.max_documents or documents),
        }

    def run(self, work: Work) -> Outcome:
        """Collect everything. Raises ConfigError, InputError, StaleInput, QuarantineCeiling."""
        self._require_extractors()
        if work.root not in self._snapshots:
            self.inputs(work)
        seen = self._snapshots.pop(work.root)
        # This comes first: it marks the folder as a corpus, so that later listings of the input leave it out.
        self._known[work.root].save()
        snapshot.say_left_out(seen.sources, work.progress)
        for what in confine.lacking():
            work.progress.say(f"collect: parsers of foreign files are less confined here: the kernel lacks {what}")
        self._compile(seen, work.progress)
        tasks = self._tasks(work, seen)
        # The longest tasks go first, so that no worker is left with a long one at the end.
        order = sorted(range(len(tasks)), key=lambda number: (-tasks[number].split.input_bytes, number))
        sizes = [tasks[number].split.input_bytes for number in order]
        work.progress.begin(self.name, sum(sizes), "bytes")
        with runs.scratch(work.root / IDS) as folder:
            answers = work.executor.map(
                run_split, [tasks[number] for number in order], done=lambda number: work.progress.advance(sizes[number])
            )
            results = [result for _, result in sorted(zip(order, answers, strict=True), key=lambda pair: pair[0])]
            results = _unique(tasks, results, work.means(folder))
        made = [one for result in results for one in result.made]
        published = publish.rejected(work.root, made)
        keep = {name for one in made for name in (*one.shard.files, *(named[0] for named in one.rejected.values()))}
        states = {str(state.path_of(work.root, self.name, task.split.name).relative_to(work.root)) for task in tasks}
        _remove_leftovers(work.root, keep | states | set(published))
        remote.clear(work.root)
        publish.check_ceiling(work.root, made, self._config.quarantine_ceiling, self._censor)
        columns_left_out = facts.columns_left_out(made)
        record_types = facts.record_types(made)
        facts.say_types(record_types, work)
        facts.say_columns(self._censor.value(columns_left_out), work)
        kept = sum(one.shard.counts.kept for one in made)
        left_out = snapshot.left_out(seen.sources)
        ignored = left_out.get("unknown_kind", 0)
        was = "was" if ignored == 1 else "were"
        losses = Losses.total(one.losses for one in made)
        note = f"; {ignored:,} {'file' if ignored == 1 else 'files'} of no known kind {was} left out" if ignored else ""
        work.progress.end(f"{kept:,} documents{note}{f'; {losses}' if losses else ''}")
        return Outcome(
            shards=tuple(one.shard for one in made),
            files=published,
            facts={
                "files": sum(len(found.files) for _, found in seen.sources),
                "ignored_files": sum(left_out.values()),
                "left_out": left_out,
                FACT: dataclasses.asdict(losses),
                COLUMNS: columns_left_out,
                "record_types": record_types,
            },
            recomputed_shards=sum(len(result.made) for result in results if result.recomputed),
        )

    def _require_extractors(self) -> None:
        """Raises ConfigError if a source names an extractor that is not installed."""
        for source in self._config.all_sources:
            named = isinstance(source, FilesSource | InstalledSource) and source.extract == "trafilatura"
            if named and importlib.util.find_spec("trafilatura") is None:
                raise ConfigError(
                    f"source {source.name}: extract = \"trafilatura\" needs that package: pip install 'tokenmill[trafilatura]'"
                )

    def _compile(self, seen: Snapshot, progress: Progress) -> None:
        """Compile what reads pages before parsers need it, once per environment."""
        if not any(file.kind in PAGES for _, found in seen.sources for file in found.files):
            return
        # The import takes longer than most commands.
        from tokenmill.pipeline.collect.html import choose

        if not choose.is_compiled():
            progress.say("compiling what reads web pages, once per environment (up to a minute)")
            choose.prepare()

    def _tasks(self, work: Work, seen: Snapshot) -> list[SplitTask]:
        config, root = self._config, work.root
        parquet = [file for _, found in seen.sources for file in found.files if file.remote and file.kind == "parquet"]
        self._fetched(work, remote.fetch, parquet)
        tasks: list[tuple[AnySource, InputSplit, str]] = []
        marks = {path: identity.marks for path, identity in seen.identities.items() if identity.marks}
        for source, found in seen.sources:
            whole = "" if found.files else seen.digest(source, found)
            for split in self._divide(source, found, marks, functools.partial(remote.fetched, root)):
                content = whole or seen.digest_of(piece.file for piece in split.pieces)
                tasks.append((source, split, content))
        bytes_of = _shares(config.max_text_bytes, [split.text_bytes for _, split, _ in tasks])
        documents_of = _shares(config.max_documents, [split.documents for _, split, _ in tasks])
        names = [split.name for _, split, _ in tasks]
        if len(set(names)) < len(names):
            twice = [name for name, count in Counter(names).items() if count > 1]
            raise InputError(f"collect: two parts of the input have one name, so one would replace the other: {twice}")
        return [
            SplitTask(
                root=root,
                number=number,
                ids=root / IDS / f"{number}",
                source=source,
                split=split,
                content=content,
                limits=Limits(document_bytes=config.max_document_bytes),
                shard_bytes=config.shard_bytes,
                seed=config.seed,
                budget_bytes=budget_bytes,
                budget_documents=budget_documents,
                instead=self._instead,
            )
            for number, ((source, split, content), budget_bytes, budget_documents) in enumerate(
                zip(tasks, bytes_of, documents_of, strict=True)
            )
        ]

    def _fetched(self, work: Work, function: Callable[[FetchTask], Answer], objects: Sequence[InputFile]) -> list[Answer]:
        """What the workers answer, who fetch these objects."""
        if not objects:
            return []
        sizes = [file.size_bytes for file in objects]
        work.progress.begin("fetch", sum(sizes), "bytes")
        tasks = [FetchTask(root=work.root, file=file, step_bytes=self._config.shard_bytes) for file in objects]
        return work.executor.map(function, tasks, done=lambda number: work.progress.advance(sizes[number]))

    def _divide(self, source: AnySource, found: Listing, marks: Marks, local: Local | None = None) -> list[InputSplit]:
        if isinstance(source, DatasetSource) and not found.files:
            return hub.divide(source)
        field = source.text_field if isinstance(source, FilesSource | DatasetSource) else ""
        return plan.divide(
            source.name, found.files, shard_bytes=self._config.shard_bytes, text_field=field, marks=marks, local=local
        )


def _shares(cap: int | None, weights: list[int]) -> list[int] | list[None]:
    return [None] * len(weights) if cap is None else plan.allot(cap, weights)


def _unique(tasks: list[SplitTask], results: list[SplitResult], means: Means) -> list[SplitResult]:
    """The results without the documents whose id repeats an earlier one."""
    rows = unique.repeated([result.ids for result in results], means)
    wanted = [
        tuple(rows.get(unique.key(number, at), ()) for at in range(len(result.made))) for number, result in enumerate(results)
    ]
    differ = [number for number, result in enumerate(results) if tuple(one.removed for one in result.made) != wanted[number]]
    if refused := [tasks[number].split.name for number in differ if tasks[number].instead is not None]:
        raise unique.NotUnique(f"{refused[0]}: ids repeat, and their documents were not kept to choose from")
    again = [RepeatedIds(task=tasks[number], ids=results[number].ids, rows=wanted[number]) for number in differ]
    answers = dict(zip(differ, means.executor.map(run_again, again), strict=True))
    return [answers.get(number, result) for number, result in enumerate(results)]


def _remove_leftovers(root: Path, keep: set[str]) -> None:
    """Remove files that earlier inputs or settings left in this step's folders. Other kinds of files are not the step's and
    stay.
    """
    kept = {root / name for name in keep}
    for folder in ("documents", f"{COLLECT}/scores", publish.QUARANTINE, ".state/collect"):
        files.clear(root / folder, keep=kept, kinds=(".parquet", ".json"))
