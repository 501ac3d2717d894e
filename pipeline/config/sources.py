"""Where documents come from: the section `collect` and the kinds of sources.

Guarantee: names of sources are fit to be folders and differ; no path or address holds a password. Cost: none.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import MB, Section

SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
CREDENTIALS = re.compile(r"://[^/]*@")


class FilesSource(Section):
    """Files, folders and globs. In record files (.jsonl .parquet .csv) the named columns are read."""

    kind: Literal["files"] = "files"
    name: str
    paths: tuple[str, ...] = Field(min_length=1)
    text_field: str = "text"
    id_field: str = "id"
    """The column that identifies a record, where the file has it; else its path and position do."""
    url_field: str = "url"
    sample_by: Literal["document", "line"] = "document"
    """What of a file of plain text is a document: all of it, or each line (as `datasets` calls it)."""


class DatasetSource(Section):
    """A data set read by the `datasets` library: a local folder, or a hub's name with a revision."""

    kind: Literal["dataset"] = "dataset"
    name: str
    path: str
    revision: str | None = None
    config_name: str | None = None
    split: str = "train"
    text_field: str = "text"
    id_field: str = "id"
    url_field: str = "url"


class InstalledSource(Section):
    """The documentation that is installed on this machine."""

    kind: Literal["installed"] = "installed"
    name: str = "installed"


Source = Annotated[FilesSource | DatasetSource | InstalledSource, Field(discriminator="kind")]


def _paths(source: FilesSource | DatasetSource | InstalledSource) -> tuple[str, ...]:
    if isinstance(source, InstalledSource):
        return ()
    return source.paths if isinstance(source, FilesSource) else (source.path,)


class CollectConfig(Section):
    """Where documents come from, in the order of their priority."""

    paths: tuple[str, ...] = ()
    """Files, folders and globs as one source named `files`, before `sources`."""
    sources: tuple[Source, ...] = ()
    max_text_bytes: int | None = Field(default=None, ge=1)
    """Stop at so much text, chosen by a seeded hash of the files' paths."""
    max_documents: int | None = Field(default=None, ge=1)
    max_document_bytes: int = Field(default=32 * MB, ge=1)
    """Longer documents are quarantined."""
    shard_bytes: int = Field(default=16 * MB, ge=1_000)
    """About so much text makes one shard."""
    quarantine_ceiling: float = Field(default=0.01, ge=0, le=1)
    """The run stops when a larger share of the records is quarantined."""
    seed: int = 0

    @property
    def all_sources(self) -> tuple[FilesSource | DatasetSource | InstalledSource, ...]:
        """The sources in order of priority."""
        first = (FilesSource(name="files", paths=self.paths),) if self.paths else ()
        return (*first, *self.sources)

    @model_validator(mode="after")
    def _check(self) -> Self:
        # Settings are published with the corpus, so they may hold no secret; nor may the message that refuses one.
        if any(CREDENTIALS.search(path) for source in self.all_sources for path in _paths(source)):
            raise ValueError("a path or an address may hold no user and no password")
        names = [source.name for source in self.all_sources]
        if not names:
            raise ValueError("nothing to collect: give paths, or sources")
        for name in names:
            if not SOURCE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no source name: letters, digits, '.', '_' and '-', at most 64")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"source names must differ, but there are several {', '.join(twice)}")
        return self
