"""The token store: its format, its reader, the order of samples, and its check. No torch."""

from pipeline.tokens.check import problems
from pipeline.tokens.format import (
    BLOCK_BYTES,
    DOCUMENTS,
    LONGEST_TOKENS,
    SPLITS,
    BlockHashes,
    Ids,
    IdType,
    SplitName,
    content_hash,
    dtype_for,
    in_validation,
    index,
    name_of,
    offsets,
)
from pipeline.tokens.order import permute
from pipeline.tokens.shard import TokenShard
from pipeline.tokens.store import Split, TokenStore

__all__ = [
    "BLOCK_BYTES",
    "DOCUMENTS",
    "LONGEST_TOKENS",
    "SPLITS",
    "BlockHashes",
    "IdType",
    "Ids",
    "Split",
    "SplitName",
    "TokenShard",
    "TokenStore",
    "content_hash",
    "dtype_for",
    "in_validation",
    "index",
    "name_of",
    "offsets",
    "permute",
    "problems",
]
