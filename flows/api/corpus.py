"""A finished corpus in Python: what it holds, and how it is changed and handed on.

Purpose: everything that a user does with a corpus; the command line prints what these calls return.
Guarantee: what is read was compared with its manifest. A corpus whose settings were edited by hand is refused.
Cost: opening reads the manifests; each call states its own where it is more than one read of what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tokenmill.answers import Funnel
from tokenmill.flows import forgetting
from tokenmill.pipeline.ask import expectations
from tokenmill.pipeline.ask.status import Status, funnel, status
from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.base.errors import NotBuilt
from tokenmill.pipeline.base.manifest import MODEL, path_of
from tokenmill.pipeline.corpus import TOKENS, open_corpus
from tokenmill.pipeline.stages import settings as all_settings
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.questions import Questions, shown
from tokenmill.tokens import Tokens

if TYPE_CHECKING:
    from tokenmill.pipeline.tokens.compact import Compacted
    from tokenmill.pipeline.tokens.forget import Found

TEXT_COLUMNS = ("doc_id", "source", "url", "text", "metadata")


class Corpus(Questions):
    """A finished corpus. Made by `tokenmill.open` and `tokenmill.build`.

    Examples
    --------
    >>> import tokenmill as tm
    >>> corpus = tm.open(folder / "corpus")
    >>> corpus.settings["dedup"]["threshold"]
    0.8
    """

    @property
    def root(self) -> Path:
        """The folder of the corpus."""
        return self._folder.root

    @property
    def settings(self) -> dict[str, Any]:
        """All settings that the corpus was built with, by section, as JSON values."""
        return all_settings.plain(self._folder.settings)

    @property
    def report(self) -> Path:
        """The HTML page that shows the corpus; with what is met and missed, if the build expected something of it."""
        return expectations.page(self._folder)

    @property
    def tokens(self) -> Tokens:
        """The packed tokens. Raises CorruptFile, StaleInput; NotBuilt if the corpus was moved, or its version removed.

        Examples
        --------
        >>> corpus.tokens.vocabulary
        300
        """
        folder = self._folder.published / TOKENS
        if not folder.is_dir() and (said := files.lost(folder.parent)):
            raise NotBuilt(said)
        return Tokens(TokenStore.of(folder))

    def funnel(self) -> Funnel:
        """What each step read, kept, dropped by reason and quarantined.

        Examples
        --------
        >>> corpus.funnel()[-1].stage
        'pack'
        """
        return Funnel(funnel(self._folder))

    def status(self) -> Status:
        """The funnel, alarms, entries that were not read, and the totals of documents, tokens and vocabulary.

        Examples
        --------
        >>> corpus.status().vocabulary
        300
        """
        return status(self._folder)

    def texts(self) -> pa.RecordBatchReader:
        """The documents that every stage kept, with edits applied and without forgotten documents, shard by shard.

        Returns
        -------
        pyarrow.RecordBatchReader
            Columns `doc_id` (32 hex digits), `source`, `url`, `text`, `metadata` (JSON). It is an Arrow stream: iterate over
            its batches, `read_all()` it, or hand it to polars, pandas or `datasets`.

        Examples
        --------
        >>> corpus.texts().read_all().num_rows
        40
        """
        from tokenmill.pipeline.export.source import ExportSource

        source = ExportSource(corpus=self._folder, licence=None)
        schema = pa.schema([(name, pa.large_string() if name == "text" else pa.string()) for name in TEXT_COLUMNS])

        def batches() -> Iterator[pa.RecordBatch]:
            for view in source.views:
                yield from source.texts(view)[0].select(list(TEXT_COLUMNS)).cast(schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def verdicts(self, stage: str) -> pa.RecordBatchReader:
        """What a stage decided about each collected document, in document order.

        Parameters
        ----------
        stage
            The name of a stage of the corpus: `language`, `dedup`, `repeats` or `quality`.

        Returns
        -------
        pyarrow.RecordBatchReader
            `doc_id` (16 bytes), `reason` ("" is kept, null means an earlier stage dropped the document) and the stage's
            evidence, such as `kept_doc_id` and `jaccard` of duplicates.

        Raises
        ------
        ConfigError
            There is no stage of that name; the nearest one is named.
        NotBuilt
            The corpus was built without the stage.

        Examples
        --------
        >>> corpus.verdicts("dedup").read_all()["reason"].to_pylist().count("")
        40
        """
        return self._tables(stage, "verdicts")

    def scores(self, stage: str) -> pa.RecordBatchReader:
        """What a stage measured of each collected document, in document order; nulls where an earlier stage dropped it.

        Parameters
        ----------
        stage
            The name of a stage of the corpus.

        Examples
        --------
        >>> corpus.scores("language").read_all().column_names[:2]
        ['doc_id', 'language']
        """
        return self._tables(stage, "scores")

    def forget(
        self,
        *,
        doc_ids: Sequence[str] = (),
        url_prefixes: Sequence[str] = (),
        sources: Sequence[str] = (),
        ids_file: str | Path | None = None,
        dry_run: bool = False,
    ) -> list[Found]:
        """Mask documents for every reader at once, and keep them out of later builds. `compact` takes out their tokens.

        Parameters
        ----------
        doc_ids, url_prefixes, sources
            What to forget: documents by id (32 hex digits), by the beginning of their URL, or all of a source.
        ids_file
            A file of ids, separated by white space.
        dry_run
            Say how much it is; write nothing.

        Examples
        --------
        >>> corpus.forget(sources=["files"], dry_run=True)[0].documents
        40
        """
        path = None if ids_file is None else Path(ids_file)
        asked = forgetting.requests(doc_ids, url_prefixes, sources, path)
        return forgetting.forget(self.root, asked, dry_run=dry_run)

    def compact(self, *, personal: bool = False, progress: bool = False) -> Compacted | None:
        """Take forgotten documents out of the token files, and prove that nothing else changed. Reads the store twice.

        Parameters
        ----------
        personal
            Also write the documents masked, as the stage `personal` masks what is read. Tokens stay valid.
        progress
            Show how far it is, on standard error.

        Returns
        -------
        Compacted or None
            None if nothing was forgotten and only documents were masked.

        Raises
        ------
        InputError
            Nothing was forgotten, and `personal` is not asked for.
        ConfigError
            `personal` is asked for, and the corpus was built without the stage of that name.
        """
        done = forgetting.compact(self.root, shown(progress), personal=personal)
        self._folder = open_corpus(self.root)
        return done

    def export(self, to: str, out: str | Path | None = None, *, licence: str | None = None, progress: bool = False) -> Path:
        """Write the corpus for other tools: its text, or its tokens as their readers want them.

        Parameters
        ----------
        to
            `jsonl`, `parquet` or `huggingface` for text; `megatron`, `nanotron`, `olmo` or `nanogpt` for tokens.
        out
            The folder. Default: `export` in the folder of the corpus.
        licence
            For the card of `huggingface`: an identifier of the hub, as `odc-by`.

        Returns
        -------
        Path
            The folder that was written.

        Examples
        --------
        >>> sorted(path.suffix for path in corpus.export("jsonl", folder / "export").rglob("*.jsonl"))
        ['.jsonl']
        """
        from tokenmill.pipeline.export import export, format_of

        target = self.root / "export" if out is None else Path(out)
        export(self._folder, target, format_of(to), shown(progress), licence=licence)
        return target

    def _tables(self, stage: str, kind: str) -> pa.RecordBatchReader:
        name = table.kind_of(stage).name
        self._folder.require(name)
        named = [shard.tables[name, kind] for shard in self._folder.shards]
        read = (self._folder.censor.table(shards.read(self._folder.published, one)) for one in named)
        first = next(read, None)
        if first is None:
            return pa.RecordBatchReader.from_batches(pa.schema([]), iter(()))
        schema = first.schema

        def batches() -> Iterator[pa.RecordBatch]:
            yield from first.to_batches()
            for one in read:
                yield from one.cast(schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def __repr__(self) -> str:
        done = status(self._folder)
        kept = "?" if done.documents is None else f"{done.documents:,}"
        tokens = "?" if done.tokens is None else f"{done.tokens:,}"
        model = ", a trained model" if path_of(self.root, MODEL).is_file() else ""
        model += f", {done.forgotten:,} documents forgotten" if done.forgotten else ""
        return f"Corpus({str(self.root)!r}): {done.stages[0].kept:,} documents collected, {kept} kept, {tokens} tokens{model}"
