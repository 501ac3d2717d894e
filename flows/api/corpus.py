"""A finished corpus in Python: what it holds, and what became of its documents.

Purpose: everything that a user asks of a corpus; the command line prints what these calls return.
Guarantee: what is read was compared with its manifest. A corpus whose settings were edited by hand is refused.
Cost: opening reads the manifests; each call states its own where it is more than one read of what it returns.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tokenmill.answers import Answer, Funnel
from tokenmill.flows import forgetting
from tokenmill.pipeline.ask.status import Status, funnel, status
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import MODEL, path_of
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.config.read import from_python
from tokenmill.pipeline.corpus import REPORT, TOKENS, CorpusFolder, open_corpus
from tokenmill.pipeline.stages import settings as all_settings
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.tokens import Tokens

if TYPE_CHECKING:
    from tokenmill.pipeline.ask.audit import SplitAudit
    from tokenmill.pipeline.ask.near import Near
    from tokenmill.pipeline.tokens.compact import Compacted
    from tokenmill.pipeline.tokens.forget import Found

TEXT_COLUMNS = ("doc_id", "source", "url", "text", "metadata")


class Corpus:
    """A finished corpus. Made by `tokenmill.open` and `tokenmill.build`.

    Examples
    --------
    >>> import tokenmill as tm
    >>> corpus = tm.open(folder / "corpus")
    >>> corpus.settings["dedup"]["threshold"]
    0.8
    """

    def __init__(self, folder: CorpusFolder) -> None:
        self._folder = folder

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
        """The HTML page that shows the corpus."""
        return self.root / REPORT

    @property
    def tokens(self) -> Tokens:
        """The packed tokens. Raises CorruptFile, StaleInput.

        Examples
        --------
        >>> corpus.tokens.vocabulary
        300
        """
        return Tokens(TokenStore.open(self.root / TOKENS))

    def funnel(self) -> Funnel:
        """What each step read, kept, dropped by reason and quarantined.

        Examples
        --------
        >>> corpus.funnel()[-1].stage
        'pack'
        """
        return Funnel(funnel(self._folder))

    def status(self) -> Status:
        """The funnel, alarms, and the totals of documents, tokens and vocabulary.

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

    def verify(self, *, all_duplicates: bool = False, progress: bool = False) -> tuple[str, ...]:
        """Check every published byte, and recompute the evidence of removed duplicates. Reads everything once.

        Parameters
        ----------
        all_duplicates
            Compare the texts of all removed duplicates with the kept ones, not of 100,000 at most.
        progress
            Show how far the check is, on standard error.

        Returns
        -------
        tuple of str
            A line for each problem, with the file's path first. Empty: every byte is what its manifest names.

        Examples
        --------
        >>> corpus.verify()
        ()
        """
        from tokenmill.pipeline.ask.verify import MOST, problems
        from tokenmill.tokenizer.encode import of_corpus

        most = None if all_duplicates else MOST
        return tuple(problems(self.root, shown(progress), of_corpus, most=most))

    def trace(
        self,
        place: str | None = None,
        *,
        sample: int | None = None,
        step: int | None = None,
        doc_id: str | None = None,
        steps: bool = False,
    ) -> Answer:
        """Lead a token, a sample or a training step back to its documents, or a document to every verdict that it met.

        Parameters
        ----------
        place
            A token: its shard and its number there, as `train/00000:1000`.
        sample
            The documents of this sample of the training run, counted from 0.
        step
            The documents of all samples of this training step, counted from 1.
        doc_id
            The document of this id, 32 hex digits.
        steps
            With `doc_id`: also which training steps read the document.

        Returns
        -------
        Answer
            For a token `place`, `text`, `document` and `stages`; for a document `document`, `stages` and with `steps`
            `exposure`; for a sample or a step `run` and `samples`.

        Raises
        ------
        InputError
            What is asked for is not there.

        Examples
        --------
        >>> corpus.trace("train/00000:0")["document"]["source"]
        'files'
        """
        from tokenmill.pipeline.ask.trace import Question, trace
        from tokenmill.tokenizer.encode import of_corpus

        def run_of(folder: CorpusFolder, store: TokenStore) -> Any:
            from tokenmill.model.run import run_of

            return run_of(folder, store)

        asked = Question(place=place, sample=sample, step=step, doc_id=doc_id, steps=steps)
        said = next((f"{key}={value}" for key, value in vars(asked).items() if value is not None), "")
        return Answer(f"trace {said}", trace(self._folder, asked, of_corpus, run_of))

    def whatif(self, settings: Mapping[str, Any], *, samples: int = 3, seed: int = 0) -> Answer:
        """The funnel under other thresholds, from stored scores, in seconds. Writes nothing.

        Parameters
        ----------
        settings
            Settings by dotted name, as `{"quality.min_words": 80}`. Only thresholds over stored scores can be tried.
        samples
            Documents shown for each reason and direction.
        seed
            Draws those documents.

        Returns
        -------
        Answer
            `settings` (each with `before` and `after`), `documents`, `stages`, `changes`, `margins`, `samples`.

        Raises
        ------
        ConfigError
            Stored scores cannot answer; the message says what would.

        Examples
        --------
        >>> corpus.whatif({"language.threshold": 0.0})["documents"]
        {'before': 40, 'after': 40, 'unknown': 0}
        """
        from tokenmill.pipeline.ask.whatif import what_if

        return Answer("whatif", what_if(self._folder, from_python(settings), samples=samples, seed=seed))

    def near(
        self, texts: str | Sequence[str], *, threshold: float | None = None, limit: int = 10, redis: str | None = None
    ) -> Near:
        """Whether texts, or something like them, are in the corpus, and what became of those documents.

        Parameters
        ----------
        texts
            One text, or several.
        threshold
            The least Jaccard similarity. Default: `dedup.threshold` of the corpus.
        limit
            Documents for each text, most similar first.
        redis
            Keep the index in Redis, as `redis://host:port/db`. Default: in memory, for this call.

        Returns
        -------
        Near
            `found` holds a tuple of `Similar` for each text.

        Raises
        ------
        NotBuilt
            The corpus was built without the stage `dedup`.

        Examples
        --------
        >>> corpus.near(text).found[0][0].similarity
        1.0
        """
        from tokenmill.pipeline.ask.near import IN_MEMORY, near, redis_storage

        wanted = [texts] if isinstance(texts, str) else list(texts)
        with contextlib.nullcontext(IN_MEMORY) if redis is None else redis_storage(redis) as storage:
            return near(self._folder, wanted, threshold=threshold, limit=limit, storage=storage)

    def audit(self, *, progress: bool = False) -> list[SplitAudit]:
        """What the tokens are like: rare and single-byte tokens, entropy, repetition, and shards unlike the rest.

        Examples
        --------
        >>> corpus.audit()[0].split
        'train'
        """
        from tokenmill.pipeline.ask.audit import audit
        from tokenmill.tokenizer.encode import of_corpus

        return audit(self._folder, of_corpus, shown(progress))

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

    def compact(self, *, progress: bool = False) -> Compacted:
        """Take forgotten documents out of the token files, and prove that nothing else changed. Reads the store twice.

        Raises
        ------
        InputError
            Nothing was forgotten.
        """
        done = forgetting.compact(self.root, shown(progress))
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
        read = (shards.read(self.root, one) for one in named)
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


def shown(wanted: bool) -> Progress:
    """Progress on standard error, if it is wanted and that is a terminal."""
    if not wanted or not sys.stderr.isatty():
        return Silent()
    from tokenmill.flows.cli.draw.terminal import on_standard_error

    return on_standard_error()
