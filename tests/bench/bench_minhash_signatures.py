"""MinHash signatures (16 bands of 7 rows, word 5-grams) beside what others compute them with.

Each peer hashes word 5-grams of lower-cased text as its users write it; datatrove and Daft bring their own normalisation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pyarrow as pa

from tests.bench.datatrove_peers import installed, regex_splitter
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup

STAGE = "minhash_signatures"
ENGLISH = True
PEER_BYTES = {"datatrove": 8_000_000, "datatrove_regex": 8_000_000, "datasketch": 8_000_000, "rensa": 16_000_000}
STAGE_OF_OURS = Dedup(config=DedupConfig(), sources=())
SCHEME = DedupConfig().scheme
HASHES = SCHEME.bands * SCHEME.rows
NGRAM_WORDS = SCHEME.ngram
_WORDS = re.compile(r"\w+")

Run = Callable[[pa.RecordBatch], object]


def ours(batch: pa.RecordBatch) -> object:
    return STAGE_OF_OURS.score(batch)


def peers() -> dict[str, Run | None]:
    datatrove = installed("datatrove", "spacy")
    return {
        "datatrove": _datatrove(regex=False) if datatrove else None,
        "datatrove_regex": _datatrove(regex=True) if datatrove else None,
        "datasketch": _datasketch() if installed("datasketch") else None,
        "rensa": _rensa() if installed("rensa") else None,
        "daft": _daft() if installed("daft") else None,
    }


def word_ngrams(texts: list[str]) -> Iterator[list[str]]:
    for text in texts:
        words = _WORDS.findall(text.lower())
        yield [" ".join(words[at : at + NGRAM_WORDS]) for at in range(len(words) - NGRAM_WORDS + 1)]


def _datatrove(*, regex: bool) -> Run:
    import xxhash
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    # The folder is where its `run` would write; nothing is written here.
    bands = MinhashConfig(num_buckets=SCHEME.bands, hashes_per_bucket=SCHEME.rows)
    step = MinhashDedupSignature(output_folder="/nonexistent", config=bands)
    # datatrove 0.10.1 gives xxhash a string, which xxhash refuses since its version 4.
    step._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
    if regex:
        step.word_tokenizer = regex_splitter()

    def run(batch: pa.RecordBatch) -> list[object]:
        shingles = (step.get_shingles(text) for text in batch["text"].to_pylist())
        return [step.get_signature(found) for found in shingles if found.size]

    return run


def _datasketch() -> Run:
    from datasketch import MinHash

    def run(batch: pa.RecordBatch) -> list[object]:
        encoded = ([ngram.encode() for ngram in ngrams] for ngrams in word_ngrams(batch["text"].to_pylist()))
        return list(MinHash.generator(encoded, num_perm=HASHES, seed=1))

    return run


def _rensa() -> Run:
    from rensa import RMinHash

    def run(batch: pa.RecordBatch) -> list[object]:
        made = []
        for ngrams in word_ngrams(batch["text"].to_pylist()):
            sketch = RMinHash(num_perm=HASHES, seed=1)
            sketch.update(ngrams)
            made.append(sketch.digest())
        return made

    return run


def _daft() -> Run:
    import daft
    from daft.functions import minhash, normalize

    def run(batch: pa.RecordBatch) -> object:
        text = normalize(daft.col("text"), remove_punct=True, lowercase=True, nfd_unicode=True, white_space=True)
        signed = minhash(text, num_hashes=HASHES, ngram_size=NGRAM_WORDS, seed=1)
        return daft.from_arrow(pa.Table.from_batches([batch])).select(signed).collect()

    return run
