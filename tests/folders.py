"""Corpora that tests make by hand, as the owner of a corpus folder sees them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from fastwarc.warc import ArchiveIterator

from tokenmill.pipeline.base import files, manifest, schema, shards
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.collect.entries import Entry
from tokenmill.pipeline.collect.kinds import Kind
from tokenmill.pipeline.collect.listing import InputFile, describe
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CorpusFolder, being_published
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.stages.step import Work


def settings(**sections: Any) -> Config:
    """Settings with defaults where a section is not given."""
    return parse({"collect": {"paths": ["x"]}, **sections}, where="a test")


def folder_of(work: Work, *later: Any, **sections: Any) -> CorpusFolder:
    """The corpus of `work` with the manifests `later`, as built with these settings."""
    return being_published(work.root, (*work.before, *later), settings(**sections))


def smallest(folder: Path, **sections: object) -> Config:
    """The settings of the smallest corpus of the texts in `folder / "in"`."""
    plain = {
        "stages": [],
        "collect": {"paths": [str(folder / "in")]},
        "tokenizer": {"vocabulary": 260, "min_frequency": 1},
        "pack": {"validation_fraction": 0},
        **sections,
    }
    return parse(plain, where="a test")


def twin(root: Path, copy: Path) -> Path:
    """A copy of a corpus by links. Of our files, only the journal is written in place; tests must not write in place either."""
    shutil.copytree(root, copy, copy_function=os.link, ignore=shutil.ignore_patterns(".lock", Path(files.JOURNAL).name))
    shutil.copyfile(root / files.JOURNAL, copy / files.JOURNAL)
    return copy


def write_corpus(
    root: Path,
    texts: Mapping[str, Sequence[str]],
    *,
    urls: Mapping[str, Sequence[str | None]] = {},
    metadata: Mapping[str, Sequence[str]] = {},
) -> Work:
    """A finished `collect` stage with these texts by shard, and what else documents have; `make_corpus` says how."""
    made = []
    for shard, rows in texts.items():
        source, split = shard.split("/")
        columns = {
            "doc_id": [schema.doc_id(source, f"{split}:{row}") for row in range(len(rows))],
            "source": [source] * len(rows),
            "url": list(urls.get(shard, [None] * len(rows))),
            "text": list(rows),
            "metadata": list(metadata.get(shard, ["{}"] * len(rows))),
        }
        name = f"documents/{shard}.parquet"
        entry = shards.write(root, name, pa.table(columns).cast(schema.DOCUMENTS))
        size = sum(len(text.encode()) for text in rows)
        counts = manifest.Counts(read=len(rows), kept=len(rows), bytes_in=size, bytes_kept=size)
        made.append(manifest.Shard(name=shard, files={name: entry}, counts=counts))
    collected = manifest.Manifest(stage="collect", version=1, config={}, inputs={}, shards=tuple(made))
    manifest.commit(root, collected)
    return Work(root=root, before=(collected,), executor=InProcess())


def some_records(archive: Path, to: Path, wanted: Callable[[int, str | None], bool]) -> Path:
    """A web archive of those records of another, each gzipped by itself, whose number and target address are wanted."""
    with open(archive, "rb") as file:
        found = [
            (record.stream_pos, record.headers.get("WARC-Target-URI")) for record in ArchiveIterator(file, parse_http=False)
        ]
    data = archive.read_bytes()
    ends = [*(start for start, _ in found[1:]), len(data)]
    spans = zip(found, ends, strict=True)
    to.write_bytes(b"".join(data[start:end] for number, ((start, uri), end) in enumerate(spans) if wanted(number, uri)))
    return to


def described(path: Path, kind: Kind) -> InputFile:
    """The file at `path` as a listing describes it."""
    return describe(Entry(path=str(path), real=str(path), status=path.stat()), path.name, kind, "")
