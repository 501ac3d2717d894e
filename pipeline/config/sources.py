"""The section `collect`: where documents come from, and the kinds of sources.

Guarantee: source names differ and can be folder names. No path or address holds a password. Cost: none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, ValidationInfo, model_validator

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.address import SCHEMES, is_remote, parse
from tokenmill.pipeline.config import datatrove
from tokenmill.pipeline.config.section import MB, About, Section

SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
WITHOUT_INPUT = "without_input"
"""In the context of a validation: the config may name no input, since it is only shown."""
CREDENTIALS = re.compile(r"://[^/]*@")
Extract = Literal["blocks", "resiliparse", "trafilatura", "none"]
ExtractFormat = Literal["text", "markdown"]
OURS: tuple[Extract, ...] = ("blocks", "none")
"""Extractors that divide a page into blocks."""
MOST_BIAS = 20
"""Log odds beyond which the score of a block does not matter."""
Format = Literal["text", "html", "jsonl", "parquet", "arrow", "csv", "tsv", "warc", "arc", "wacz"]


def _text_column(text_field: str) -> str:
    """Raises ValueError."""
    textfield.parse(text_field)
    return text_field


TextColumn = Annotated[str, AfterValidator(_text_column)]


class PagesSource(Section):
    """How a source takes the main text out of web pages."""

    extract: Annotated[Extract | None, About(example="none")] = None
    """Like `collect.extract`, for this source. Default: what that says."""
    extract_format: Annotated[ExtractFormat | None, About(example="markdown")] = None
    """Like `collect.extract_format`, for this source. Default: what that says."""
    extract_bias: Annotated[float | None, About(unit="log odds", example=1.0)] = Field(
        default=None, ge=-MOST_BIAS, le=MOST_BIAS
    )
    """Like `collect.extract_bias`, for this source. Default: what that says."""
    extract_recall: Annotated[float | None, About(unit="share", example=0.2)] = Field(default=None, ge=0, le=1)
    """Like `collect.extract_recall`, for this source. Default: what that says."""
    extract_scores: Annotated[bool | None, About(example=True)] = None
    """Like `collect.extract_scores`, for this source. Default: what that says."""


class FilesSource(PagesSource):
    """Files, folders and globs."""

    kind: Literal["files"] = "files"
    """What the source is. It may be left out where it is "files"."""
    name: Annotated[str, About(example="books")]
    """Name of the source. It is a folder name in the corpus: letters, digits, '.', '_' and '-', at most 64 characters."""
    paths: Annotated[tuple[str, ...], About(example=("books/*.txt",))] = Field(min_length=1)
    """Files, folders (read with everything below them) and globs. Or addresses in an object store: `s3://bucket/texts`, also
    with wildcards, gs:// and az://."""
    format: Annotated[Format | None, About(example="text")] = None
    """What all files of the source are, whatever their names end in. Default: each is what its ending says. A last ending such
    as .gz still says how a file is packed."""
    text_field: TextColumn = "text"
    """Record files (.jsonl .parquet .arrow .csv .tsv): the column with the text. `doc.body` is the column `body` within `doc`;
    `title + "\\n\\n" + body` joins columns, with strings between them as in JSON."""
    id_field: str = "id"
    """Record files: the column that identifies a record. In files without it, path and position identify the record."""
    id_scope: Literal["source", "file"] = "source"
    """Record files: ids differ over the whole source, or start anew in each file, as in many exports."""
    url_field: str = "url"
    """Record files: the column with the URL, if there is one."""
    sample_by: Literal["document", "line"] = "document"
    """Plain text files: the whole file is one document, or each line is one (as `datasets` calls it)."""
    separator: Annotated[str | None, About(example="<|endoftext|>")] = Field(default=None, min_length=1, max_length=1_000)
    """Like `collect.separator`, for this source. Default: what that says."""
    zstd_window: Annotated[int, About(unit="bits")] = Field(default=27, ge=10, le=31)
    """Longest window of .zst files, as the logarithm to base 2 of its bytes, like zstd's --long. A worker may take so much more
    memory: 2 GiB at 31."""
    follow_links: bool = False
    """Follow symbolic links in folders to files outside the source, and links to folders. Otherwise these are left out."""

    @property
    def is_remote(self) -> bool:
        """Whether its paths are addresses in an object store."""
        return any(map(is_remote, self.paths))


class DatasetSource(Section):
    """A data set: a local folder, or a name on a hub with a revision, which the `datasets` library reads."""

    kind: Literal["dataset"] = "dataset"
    """What the source is."""
    name: Annotated[str, About(example="wiki")]
    """Name of the source. It is a folder name in the corpus: letters, digits, '.', '_' and '-', at most 64 characters."""
    path: Annotated[str, About(example="my/dataset")]
    """A local folder with .parquet, .arrow, .jsonl, .csv, .tsv or .txt files, or the data set's name on a hub (owner/name)."""
    revision: Annotated[str | None, About(example=40 * "0")] = None
    """The commit's hash on the hub. A data set on a hub needs it; a local folder does not."""
    config_name: Annotated[str | None, About(example="default")] = None
    """The data set's configuration. Default: its only one, the one called default, or the one that its card marks so."""
    split: str = "train"
    """The split to read."""
    text_field: TextColumn = "text"
    """The column with the text. `doc.body` is the column `body` within `doc`; `title + "\\n\\n" + body` joins columns, with
    strings between them as in JSON."""
    id_field: str = "id"
    """The column that identifies a record. Without it, split, shard and row identify the record."""
    id_scope: Literal["source", "file"] = "source"
    """Ids differ over the whole source, or start anew in each shard."""
    url_field: str = "url"
    """The column with the URL, if there is one."""
    follow_links: bool = False
    """Follow symbolic links in a local folder to files outside it, and links to folders. Otherwise these are left out."""


class InstalledSource(PagesSource):
    """The documentation that is installed on this machine."""

    kind: Literal["installed"] = "installed"
    """What the source is."""
    name: str = "installed"
    """Name of the source, a folder name in the corpus."""


class DatatroveSource(Section):
    """Files that a reader of datatrove's reads, as in a pipeline of datatrove."""

    kind: Literal["datatrove"] = "datatrove"
    """What the source is."""
    name: Annotated[str, About(example="crawl")]
    """Name of the source. It is a folder name in the corpus: letters, digits, '.', '_' and '-', at most 64 characters."""
    reader: Annotated[datatrove.Reader, BeforeValidator(datatrove.reader)]
    """The class in `datatrove.pipeline.readers` that reads the files. Others ask the network, or open what data name."""
    paths: Annotated[tuple[str, ...], About(example=("crawl/*.jsonl.gz",))] = Field(min_length=1)
    """Files, folders (read with everything below them) and globs, all of the reader's format, whatever their names end in."""
    arguments: Annotated[Mapping[str, Any], About(kind="a table of the reader's arguments", example={"text_key": "text"})] = {}
    """Plain arguments of the reader, such as `text_key`, `id_key` and `default_metadata`. Default: the reader's own."""
    follow_links: bool = False
    """Follow symbolic links in folders to files outside the source, and links to folders. Otherwise these are left out."""

    @model_validator(mode="after")
    def _of_the_reader(self) -> Self:
        datatrove.check(self.reader, self.arguments)
        return self


def _kind(source: Any) -> Any:
    """The kind of a source as it is written; "files" where it is left out."""
    return source.get("kind", "files") if isinstance(source, Mapping) else getattr(source, "kind", "files")


Source = Annotated[
    Annotated[FilesSource, Tag("files")]
    | Annotated[DatasetSource, Tag("dataset")]
    | Annotated[InstalledSource, Tag("installed")]
    | Annotated[DatatroveSource, Tag("datatrove")],
    Discriminator(_kind),
]
AnySource = FilesSource | DatasetSource | InstalledSource | DatatroveSource


def _paths(source: AnySource) -> tuple[str, ...]:
    if isinstance(source, InstalledSource):
        return ()
    return (source.path,) if isinstance(source, DatasetSource) else source.paths


def _check_extraction(source: FilesSource | InstalledSource) -> None:
    """Raises ValueError if settings of an extractor contradict one another."""
    name, extract = source.name, source.extract
    if source.extract_format == "markdown" and extract not in OURS:
        raise ValueError(f'source {name}: extract_format = "markdown" needs extract = "blocks" or "none", not "{extract}"')
    if source.extract_bias and extract != "blocks":
        raise ValueError(f'source {name}: extract_bias = {source.extract_bias:g} needs extract = "blocks", not "{extract}"')
    if source.extract_scores and extract != "blocks":
        raise ValueError(f'source {name}: extract_scores = true needs extract = "blocks", not "{extract}"')


def _check_addresses(source: AnySource) -> None:
    """Raises ValueError for an address that is none, and where addresses stand beside paths of this machine."""
    addresses = [path for path in _paths(source) if is_remote(path)]
    if not addresses:
        return
    if not isinstance(source, FilesSource):
        if addresses[0].partition(":")[0].lower() not in SCHEMES:
            return  # what a data set may be called is the business of `collect.hub`
        raise ValueError(
            f"source {source.name}: sources of this kind are not read from an object store; give its files as `paths` of a "
            'source with kind = "files"'
        )
    for path in addresses:
        # What stands behind the bucket may be a pattern.
        parse("/".join(path.split("/")[:3]))
    if len(addresses) < len(source.paths):
        raise ValueError(f"source {source.name}: has addresses of an object store and paths of this machine; make two of it")


class CollectConfig(Section):
    """Where documents come from, in order of priority."""

    paths: Annotated[tuple[str, ...], About(example=("my/texts",))] = ()
    """Files, folders and globs that form one source named `files`. It comes before `sources`."""
    sources: tuple[Source, ...] = ()
    """Further sources. Earlier ones have priority."""
    separator: Annotated[str | None, About(example="<|endoftext|>")] = Field(default=None, min_length=1, max_length=1_000)
    """Plain text files: this text stands between documents, and belongs to none. Default: the whole file is one document. It
    does not concern sources with sample_by = "line"."""
    extract: Extract = "blocks"
    """What takes the main text out of HTML pages: "blocks" is tokenmill's own, trained on many kinds of pages; "resiliparse"
    and "trafilatura" are those libraries, of which pip install "tokenmill[trafilatura]" installs the latter; "none" takes all
    visible text."""
    extract_format: ExtractFormat = "text"
    """What the main text of HTML pages becomes: "text", or "markdown" with headings, lists, tables, code and quotes. Only with
    extract = "blocks" or "none"."""
    extract_bias: Annotated[float, About(unit="log odds")] = Field(default=0.0, ge=-MOST_BIAS, le=MOST_BIAS)
    """Added to the score of each block of a page: above 0, more of the page is kept; below 0, less. Only with extract =
    "blocks"."""
    extract_recall: Annotated[float, About(unit="share")] = Field(default=0.1, ge=0, le=1)
    """Drop HTML pages of which too little came out: fewer characters than this share of the visible prose, which is what stands
    in long paragraphs with few links. Pages without a text are dropped at any share."""
    extract_scores: bool = False
    """Store the scores of all blocks of HTML pages, so that `tokenmill whatif` says what another `extract_bias` would keep.
    Pages take two to three times as long to read then. Only with extract = "blocks"."""
    max_text_bytes: Annotated[int | None, About(example=10 * MB)] = Field(default=None, ge=1)
    """Collect at most this many bytes of text over all sources. A hash of file names and `seed` chooses which. Default: no
    limit."""
    max_documents: Annotated[int | None, About(example=1_000)] = Field(default=None, ge=1)
    """Collect at most this many documents over all sources, chosen like those of `max_text_bytes`. Default: no limit."""
    max_document_bytes: int = Field(default=32 * MB, ge=1)
    """Quarantine documents whose text has more bytes than this."""
    shard_bytes: int = Field(default=16 * MB, ge=1_000)
    """Bytes of text per shard (approximate)."""
    quarantine_ceiling: Annotated[float, About(unit="share")] = Field(default=0.01, ge=0, le=1)
    """Stop the build if a larger share of the records (0 to 1) is quarantined."""
    seed: int = 0
    """Seed of the choice that `max_text_bytes` and `max_documents` make."""

    @property
    def all_sources(self) -> tuple[AnySource, ...]:
        """All sources in order of priority: `paths` first, then `sources`. Each says how it extracts text from HTML."""
        first = (FilesSource(name="files", paths=self.paths),) if self.paths else ()
        return tuple(self._extracting(source) for source in (*first, *self.sources))

    def _extracting(self, source: AnySource) -> AnySource:
        if not isinstance(source, PagesSource):
            return source
        absent: dict[str, Any] = {}
        if isinstance(source, FilesSource) and source.separator is None and source.sample_by == "document":
            absent["separator"] = self.separator
        absent |= {name: getattr(self, name) for name in PagesSource.model_fields if getattr(source, name) is None}
        return source.model_copy(update=absent)

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        # Settings are published with the corpus, so they must not hold a secret. The error message must not repeat it either.
        if any(CREDENTIALS.search(path) for source in self.all_sources for path in _paths(source)):
            raise ValueError("a path or an address must not hold a user or a password")
        if any(not path.strip() for source in self.all_sources for path in _paths(source)):
            raise ValueError("a path is empty; write . for the current folder")
        names = [source.name for source in self.all_sources]
        if not names and not (info.context or {}).get(WITHOUT_INPUT):
            raise ValueError("nothing to collect: give paths, or sources; for example --set collect.paths=my/texts")
        for name in names:
            if not SOURCE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a source name: use letters, digits, '.', '_' and '-', at most 64 characters")
        for source in self.all_sources:
            if isinstance(source, FilesSource | InstalledSource):
                _check_extraction(source)
            _check_addresses(source)
            if isinstance(source, FilesSource) and source.separator is not None and source.sample_by == "line":
                raise ValueError(f'source {source.name}: separator and sample_by = "line" exclude one another; leave one out')
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"source names must differ, but more than one source is named {', '.join(twice)}")
        return self
