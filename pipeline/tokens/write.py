"""Write one token shard: payload, block hashes, index and documents table.

Guarantee: the bytes of all four files depend on the ids and the rows alone, not on how these came together. So a shard without
some documents has the same bytes whether it was packed or compacted.
Cost: one copy of the ids, at the speed of the disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.base.errors import Miscounted
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.tokens.format import DOCUMENTS, BlockHashes, Ids, IdType, SplitName, index, name_of, offsets


@dataclass(frozen=True, kw_only=True)
class Written:
    """A token shard on disk."""

    files: dict[str, FileEntry]
    highest_id: int


def write_shard(
    root: Path, split: SplitName, number: int, pieces: Iterable[Ids], documents: pa.Table, dtype: IdType
) -> Written:
    """Write the ids `pieces`, end to end, as token shard `number`. `documents`: its rows, in the order of the ids.

    `token_offset` is computed here, from `tokens`. Raises OSError, and Miscounted if the ids are not as many as the rows say.
    """
    names = {kind: name_of(split, number, kind) for kind in ("bin", "idx", "docs.parquet", "blocks")}
    hashes, highest, written = BlockHashes(), 0, 0
    with files.create(root / names["bin"]) as out:
        for ids in pieces:
            highest, written = max(highest, int(ids.max())), written + len(ids)
            data = ids.view(np.uint8).data
            hashes.update(data)
            out.write(data)
    tokens = documents["tokens"].to_numpy()
    if written != tokens.sum():
        raise Miscounted(f"{split}/{number:05d}: {written} ids were written, its documents have {tokens.sum()}")
    return Written(
        files={
            names["bin"]: out.entry(),
            names["idx"]: files.write_bytes(root / names["idx"], index(tokens, dtype)),
            names["docs.parquet"]: shards.write(root, names["docs.parquet"], _canonical(documents)),
            names["blocks"]: files.write_bytes(root / names["blocks"], hashes.finish()),
        },
        highest_id=highest,
    )


def _canonical(documents: pa.Table) -> pa.Table:
    """One chunk; offsets counted in this shard; dictionaries in the order of first use, without values that no row uses."""
    columns = {name: documents[name].combine_chunks() for name in DOCUMENTS.names}
    columns["token_offset"] = offsets(documents["tokens"].to_numpy())
    for field in DOCUMENTS:
        if pa.types.is_dictionary(field.type):
            columns[field.name] = columns[field.name].cast(pa.string()).dictionary_encode()
    return pa.table(columns).cast(DOCUMENTS)
