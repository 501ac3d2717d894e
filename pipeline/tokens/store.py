"""The token store as a reader sees it: splits, sources, windows, documents. No torch.

Purpose: give a trainer what it needs of a packed corpus, straight from the files.
Guarantee: a store without a manifest, of another tokenizer, or with sizes that do not fit is refused when it is opened. What is
read is checked (see `shard`), and `Split.kept` masks what was forgotten.
Cost: opening is O(shards) and reads no payload; a window of 1,025 tokens that was read before takes 2 us.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import files, manifest, shards, store, versions
from tokenmill.pipeline.base.errors import CorruptFile, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import PACK, Manifest
from tokenmill.pipeline.base.versions import Lease
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.facts import PackFacts
from tokenmill.pipeline.tokens.format import DOCUMENTS, FOLDER, SPLITS, Ids, IdType, SplitName, dtype_for
from tokenmill.pipeline.tokens.shard import TokenShard


@dataclass(frozen=True, kw_only=True)
class SourceSpan:
    """The documents of one source in a split: `tokens` tokens from `first_token` on, made from `text_bytes` of text."""

    source: str
    first_token: int
    tokens: int
    documents: int
    text_bytes: int


@dataclass(frozen=True, kw_only=True, repr=False)
class Split:
    """One side of a store: its shards as one stream of tokens, one source after the other."""

    name: SplitName
    shards: tuple[TokenShard, ...]
    sources: tuple[SourceSpan, ...]
    dtype: IdType
    end_of_text: int

    def __repr__(self) -> str:
        held = f"{self.tokens:,} tokens, {self.documents:,} documents, {len(self.sources):,} sources"
        return f"Split {self.name}: {held}, {len(self.shards):,} shards"

    @functools.cached_property
    def tokens(self) -> int:
        """The number of tokens, end-of-text included."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def documents(self) -> int:
        """The number of documents."""
        return sum(shard.documents[1].rows or 0 for shard in self.shards)

    @functools.cached_property
    def has_forgotten(self) -> bool:
        """Whether any token of the split is masked."""
        return any(len(shard.forgotten) for shard in self.shards)

    def windows(self, length: int) -> int:
        """The number of windows of `length` tokens that hold all tokens of the split."""
        if length < 1:
            raise InputError(f"a window has at least one token: {length=}")
        return -(-self.tokens // length)

    def read(self, start: int, stop: int) -> Ids:
        """A copy of the tokens [start, stop), as packed, from all shards that hold them. Raises IndexError, CorruptFile."""
        out = np.empty(max(0, stop - start), self.dtype)
        self.read_into(start, stop, out)
        return out

    def read_into(self, start: int, stop: int, out: Ids) -> None:
        """Like `read`, but into `out` (contiguous, [stop - start])."""
        if not 0 <= start <= stop <= self.tokens:
            raise IndexError(f"tokens {start} to {stop} of {self.name}, which has {self.tokens}")
        for shard, first, last in self._parts(start, stop):
            at = shard.first_token + first - start
            shard.read_into(first, out[at : at + last - first])

    def kept(self, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """For the tokens [start, stop): False where the token belongs to a forgotten document. bool [stop - start]"""
        kept = np.ones(stop - start, dtype=np.bool_)
        for shard, first, last in self._parts(start, stop) if self.has_forgotten else ():
            spans = shard.forgotten
            for begin, end in spans[np.searchsorted(spans[:, 1], first, side="right") : np.searchsorted(spans[:, 0], last)]:
                at = shard.first_token - start
                kept[max(0, begin + at) : end + at] = False
        return kept

    def document_at(self, token: int) -> tuple[int, int]:
        """The first token of the document that contains `token`, and the one after its last, counted in the split."""
        if not 0 <= token < self.tokens:
            raise IndexError(f"token {token} of {self.name}, which has {self.tokens}")
        ((shard, at, _),) = self._parts(token, token + 1)
        first, last = shard.document_at(at)
        return shard.first_token + first, shard.first_token + last

    def documents_table(self) -> pa.Table:
        """One row per document in the order of the tokens (`DOCUMENTS`). Raises CorruptFile.

        `token_offset` counts from the start of the document's own shard.
        """
        tables = [shards.read(shard.root, shard.documents) for shard in self.shards]
        return pa.concat_tables([DOCUMENTS.empty_table(), *tables]).unify_dictionaries()

    def _parts(self, start: int, stop: int) -> list[tuple[TokenShard, int, int]]:
        """The shards that hold [start, stop), each with the range of its own tokens."""
        found = []
        at = bisect_right(self._starts, start) - 1
        while start < stop:
            shard = self.shards[at]
            end = min(stop, shard.first_token + shard.tokens)
            found.append((shard, start - shard.first_token, end - shard.first_token))
            start, at = end, at + 1
        return found

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [shard.first_token for shard in self.shards]


@dataclass(frozen=True, kw_only=True, repr=False)
class TokenStore:
    """A packed corpus. Use `open`."""

    folder: Path
    """The folder that the files are read from. In a corpus with versions it is that of one version, which stays whole."""
    home: Path
    """The folder of the list of forgotten documents, which lies outside all versions."""
    manifest: Manifest
    facts: PackFacts
    splits: tuple[Split, ...]

    def __repr__(self) -> str:
        return f"TokenStore({str(self.folder)!r}): {', '.join(map(repr, self.splits))}"

    @classmethod
    def open(cls, path: Path | str, *, tokenizer: str | None = None, cache: Path | None = None) -> Self:
        """Open the store at `path`: its own folder, under any name, or the folder of the corpus that holds it.

        In a corpus, it is the store of the version that is published now; a later build does not touch it while it is open.

        `path` may be the address of a published corpus, as `s3://bucket/prefix`: then its token store is fetched to the cache
        of this machine, which `cache` names. `tokenizer`: the fingerprint that the store must have, if the caller depends on
        one. Raises NotBuilt without a manifest; CorruptFile when a file is missing or has another size than in the manifest,
        when totals disagree, or when the list of forgotten documents is missing or changed; StaleInput when the store has
        another tokenizer, or the list was made for another store.
        """
        if store.is_remote(path):
            path = store.mirror(str(path), wanted=store.tokens, cache=cache)
        path = Path(path).absolute()
        # In a corpus, the folder of the version counts, whether or not the one that a build works on is there.
        folder = path / FOLDER if (path / FOLDER).is_dir() or files.marker(path) is not None else path
        corpus = folder.parent if folder.name == FOLDER else folder.resolve().parent
        if FOLDER not in (folder.name, folder.resolve().name) or files.marker(versions.corpus_of(corpus)) is None:
            return cls.of(folder, tokenizer=tokenizer)
        # The lease in `now` holds the version until the store has its own.
        now = versions.reading_of(corpus)
        return cls.of(now.folder / FOLDER, tokenizer=tokenizer)

    @classmethod
    def of(cls, folder: Path, *, tokenizer: str | None = None) -> Self:
        """Open the store in exactly this folder, as a build does that makes it. Like `open`."""
        folder = folder.absolute()
        corpus = versions.corpus_of(folder.parent)
        versioned = corpus != folder.parent
        lease = versions.reading_of(folder.parent).lease if versioned else None
        home = corpus / FOLDER if versioned else folder
        made = _manifest(folder)
        facts = PackFacts.of(made)
        if tokenizer is not None and facts.tokenizer != tokenizer:
            raise StaleInput(
                f"{folder} was packed with the tokenizer {facts.tokenizer}, but {tokenizer=} is wanted; "
                "use the tokenizer of this corpus, or build the corpus with yours"
            )
        entries = {name.removeprefix(f"{FOLDER}/"): entry for name, entry in made.entries()}
        for name, entry in entries.items():
            _check_size(folder, name, entry)
        spans = forget.spans(folder, made, listed_in=home)
        splits = tuple(_split(folder, facts, entries, name, spans, lease) for name in SPLITS)
        store = cls(folder=folder, home=home, manifest=made, facts=facts, splits=splits)
        for split in store.splits:
            totals = facts.splits[split.name]
            named = sum(run.tokens for run in split.sources), sum(run.documents for run in split.sources)
            if not (split.tokens, split.documents) == (totals.tokens, totals.documents) == named:
                raise CorruptFile(
                    f"{folder / manifest.NAME}: names {totals.tokens} tokens in {totals.documents} documents of "
                    f"{split.name}, its files hold {split.tokens} in {split.documents}, its sources {named[0]} in {named[1]}; "
                    "run the build again"
                )
        return store

    def split(self, name: SplitName) -> Split:
        """The split of that name."""
        return next(split for split in self.splits if split.name == name)

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        return self.facts.vocabulary

    @property
    def end_of_text(self) -> int:
        """The id that ends each document."""
        return self.facts.end_of_text

    @property
    def tokenizer(self) -> str:
        """The fingerprint (SHA-256 of the file) of the tokenizer that made the ids."""
        return self.facts.tokenizer

    @functools.cached_property
    def hash(self) -> str:
        """The identity of everything in the store: the hash of its manifest."""
        return self.manifest.hash


NOTHING = np.zeros((0, 2), dtype=np.int64)


def _manifest(folder: Path) -> Manifest:
    """Raises NotBuilt, CorruptFile."""
    path = folder / manifest.NAME
    try:
        made = manifest.read(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotBuilt(
            f"{folder} is no token store, so there is no finished stage {PACK!r}: {path} is missing; run the build first, or "
            "give the folder of a corpus or of its tokens"
        ) from error
    if made.stage != PACK:
        raise NotBuilt(f"{folder} is no token store: {path} is of the stage {made.stage!r}; run the build to its end")
    return made


def _split(
    folder: Path,
    facts: PackFacts,
    entries: Mapping[str, FileEntry],
    split: SplitName,
    spans: forget.Spans,
    lease: Lease | None,
) -> Split:
    """`entries`: the files of the store, named from its folder on. The manifest names them from the corpus folder on."""
    dtype = dtype_for(facts.vocabulary)
    found: list[TokenShard] = []
    first_token = 0
    prefix, suffix = f"{split}/", ".bin"
    payloads = [name for name in entries if name.startswith(prefix) and name.endswith(suffix)]
    for name in sorted(payloads, key=lambda name: int(name.removeprefix(prefix).removesuffix(suffix))):
        stem = name.removesuffix(suffix)
        payload, blocks, index, documents = (
            (stem + kind, entries[stem + kind]) for kind in (suffix, ".blocks", ".idx", ".docs.parquet")
        )
        shard = TokenShard(
            root=folder,
            payload=payload,
            blocks=blocks,
            index=index,
            documents=documents,
            first_token=first_token,
            dtype=dtype,
            forgotten=spans.get(stem, NOTHING),
            lease=lease,
        )
        found.append(shard)
        first_token += shard.tokens
    runs: list[SourceSpan] = []
    for one in facts.splits[split].sources:
        runs.append(SourceSpan(**vars(one), first_token=runs[-1].first_token + runs[-1].tokens if runs else 0))
    return Split(name=split, shards=tuple(found), sources=tuple(runs), dtype=dtype, end_of_text=facts.end_of_text)


def _check_size(folder: Path, name: str, entry: FileEntry) -> None:
    path = folder / name
    size = path.stat().st_size if path.is_file() else None
    if size != entry.bytes:
        there = "missing" if size is None else f"{size} bytes"
        raise CorruptFile(
            f"{files.known_as(path)}: {there}, its manifest names {entry.bytes} bytes; run the build again to make it anew"
        )
