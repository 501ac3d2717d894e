"""Algorithms for data that is larger than memory: sorted runs, merging and joining.

Rows are columns of numbers, ordered by their first columns, the key. `runs` writes them as sorted files and reads ranges of
keys; `sort` merges many runs into few, in rounds of bounded fan-in; `join` brings two sets of rows together by key; `means`
says what the work may use. The pattern of a step over all shards:

1. A task for each shard writes what it has as a sorted run (`runs.write_sorted`).
2. `sort.merge` makes at most `fan_in` runs of them, whatever the number of shards. It may sum rows of equal keys on the way.
3. `runs.ranges` cuts the keys, and a task for each range reads that range of these few runs (`runs.read`).

So a task names at most `fan_in` files, each file is opened once in each round, and memory follows from `Means.memory_bytes`.
Results must not depend on the cuts, nor on the rounds.
"""
