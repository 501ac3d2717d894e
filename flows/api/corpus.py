"""A finished corpus in Python: what it holds, what became of its documents, and its tokens.

Purpose: everything that a user asks of a corpus; the command line prints what these calls return.
Guarantee: what is read was compared with its manifest. A corpus whose settings were edited by hand is refused.
Cost: opening reads the manifests; each call states its own where it is more than one read of what it returns.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa

from tokenmill.flows import forgetting, presets
from tokenmill.flows.build import build as run_build
from tokenmill.pipeline.ask.status import FunnelRow, Status, funnel, status
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import MODEL
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.corpus import REPORT, TOKENS, CorpusFolder, open_corpus
from tokenmill.pipeline.stages import settings as all_settings
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.tokens import Split, TokenStore
from tokenmill.pipeline.tokens.samples import Samples, samples

if TYPE_CHECKING:
    from tokenmill.model.dataset import TokenDataset
    from tokenmill.pipeline.ask.audit import SplitAudit
    from tokenmill.pipeline.ask.near import Near
    from tokenmill.pipeline.tokens.compact import Compacted
    from tokenmill.pipeline.tokens.forget import Found

TEXT_COLUMNS = ("doc_id", "source", "url", "text", "metadata")


def build(
    config: str | Path,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Corpus:
    """Build a corpus, or bring one up to date. What is up to date is not computed again.

    Parameters
    ----------
    config
        A preset (`docs`, `text`, `web`) or the path of a TOML file.
    out
        The folder of the corpus. Default: `corpora/<name of the config>`.
    settings
        Settings over those of `config`, by dotted name: `{"dedup.threshold": 0.7}`.
    workers
        Processes. Default: as many as this machine has cores for this process.
    progress
        Show steps, rates and time left on standard error.

    Raises
    ------
    TokenmillError
        The message says what, where and what to do.

    Examples
    --------
    >>> import tokenmill as tm
    >>> corpus = tm.build("text", folder / "corpus", {"collect.paths": str(folder / "texts"), **small}, progress=False)
    >>> corpus.funnel()[0].kept
    40
    """
    root = Path("corpora", Path(config).stem) if out is None else Path(out)
    wanted = presets.resolve(str(config), dict(settings or {}))
    count = len(os.sched_getaffinity(0)) if workers is None else workers
    return Corpus(run_build(wanted, root, workers=count, progress=_progress(progress)))


def open_(folder: str | Path) -> Corpus:
    """Open a finished corpus.

    Parameters
    ----------
    folder
        The folder of the corpus.

    Raises
    ------
    NotBuilt
        There is no finished corpus in the folder.
    StaleInput
        Its `config.toml` was edited after the build.
    CorruptFile
        A manifest holds other bytes than were written.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.open(folder / "corpus")
    Corpus('.../corpus'): 40 documents collected, 40 kept, ... tokens
    """
    return Corpus(open_corpus(Path(folder)))


class Funnel(Sequence[FunnelRow]):
    """What each step of a corpus read, kept, dropped and quarantined: a sequence of rows that prints as a table.

    Examples
    --------
    >>> for row in corpus.funnel():
    ...     print(row.stage, row.read, row.kept)
    collect 40 40
    language 40 40
    dedup 40 40
    quality 40 40
    pack 40 40
    """

    def __init__(self, rows: Sequence[FunnelRow]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> FunnelRow: ...
    @overload
    def __getitem__(self, index: slice) -> Funnel: ...
    def __getitem__(self, index: int | slice) -> FunnelRow | Funnel:
        return Funnel(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        lines = [f"{'stage':<12}{'read':>14}{'kept':>14}{'dropped':>14}{'quarantined':>14}"]
        for row in self._rows:
            numbers = (row.read, row.kept, sum(row.dropped.values()), row.quarantined)
            lines.append(f"{row.stage:<12}" + "".join(f"{number:>14,}" for number in numbers))
        return "\n".join(lines)


class Answer(Mapping[str, Any]):
    """The answer to a question, as JSON values by name; `dict(answer)` gives them all."""

    def __init__(self, question: str, values: Mapping[str, Any]) -> None:
        self._question = question
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name!r}: {_short(value)}" for name, value in self._values.items())
        return f"Answer({self._question}: {parts})"


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
        from tokenmill.pipeline.export.source import Source

        source = Source(corpus=self._folder, licence=None)
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
        return tuple(problems(self.root, _progress(progress), of_corpus, most=most))

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

        return Answer("whatif", what_if(self._folder, settings, samples=samples, seed=seed))

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
        import contextlib

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

        return audit(self._folder, of_corpus, _progress(progress))

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
        done = forgetting.compact(self.root, _progress(progress))
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
        export(self._folder, target, format_of(to), _progress(progress), licence=licence)
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
        model = ", a trained model" if (self.root / MODEL / "manifest.json").is_file() else ""
        return f"Corpus({str(self.root)!r}): {done.stages[0].kept:,} documents collected, {kept} kept, {tokens} tokens{model}"


class Tokens:
    """The packed tokens of a corpus. Made by `Corpus.tokens`.

    Examples
    --------
    >>> tokens = corpus.tokens
    >>> tokens.count > 0
    True
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    @property
    def count(self) -> int:
        """Tokens of all splits, end-of-text included."""
        return self._store.facts.tokens

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        return self._store.vocabulary

    @property
    def end_of_text(self) -> int:
        """The id that ends each document."""
        return self._store.end_of_text

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, `train` and `val`, for reading tokens and documents one by one."""
        return {split.name: split for split in self._store.splits}

    def samples(self, *, length: int, seed: int, weights: Mapping[str, float] | None = None, aligned: bool = False) -> Samples:
        """The samples of the split `train` in the order of a seed, as NumPy arrays.

        Parameters
        ----------
        length
            Tokens of a sample; each has `length + 1` ids, inputs and, one further on, targets.
        seed
            Orders the windows of each epoch. Sample k is a pure function of the store, the seed and these settings.
        weights
            Of sources, in any proportion to each other. Default: all text as often as the rest.
        aligned
            Windows begin where documents begin.

        Returns
        -------
        Samples
            `read(first, count)` gives a batch whose `ids` are [count, length + 1]; `np.asarray(batch)` is the same.

        Raises
        ------
        InputError
            The store holds fewer tokens than one sample needs.

        Examples
        --------
        >>> corpus.tokens.samples(length=16, seed=0).read(0, 8).ids.shape
        (8, 17)
        """
        return samples(self._store, length=length, seed=seed, weights=weights, aligned=aligned)

    def dataset(self, *, length: int, seed: int, epoch: int = 0, rank: int = 0, ranks: int = 1) -> TokenDataset:
        """The samples of one epoch as a map-style dataset for `torch.utils.data.DataLoader`.

        Parameters
        ----------
        length, seed
            As in `samples`.
        epoch
            Which epoch; each has an order of its own.
        rank, ranks
            Item i of a rank is sample `i * ranks + rank`, so that ranks share the samples of every step.

        Returns
        -------
        torch.utils.data.Dataset
            `len(dataset)` items `{"input_ids", "labels"}`, int64 [length]; labels are the next tokens already, and -100
            where no loss is taken. It is picklable: workers that fork or spawn read the same ids.

        Examples
        --------
        >>> item = corpus.tokens.dataset(length=16, seed=0)[0]
        >>> bool((item["input_ids"][1:] == item["labels"][:-1]).all())
        True
        """
        from tokenmill.model.dataset import TokenDataset

        return TokenDataset(self._store.folder, length=length, seed=seed, epoch=epoch, rank=rank, ranks=ranks)

    def __repr__(self) -> str:
        splits = ", ".join(f"{split.name} {split.tokens:,}" for split in self._store.splits)
        return f"Tokens({str(self._store.folder)!r}): {splits}; vocabulary {self.vocabulary:,}"


def _progress(wanted: bool) -> Progress:
    """Bars on standard error where that is a terminal."""
    import sys

    if not wanted or not sys.stderr.isatty():
        return Silent()
    from rich.console import Console

    from tokenmill.flows.cli.draw.terminal import Terminal

    return Terminal(Console(stderr=True, highlight=False, soft_wrap=True))


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{len(value)} values}}" if len(repr(value)) > 100 else repr(value)
    if isinstance(value, list | tuple):
        return f"[{len(value)} values]" if len(repr(value)) > 100 else repr(value)
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
