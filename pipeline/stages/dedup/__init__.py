"""Deduplication: exact and near duplicates by verified similarity, with evidence for every removal.

`signatures` per shard; `collected` and `exact`: what is held of every document, and equal texts; `candidates`: bands to pairs;
`verify` and `known`: pairs to similarities; `rounds` and `resolve`: who stays. `stages.runs` sorts what does not fit in memory.

How it grows. Of a document of 500 words (3.3 kB of text) with 14 bands, by the formats and by tests/bench/LOG.md:

    scores                172 bytes (16 id, 16 hash, 4 + 8, 14 * 8 bands, pages), written once, read twice
    runs of bands         14 * 12 = 168 bytes, written once, read once
    pairs                 0.24 a document in planted texts; 8 bytes each and per range of keys, then 16, then 24 to be kept
    sets of n-grams       8 bytes a word, of documents with a pair (46 % of planted ones): 1.9 kB on average, written and read
    text                  read twice, as zstd of half its size; verdicts 45 bytes
    memory                about 210 bytes in the process that holds all documents, and 500 MB a worker
    CPU                   20 us to sign, 17 us to verify, 7 us for all else

100 million documents (330 GB): 350 runs and ranges of bands, 17 GB; 190 GB of sets on disk for a while; 21 GiB of memory;
1.2 hours of CPU time, and about 0.8 TB read and written.

10 billion documents (33 TB) are too many for one process, and for ranks of 32 bits. They are steps over many machines: all but
the grouping of equal texts and `decide` go by shards or by ranges already.

    sign                  10^10 * 20 us = 56 hours of a core; 17 TB of zstd read, 1.7 TB of scores written, each in its place
    equal texts           by ranges of the hash, as bands are: hash, id and order, 10^10 * 40 bytes = 0.4 TB moved
    bands                 1.4 * 10^11 keys with ranks of 8 bytes: 2.2 TB moved, in 35,000 ranges of 4 million (64 MB). A run has
                          to be 16 GB then, sorted outside memory: a range reads 140 slices of 460 kB, not 35,000 of 2 kB
    pairs                 2.4 * 10^9, about 10^10 counted once per band they share: 80 GB moved, 38 GB with similarities
    verify                10^10 * 17 us = 47 hours of a core; 17 TB of zstd read again, 19 TB of sets written and read
                          in place; of a pair on two machines one set is sent: 2.4 * 10^9 * 4 kB = 10 TB at most
    decide                4 * 10^7 pairs a second: a minute of one core. In memory a bit a rank, 1.2 GB, since a pair only asks
                          whether its lower rank was kept; verdicts go by ranges
    all                   10^10 * 44 us = 122 hours of a core, 2 hours on 64 cores of 8 machines; of each machine 0.5 GB a
                          worker, 3 TB of scratch, and at 1 GB/s 3.3 hours for its eighth of 95 TB read, written and sent
"""

from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.stage import Dedup

__all__ = ["Dedup", "problems"]
