"""The token store: its format, its reader, the order of samples, and its check. It does not need torch."""

from tokenmill.pipeline.tokens.check import problems
from tokenmill.pipeline.tokens.format import (
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
    index,
    name_of,
    offsets,
)
from tokenmill.pipeline.tokens.order import permute
from tokenmill.pipeline.tokens.shard import TokenShard
from tokenmill.pipeline.tokens.store import Split, TokenStore

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
    "index",
    "name_of",
    "offsets",
    "permute",
    "problems",
]
