"""The store as Megatron-LM reads it: `.bin` and `.idx` of each token shard, by the prefix that the two share.

The store is readable as it is; this view holds nothing else. Vocabularies beyond 65,536 are int32 there, the same bytes.
Cost: one read of the store.
"""

from __future__ import annotations

from tokenmill.pipeline.export.source import Item, Source, link


def plan(source: Source) -> list[Item]:
    """`train/00000.bin` and `train/00000.idx` for every token shard."""
    return [
        link(f"{name}.{kind}", shard, named)
        for name, shard in source.token_shards
        for kind, named in (("bin", shard.payload), ("idx", shard.index))
    ]
