"""Signatures: from texts to score columns, which carry the settings that made them.

Guarantee: the same text and settings give the same columns. Signatures of other settings are refused, and the error names both
values. The column `exact` says equal for different texts only where SHA-256, cut to 128 bits, collides: by accident with a
probability of 2^-128 per pair, and on purpose with work of about 2^64 hashes; `tokenmill verify` compares all 256 bits.
Cost: one pass over the text, and 0.7 ns per byte for `exact`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import files, schema
from tokenmill.pipeline.base.errors import CorruptFile, StaleInput
from tokenmill.pipeline.kernels.dedup import minhash
from tokenmill.pipeline.kernels.text import spaces
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages.dedup.normalisation import FOLDS
from tokenmill.pipeline.stages.dedup.settings import DedupConfig

EXACT_BYTES = 16
SETTINGS = b"signature"
"""The key of the settings in the metadata of the field `bands`."""


def settings(config: DedupConfig) -> dict[str, Any]:
    """The settings that signatures depend on. They include Python's Unicode version, because it defines what a letter is.

    Where exact duplicates are off, `exact` still holds hashes of bytes: similarities of earlier builds are found by them.
    """
    folds = {f"fold_{name}": getattr(config.folding, name) for name in FOLDS} if config.folding.white_space else {}
    return {
        "exact": "white_space" if config.exact == "white_space" else "bytes",
        "normalise": config.normalisation,
        **folds,
        **dataclasses.asdict(config.scheme),
        "seed": config.seed,
        "unicode": unicodedata.unidata_version,
    }


def score_schema(config: DedupConfig) -> pa.Schema:
    """The score columns `exact`, `units`, `bytes` and `bands`.

    `exact`: 128-bit hash of the text's bytes, or of those of the text with white space collapsed. `units`: the number of words
    or characters of the normalised text. `bytes`: size of the original text. `bands`: hashes of its bands; the field's metadata
    hold the settings as JSON. `bands` is null for a text that is shorter than an n-gram: only `exact` compares such a text.
    """
    said = {SETTINGS: files.canonical_json(settings(config))}
    return pa.schema(
        [
            pa.field("exact", pa.binary(EXACT_BYTES)),
            pa.field("units", pa.int32()),
            pa.field("bytes", pa.int64()),
            pa.field("bands", pa.binary(8 * config.scheme.bands), metadata=said),
        ]
    )


def check_settings(stored: pa.Schema, config: DedupConfig, name: str) -> None:
    """Check that a score table of schema `stored`, read from `name`, holds signatures as `config` makes them.

    Raises CorruptFile if it holds no signatures, StaleInput if other settings made them.
    """
    said = stored.field("bands").metadata if "bands" in stored.names else None
    try:
        made = json.loads((said or {})[SETTINGS])
        _ = made["seed"], made["unicode"]
        now = settings(config)
        # A setting that one of both does not have shows as None.
        names = {**now, **made}
        different = [
            f"{name} = {made.get(name)!r} (now {now.get(name)!r})" for name in names if made.get(name) != now.get(name)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile(f"{name}: holds no signatures that say how they were made, but {stored.names}") from error
    if different:
        raise StaleInput(f"{name}: its signatures were made with {', '.join(different)}, so they compare with no new ones")
    wanted = pa.schema([schema.DOC_ID, *score_schema(config)])
    if stored.names != wanted.names or stored.types != wanted.types:
        raise CorruptFile(f"{name}: holds no signatures of {config.scheme.bands} bands, but {stored.names} of {stored.types}")


def sign(texts: pa.LargeStringArray, config: DedupConfig) -> pa.RecordBatch:
    """The score columns for a column of texts."""
    data, offsets = utf8(texts)
    rows, scheme = len(texts), config.scheme
    units = np.zeros(rows, dtype=np.int32)
    bands = np.zeros((rows, scheme.bands), dtype="<u8")
    family = minhash.permutations(config.seed, scheme.bands * scheme.rows)
    minhash.sign(data, offsets, tables(config.folding), *family, scheme.shingle == "characters", scheme.ngram, units, bands)
    exact = np.ascontiguousarray(exact_digests(data, offsets, config)[:, :2])
    columns = [_binary(exact), pa.array(units), pa.array(np.diff(offsets)), _binary(bands, units >= scheme.ngram)]
    return pa.RecordBatch.from_arrays(columns, schema=score_schema(config))


def exact_digests(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], config: DedupConfig) -> npt.NDArray[np.uint64]:
    """The SHA-256 of what exact duplicates have in common, for each text of a column. uint64 [rows, 4]"""
    if config.exact == "white_space":
        out, bounds = np.empty(int(offsets[-1] - offsets[0]), dtype=np.uint8), np.empty(len(offsets), dtype=np.int64)
        spaces.collapse(data, offsets, out, bounds)
        data, offsets = out, bounds
    whole, places = data.data, itertools.pairwise(offsets.tolist())
    digests = b"".join(hashlib.sha256(whole[start:stop]).digest() for start, stop in places)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 4)


def _binary(values: npt.NDArray[np.uint64], valid: npt.NDArray[np.bool_] | None = None) -> pa.FixedSizeBinaryArray:
    """Rows of integers as fixed-size binary, little-endian; null where not `valid`."""
    kind = pa.binary(8 * values.shape[1])
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [mask, pa.py_buffer(values)])


def integers(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint64]:
    """Fixed-size binary as rows of little-endian integers. Null rows hold arbitrary values. uint64 [rows, width]"""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if len(array) == 0:
        return np.empty((0, width), dtype=np.uint64)
    data = np.frombuffer(array.buffers()[1], dtype="<u8", count=len(array) * width, offset=array.offset * 8 * width)
    return data.reshape(len(array), width).astype(np.uint64, copy=False)
