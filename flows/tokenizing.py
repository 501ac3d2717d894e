"""The work of the commands `tokenmill tokenizer`: train, encode, evaluate, compare.

Guarantee: the readers of collection read the documents, into a temporary folder. Records that gave no document are counted, and
too many broken records stop the run. A written file appears whole or not at all.
Cost: one collection of the documents, and the work itself. The ids of a `.npy` file are held in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from tokenmill.flows import execution
from tokenmill.flows.decoding import STDIN, Ids, output
from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.errors import ConfigError, InputError, QuarantineCeiling
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.shards import View, views
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.collect.unique import NotUnique
from tokenmill.pipeline.collect.write import Instead
from tokenmill.pipeline.config import CollectConfig, ExecutionConfig, FilesSource, TokenizerConfig
from tokenmill.pipeline.report.vocabulary import VocabularyStatistics
from tokenmill.pipeline.stages.step import Done, Work, perform
from tokenmill.pipeline.tokens import TokenStore, dtype_for
from tokenmill.pipeline.tokens.facts import Size
from tokenmill.pipeline.tokens.format import FOLDER
from tokenmill.tokenizer import count
from tokenmill.tokenizer.encode import FILE, FastEncoder
from tokenmill.tokenizer.evaluate import Usage, sizes_of, words_of
from tokenmill.tokenizer.files import read
from tokenmill.tokenizer.step import TokenizerStep

Form = Literal["text", "npy", "store"]
MOST_CHARACTERS = 50
"""Of a path's name in the name of its source, which has at most 64."""
MADE_BY = "tokenizer encode"
"""What a corpus of encoded texts says that it was made by. No preset or file has such a name by default."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Files, folders or globs of documents. "-" is standard input, as one document. Each path is a source of its own."""

    paths: Sequence[str]
    text_field: str = "text"
    sample_by: Literal["document", "line"] = "document"

    def sources(self, folder: Path) -> tuple[FilesSource, ...]:
        """The sources for collection. Standard input is first written to a file in `folder`. Raises InputError."""
        if not self.paths:
            raise InputError("name the files, folders or globs to read, or - for standard input")
        names: list[str] = []
        made = []
        for path in self.paths:
            name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(path).stem)[:MOST_CHARACTERS].strip("-._") or "input"
            again = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
            names.append(next(one for one in again if one not in names))
            if path == STDIN:
                path = str(folder / "stdin.txt")
                files.write_bytes(Path(path), sys.stdin.buffer.read())
            made.append(FilesSource(name=names[-1], paths=(path,), text_field=self.text_field, sample_by=self.sample_by))
        return tuple(made)


@contextlib.contextmanager
def _collected(inputs: Inputs, by: ExecutionConfig, progress: Progress) -> Iterator[Work]:
    """The documents as a finished collection in a temporary folder. Raises InputError, QuarantineCeiling."""
    with _working(inputs, by, progress) as (config, work):
        yield _collect(config, work)


@contextlib.contextmanager
def _working(inputs: Inputs, by: ExecutionConfig, progress: Progress) -> Iterator[tuple[CollectConfig, Work]]:
    """What to collect, and the work of it in a temporary folder."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_temporary(by))
        root = Path(folder, "corpus")
        (root / state.FOLDER).mkdir(parents=True)
        hands = stack.enter_context(execution.opened(by, root))
        work = Work(root=root, before=(), executor=hands.executor, progress=progress, memory_bytes=hands.memory_bytes)
        yield CollectConfig(sources=inputs.sources(Path(folder))), work


def _temporary(by: ExecutionConfig) -> tempfile.TemporaryDirectory[str]:
    """A folder for the work; in the present one if other machines work there too, which do not see this one's own."""
    return tempfile.TemporaryDirectory(prefix="tokenmill-", dir=None if by.address is None else Path.cwd())


@contextlib.contextmanager
def _counted(
    inputs: Inputs, step: TokenizerStep, most_bytes: int, by: ExecutionConfig, progress: Progress
) -> Iterator[tuple[Work, bool]]:
    """The counts of all documents as a finished collection in a temporary folder, and True.

    If ids repeat, or there are more than `most_bytes` of text (not 0), documents have to be told apart: then they are collected
    as `_collected` does, and it is False.
    """
    with _working(inputs, by, progress) as (config, work):
        counts = dataclasses.replace(work, root=work.root.with_name("counts"))
        with contextlib.suppress(NotUnique):
            made = _collect(config, counts, functools.partial(count.count_texts, pattern=step.cut))
            if not most_bytes or made.before[-1].counts.bytes_kept <= most_bytes:
                yield made, True
                return
        yield _collect(config, work), False


def _collect(config: CollectConfig, work: Work, instead: Instead | None = None) -> Work:
    (work.root / state.FOLDER).mkdir(parents=True, exist_ok=True)
    try:
        done = perform(CollectStep(config, instead=instead), work, downstream=())
    except QuarantineCeiling as error:
        # The last line of the message names the temporary folder, and a setting that these commands do not have.
        what, _, _ = str(error).rpartition("\n")
        raise QuarantineCeiling(
            f"{what}\nRepair them or leave them out; if a text is too long, make each line a document (--sample-by line)."
        ) from error
    _say_left_out(done.manifest, work.progress)
    return dataclasses.replace(work, before=(done.manifest,))


def _say_left_out(collected: Manifest, progress: Progress) -> None:
    counts = collected.counts
    left_out = {**counts.dropped, "broken": counts.quarantined}
    if any(left_out.values()):
        progress.say("left out: " + ", ".join(f"{reason} {number:,}" for reason, number in left_out.items() if number))


def train(
    inputs: Inputs, out: Path, config: TokenizerConfig, *, by: ExecutionConfig, progress: Progress
) -> tuple[Done, list[Size]]:
    """Train a tokenizer and write it to `out`. Returns the finished step, and the cost of vocabularies of several sizes, which
    WordPiece does not try.

    Raises InputError, QuarantineCeiling, ConfigError.
    """
    step = TokenizerStep(config=config)
    step.config()
    with _counted(inputs, step, config.sample_bytes, by, progress) as (work, counted):
        done = perform(TokenizerStep(config=config, counted=counted), work, downstream=())
        files.write_bytes(out, (work.root / FILE).read_bytes())
        return done, [Size(**size) for size in done.manifest.facts.get("sweep", ())]


def encode(
    inputs: Inputs, encoder: FastEncoder, out: Path | None, form: Form, *, by: ExecutionConfig, progress: Progress
) -> tuple[int, int]:
    """Encode documents. Returns the numbers of documents and of ids, end-of-text included. `out` None: standard output.

    `text`: one line of ids per document. `npy`: all ids end to end, in the smallest dtype that holds them. `store`: a corpus
    with a token store, as training reads it, in the folder `out`. Raises InputError, QuarantineCeiling, ConfigError.
    """
    if form == "store":
        return _encode_store(inputs, encoder, out, by=by, progress=progress)
    with _collected(inputs, by, progress) as work:
        found = _documents(work, encoder)
        if form == "text":
            written = (" ".join(map(str, ids.tolist())).encode() + b"\n" for ids in found)
            with output(out) as handle:
                sizes = [handle.write(line) and line.count(b" ") + 1 for line in written]
            return len(sizes), sum(sizes)
        if out is None:
            raise ConfigError("an array is written to a file: name it with --out")
        parts = list(found)
        with files.create(out) as handle:
            data = io.BytesIO()
            np.save(data, np.concatenate([np.zeros(0, dtype=dtype_for(encoder.vocabulary)), *parts]), allow_pickle=False)
            handle.write(data.getbuffer())
        return len(parts), sum(map(len, parts))


def _documents(work: Work, encoder: FastEncoder) -> Iterator[Ids]:
    """The ids of each document, followed by end-of-text."""
    for view, texts in _texts(work, "encode"):
        ids, counts = encoder.encode(texts)
        if encoder.end_of_text in ids:
            raise ConfigError(f"{view.name}: the tokenizer turns text into its end-of-text id {encoder.end_of_text}")
        dtype = dtype_for(encoder.vocabulary)
        end = np.array([encoder.end_of_text], dtype=dtype)
        yield from (np.concatenate([part.astype(dtype), end]) for part in np.split(ids, np.cumsum(counts))[:-1])


def _texts(work: Work, step: str) -> Iterator[tuple[View, pa.Array]]:
    """The texts of all documents, shard by shard."""
    seen = views(work.root, work.before)
    work.progress.begin(step, sum(view.documents[1].bytes for view in seen), "bytes")
    for view in seen:
        yield view, view.read().table["text"].combine_chunks()
        work.progress.advance(view.documents[1].bytes)


def _encode_store(
    inputs: Inputs, encoder: FastEncoder, out: Path | None, *, by: ExecutionConfig, progress: Progress
) -> tuple[int, int]:
    if out is None:
        raise ConfigError("a token store is written to a folder: name it with --out")
    # What only this command needs takes half a second to import, and so does the language stage below.
    from tokenmill.flows.build import build
    from tokenmill.pipeline.stages.settings import parse

    with _temporary(by) as folder:
        given = Path(folder, "tokenizer.json")
        files.write_bytes(given, read(encoder.path, encoder.pattern))
        config = parse(
            {
                "stages": (),
                "collect": {"sources": inputs.sources(Path(folder))},
                "tokenizer": {"path": str(given)},
                "pack": {"validation_fraction": 0},
                "execution": by,
            },
            where="the command line",
        )
        build(config, out, progress=progress, made_by=MADE_BY)
    store = TokenStore.open(out / FOLDER)
    return sum(split.documents for split in store.splits), sum(split.tokens for split in store.splits)


def evaluate(
    inputs: Inputs, encoders: Sequence[FastEncoder], *, by: ExecutionConfig, progress: Progress
) -> list[VocabularyStatistics]:
    """Statistics of each tokenizer on the documents, by source and language. Raises InputError, QuarantineCeiling."""
    from tokenmill.pipeline.stages.language.settings import LanguageConfig
    from tokenmill.pipeline.stages.language.stage import Language

    usages = [Usage.of(encoder.description) for encoder in encoders]
    language = Language(config=LanguageConfig())
    language.prepare()
    with _collected(inputs, by, progress) as work:
        for view, texts in _texts(work, "evaluate"):
            batch = pa.record_batch({"text": texts})
            labels = {
                "source": [view.source] * len(texts),
                "language": language.score(batch)["language"].to_pylist(),
            }
            sizes, words = sizes_of(texts), words_of(texts)
            for usage, encoder in zip(usages, encoders, strict=True):
                usage.add(*encoder.encode(texts), sizes, words, labels)
        documents = usages[0].total.documents
        progress.end(f"{documents:,} documents, {len(encoders)} tokenizer{'s' if len(encoders) > 1 else ''}")
    if not documents:
        raise InputError("the inputs hold no documents")
    return [usage.summary() for usage in usages]
