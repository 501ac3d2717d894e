"""fastText model files: check that a file is complete, list its labels, and load it with the library.

Purpose: fastText checks the first eight bytes of a file and trusts the rest, so a truncated or foreign file ends the process
or gives noise. Here every size is compared with the file's length before fastText sees it.
Guarantee: a file that passes `check` has every part that its header announces and not a byte more, and no number that makes
fastText divide by zero or leave its memory. The numbers of its matrices are not inspected. A model is identified by the
SHA-256 of its file. Only `library` imports the library, because it has no build for Python 3.13.
Cost: `check` walks the dictionary and reads no matrix (0.05 s for a model of 0.9 GB); `load` holds the whole file in memory.

The format is that of fastText 0.9.2: `FastText::saveModel`, `Args::save`, `Dictionary::save`, `Matrix::save`.
"""

from __future__ import annotations

import functools
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError

MAGIC = 793_712_314
VERSIONS = (11, 12)
KINDS = (1, 2, 3)
SUPERVISED = 3
LOSSES = (1, 2, 3, 4)
HIERARCHICAL = 1
LABEL_PREFIX = "__label__"
WORD_ENTRY, LABEL_ENTRY = 0, 1
MAX_NGRAM = 100
"""Longest n-grams accepted, of words and of characters. fastText's work grows with this number: a damaged one would take
hours."""
MAX_OCCURRENCES = 10**15
"""fastText's own stand-in for infinity."""
CENTROIDS = 256
FLOAT_BYTES = 4


def library() -> Any:
    """The module `fasttext`. Raises ConfigError if it is not installed."""
    try:
        import fasttext
    except ImportError as error:
        raise ConfigError(
            "fastText is not installed: its package has no build for Python 3.13 and later; use an earlier Python, or "
            "remove the model from the settings"
        ) from error
    return fasttext


def sha256(path: str) -> str:
    """The SHA-256 of a model's file in hex. The file is read again only when it changes. Raises ConfigError."""
    try:
        status = Path(path).stat()
        return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    except OSError as error:
        raise ConfigError(f"{path}: the model cannot be read ({error.strerror})") from error


@functools.cache
def _sha256(path: str, _size: int, _mtime_ns: int, _ctime_ns: int, _inode: int) -> str:
    return files.sha256(Path(path))


def check(path: str) -> tuple[str, ...]:
    """The labels of the classifier in a file, with their prefix, in the model's order.

    Raises ConfigError if the file cannot be read, InputError if it is not a complete fastText classifier.
    """
    try:
        with open(path, "rb") as handle:
            if not handle.seek(0, 2):
                raise InputError(f"{path}: is empty, not a fastText model")
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _walk(_ByteCursor(path, data))
    except OSError as error:
        raise ConfigError(f"{path}: the model cannot be read ({error.strerror})") from error


def load(path: str) -> Any:
    """The model in a file, as the library's object. Raises what `check` and `library` raise."""
    fasttext = library()
    check(path)
    try:
        return fasttext.load_model(path)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: fastText cannot read this model ({error})") from error


class _ByteCursor:
    """A cursor over a model's bytes."""

    def __init__(self, path: str, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 0

    def wrong(self, what: str) -> InputError:
        return InputError(f"{self.path}: is not a complete fastText model: {what}; give a .bin or .ftz file from fastText")

    def read(self, layout: str) -> tuple[Any, ...]:
        begin = self.at
        self.skip(struct.calcsize("<" + layout))
        return struct.unpack_from("<" + layout, self.data, begin)

    def flag(self) -> bool:
        (byte,) = self.read("B")
        if byte > 1:
            raise self.wrong(f"a flag of {byte} before byte {self.at}")
        return bool(byte)

    def skip(self, size: int) -> None:
        if size < 0 or self.at + size > len(self.data):
            raise self.wrong(f"{len(self.data)} bytes, its sizes announce {self.at + max(size, 0)} and more")
        self.at += size


def _walk(model: _ByteCursor) -> tuple[str, ...]:
    magic, version = model.read("ii")
    if magic != MAGIC:
        raise model.wrong(f"it begins with {magic}, not with {MAGIC}")
    if version not in VERSIONS:
        raise model.wrong(f"format {version}, known are {VERSIONS[0]} and {VERSIONS[1]}")
    dimensions, *_, word_ngrams, loss, kind, buckets, _, subword, _, _ = model.read("12id")
    if kind not in KINDS:
        raise model.wrong(f"a model of the unknown kind {kind}")
    if kind != SUPERVISED:
        raise InputError(f"{model.path}: holds word vectors, not a classifier; give a model trained with labels")
    if loss not in LOSSES:
        raise model.wrong(f"the unknown loss {loss}")
    if not (0 <= word_ngrams <= MAX_NGRAM and 0 <= subword <= MAX_NGRAM):
        raise model.wrong(f"n-grams of {word_ngrams} words and {subword} characters")
    # fastText divides by the number of buckets for every n-gram. In the older format it makes no character n-grams.
    hashing = word_ngrams > 1 or (subword > 0 and version > VERSIONS[0])
    if buckets < 0 or (hashing and not buckets):
        raise model.wrong(f"{buckets} buckets for n-grams of {word_ngrams} words and {subword} characters")
    labels, words, pruned = _dictionary(model, counted=loss == HIERARCHICAL)
    quantised = model.flag()
    if pruned >= 0 and not quantised:
        raise model.wrong("its dictionary is pruned, its matrix is not quantised")
    _matrix(model, quantised, words + (buckets if pruned < 0 else pruned), dimensions)
    quantised_output = model.flag()
    _matrix(model, quantised and quantised_output, len(labels), dimensions)
    if model.at != len(model.data):
        raise model.wrong(f"{len(model.data) - model.at} bytes after its end")
    return labels


def _dictionary(model: _ByteCursor, *, counted: bool) -> tuple[tuple[str, ...], int, int]:
    """The labels, the number of words, and the number of buckets left by pruning (-1: not pruned). Moves past the dictionary.

    `counted`: fastText builds a tree from the labels' counts. Counts out of bounds make it leave its memory.
    """
    entries, words, count, _, pruned = model.read("iiiqq")
    if min(entries, words, count) < 0 or words + count != entries or not count or pruned < -1:
        raise model.wrong(f"{entries} entries of which {words} are words and {count} labels, {pruned} buckets left")
    labels = []
    for entry in range(entries):
        begin, end = model.at, model.data.find(b"\0", model.at)
        if end < 0:
            raise model.wrong("its dictionary is truncated")
        model.at = end + 1
        occurrences, kind = model.read("qb")
        # fastText uses an entry's position as its number, so words must come before labels.
        if kind != (WORD_ENTRY if entry < words else LABEL_ENTRY):
            raise model.wrong(f"entry {entry} is of kind {kind}, its header announces {words} words and then {count} labels")
        if entry >= words:
            if counted and not 0 < occurrences < MAX_OCCURRENCES:
                raise model.wrong(f"a label that occurs {occurrences} times")
            labels.append(_utf8(model, begin, end))
    begin = model.at
    model.skip(8 * max(0, pruned))
    places = np.frombuffer(model.data[begin : model.at], "<i4")[1::2]
    if ((places < 0) | (places >= pruned)).any():
        raise model.wrong(f"a bucket outside the {pruned} that are left")
    return tuple(labels), words, pruned


def _utf8(model: _ByteCursor, begin: int, end: int) -> str:
    try:
        return model.data[begin:end].decode()
    except UnicodeDecodeError as error:
        raise model.wrong("a label that is not UTF-8") from error


def _matrix(model: _ByteCursor, quantised: bool, rows: int, columns: int) -> None:
    """Move past a matrix, which must have this shape."""
    normed = quantised and model.flag()
    shape = model.read("qq")
    if shape != (rows, columns) or columns < 1:
        raise model.wrong(f"a matrix of {shape[0]} x {shape[1]} where {rows} x {columns} belongs")
    if not quantised:
        model.skip(rows * columns * FLOAT_BYTES)
        return
    (codes,) = model.read("i")
    model.skip(codes)
    parts = _quantiser(model, columns)
    if codes != rows * parts:
        raise model.wrong(f"{codes} codes for {rows} rows in {parts} parts")
    if normed:
        model.skip(rows)
        _quantiser(model, 1)


def _quantiser(model: _ByteCursor, columns: int) -> int:
    """The number of parts of a product quantiser. Moves past it."""
    dimensions, parts, width, last = model.read("4i")
    if dimensions != columns or min(parts, width, last) < 1 or last > width or (parts - 1) * width + last != columns:
        raise model.wrong(f"a quantiser of {dimensions} dimensions in {parts} parts of {width} for {columns} columns")
    model.skip(columns * CENTROIDS * FLOAT_BYTES)
    return int(parts)
