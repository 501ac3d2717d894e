"""Deduplication: exact and near duplicates by verified similarity, with evidence for every removal.

`signatures` signs each shard. `collected` reads a few columns of every document, in the order that `survivor` says, and `exact`
gives ranks and groups equal texts. `candidates` turns bands into pairs, bucket by bucket (`buckets`); `verify`, with `sets` and
`known`, turns pairs into similarities, `revisions` once more for pairs that miss the threshold by little; `shares` says what a
removal loses; `rounds` and `resolve` decide which documents are kept. `pipeline.external` sorts and joins rows that do not fit
in memory, and no process holds a column of all documents: the one that decides holds a bit for each.

How time, memory and disk grow, and where each step stops, stands in the documentation: flows/docs/pages/concepts/size.md.
"""
