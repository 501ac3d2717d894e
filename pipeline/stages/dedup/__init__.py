"""Deduplication: exact and near duplicates by verified similarity, with evidence for every removal.

`signatures` signs each shard. `collected` holds a few columns of every document, `exact` groups equal texts. `candidates` turns
bands into pairs; `verify` and `known` turn pairs into similarities, `revisions` once more for pairs that miss the threshold by
little; `rounds` and `resolve` decide which documents are kept. `external.runs` sorts rows that do not fit in memory.

How cost grows. For a document of 500 words (3.3 kB of text) with 16 bands, by the formats and by tests/bench/LOG.md:

    scores                188 bytes (16 id, 16 hash, 4 + 8, 16 * 8 bands, pages), written once, read twice
    runs of bands         16 * 12 = 192 bytes, written once, read once
    pairs                 0.26 per document in planted texts; 8 bytes each per range of keys, then 16, then 24 when stored
    sets of n-grams       8 bytes per word, for documents with a pair (36 % of planted ones, and 15 % once more): written, read
    text                  read twice, as zstd of half its size; verdicts take 45 bytes
    memory                about 210 bytes in the process that holds all documents, and 500 MB per worker
    CPU                   20 us to sign, 17 us to verify, 7 us for everything else

What follows was reckoned for 14 bands and one comparison. With 16, and with `revisions`, runs of bands are larger by a seventh,
and sets and the time to verify by up to two thirds where near duplicates are as many as in planted texts.

100 million documents (330 GB): 350 runs and ranges of bands, 17 GB; 190 GB of sets on disk for a while; 21 GiB of memory;
1.2 hours of CPU time, and about 0.8 TB read and written.

10 billion documents (33 TB) are too many for one process, and for ranks of 32 bits. They need steps over many machines. All
parts but the grouping of equal texts and `decide` work by shards or by ranges already.

    sign                  10^10 * 20 us = 56 core hours; 17 TB of zstd read, 1.7 TB of scores written, each where it is
    equal texts           by ranges of the hash, like bands: hash, id and order, 10^10 * 40 bytes = 0.4 TB moved
    bands                 1.4 * 10^11 keys with ranks of 8 bytes: 2.2 TB moved, in 35,000 ranges of 4 million (64 MB). A run
                          must then be 16 GB, sorted outside memory: a range reads 140 slices of 460 kB, not 35,000 of 2 kB
    pairs                 2.4 * 10^9, about 10^10 when counted once per shared band: 80 GB moved, 38 GB with similarities
    verify                10^10 * 17 us = 47 core hours; 17 TB of zstd read again, 19 TB of sets written and read in place;
                          for a pair on two machines one set is sent: 2.4 * 10^9 * 4 kB = 10 TB at most
    decide                4 * 10^7 pairs per second: a minute of one core. Memory: one bit per rank, 1.2 GB, since a pair only
                          asks whether its lower rank was kept; verdicts go by ranges
    all                   10^10 * 44 us = 122 core hours, 2 hours on 64 cores of 8 machines. Each machine needs 0.5 GB per
                          worker, 3 TB of scratch, and at 1 GB/s 3.3 hours for its eighth of 95 TB read, written and sent
"""
