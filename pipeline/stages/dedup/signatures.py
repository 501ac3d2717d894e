"""Signatures: from texts to score columns, which carry the settings that made them.

Guarantee: the same text and settings give the same columns. Signatures of other settings are refused, and the error names both
values.
Cost: one pass over the text.
"""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import files, schema
from tokenmill.pipeline.base.errors import CorruptFile, StaleInput
from tokenmill.pipeline.kernels.dedup import minhash
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages.dedup.settings import DedupConfig

EXACT_BYTES = 16
SETTINGS = b"signature"
"""The key of the settings in the metadata of the field `bands`."""


def settings(config: DedupConfig) -> dict[str, Any]:
    """The settings that signatures depend on. They include Python's Unicode version, because it defines what a letter is."""
    return {**dataclasses.asdict(config.scheme), "seed": config.seed, "unicode": unicodedata.unidata_version}


def score_schema(config: DedupConfig) -> pa.Schema:
    """The score columns `exact`, `units`, `bytes` and `bands`.

    `exact`: 128-bit hash of the normalised text. `units`: its number of words or characters. `bytes`: size of the original
    text. `bands`: hashes of its bands; the field's metadata hold the settings as JSON. `bands` is null for a text that is
    shorter than an n-gram: only `exact` compares such a text.
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
        different = [f"{key} = {made[key]!r} (now {value!r})" for key, value in settings(config).items() if made[key] != value]
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
    exact = np.zeros((rows, 2), dtype="<u8")
    units = np.zeros(rows, dtype=np.int32)
    bands = np.zeros((rows, scheme.bands), dtype="<u8")
    key = np.random.Generator(np.random.PCG64(config.seed)).integers(0, 2**64, size=2, dtype=np.uint64)
    family = minhash.permutations(config.seed, scheme.bands * scheme.rows)
    minhash.sign(data, offsets, tables(), key, *family, scheme.shingle == "characters", scheme.ngram, exact, units, bands)
    columns = [_binary(exact), pa.array(units), pa.array(np.diff(offsets)), _binary(bands, units >= scheme.ngram)]
    return pa.RecordBatch.from_arrays(columns, schema=score_schema(config))


def _binary(values: npt.NDArray[np.uint64], valid: npt.NDArray[np.bool_] | None = None) -> pa.FixedSizeBinaryArray:
    """Rows of integers as fixed-size binary, little-endian; null where not `valid`."""
    kind = pa.binary(8 * values.shape[1])
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [mask, pa.py_buffer(values)])
