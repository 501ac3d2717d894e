"""The store as Megatron-LM reads it: `.bin` and `.idx` of each token shard, under one prefix.

Megatron-LM can read the store itself; this export only leaves out the other files. In a vocabulary beyond 65,536 the ids have
type int32 there, which has the same bytes.
Cost: one read of the store.
"""

from __future__ import annotations

from tokenmill.pipeline.export.source import ExportSource, Item, link


def plan(source: ExportSource) -> list[Item]:
    """`train/00000.bin` and `train/00000.idx` for every token shard."""
    return [
        link(f"{name}.{kind}", shard, named)
        for name, shard in source.token_shards
        for kind, named in (("bin", shard.payload), ("idx", shard.index))
    ]
