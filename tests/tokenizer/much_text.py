"""How much memory training takes: `python -m tests.tokenizer.much_text --gigabytes 10 --folder FOLDER` trains on so much text.

It is the bench text again and again with new words among it, which are put together from pieces of real ones: 1,000 in every
megabyte, so that distinct pre-tokens become more as in real text. In the bench text their number grows with the size to the
power of 0.70 from 10 to 20 MB, and of 0.52 from 80 to 156. By the power of 0.55, 10 GB have 8 million; here they have 11.
Cost: 10 GB take 4.4 GB of disk, 80 seconds of CPU time to write and 90 to train on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.bench import texts
from tests.bench.memory import watched
from tokenmill.pipeline.base import executor, manifest, schema, shards
from tokenmill.pipeline.base.manifest import Counts, Manifest, Shard
from tokenmill.pipeline.config import TokenizerConfig
from tokenmill.pipeline.stages.step import Work, perform
from tokenmill.tokenizer.step import TokenizerStep

SOURCE = "much"
NEW_WORDS = 1_000
"""In a megabyte."""
PIECE, PIECES = 4, 3
"""A new word is so many pieces of so many letters."""


def collect(root: Path, text_bytes: int, new_words: int, build: Path) -> Manifest:
    """A finished collection of at least so much text, in shards of 16 MB."""
    made, written = [], 0
    for number, column in enumerate(_shards(new_words, build)):
        name, rows = f"documents/{SOURCE}/{number:06d}.parquet", len(column)
        columns = {
            "doc_id": [schema.doc_id(SOURCE, f"{number}:{row}") for row in range(rows)],
            "source": [SOURCE] * rows,
            "url": pa.nulls(rows, pa.string()),
            "text": column,
            "metadata": ["{}"] * rows,
        }
        entry = shards.write(root, name, pa.table(columns).cast(schema.DOCUMENTS))
        size = int(pc.sum(pc.binary_length(column)).as_py())
        counts = Counts(read=rows, kept=rows, bytes_in=size, bytes_kept=size)
        made.append(Shard(name=f"{SOURCE}/{number:06d}", files={name: entry}, counts=counts))
        written += size
        if written >= text_bytes:
            break
    collected = Manifest(stage="collect", version=1, config={}, inputs={}, shards=tuple(made))
    manifest.commit(root, collected)
    return collected


def _shards(new_words: int, build: Path) -> Iterator[pa.ChunkedArray]:
    """The texts of one shard after another, without end: real documents, and one of new words."""
    documents = texts.documents(build)["text"].combine_chunks()
    ends = np.cumsum(pc.binary_length(documents).to_numpy())
    letters = np.frombuffer("".join(documents[:1_000].to_pylist()).encode(), dtype=np.uint8)
    pieces = np.lib.stride_tricks.sliding_window_view(letters, PIECE)
    pieces = pieces[((pieces >= ord("a")) & (pieces <= ord("z"))).all(axis=1)]
    rng = np.random.default_rng(texts.SEED)
    begin = 0
    while True:
        stop = int(np.searchsorted(ends, (ends[begin - 1] if begin else 0) + texts.SHARD_BYTES)) + 1
        words = pieces[rng.integers(len(pieces), size=(new_words * texts.SHARD_BYTES // 1_000_000, PIECES))]
        spaced = np.insert(words.reshape(len(words), PIECES * PIECE), 0, ord(" "), axis=1)
        yield pa.chunked_array([documents[begin:stop], pa.array([spaced.tobytes().decode()], pa.large_string())])
        begin = stop if stop < len(documents) else 0


def measure(folder: Path, text_bytes: int, new_words: int, workers: int) -> dict[str, float]:
    """Bytes of text and of distinct pre-tokens, how many these are, and the memory and the time that training took."""
    collected = collect(folder / "corpus", text_bytes, new_words, folder / "build")
    with watched() as peak, executor.local(workers) as pool:
        begun = time.perf_counter()
        work = Work(root=folder / "corpus", before=(collected,), executor=pool)
        facts = perform(TokenizerStep(config=TokenizerConfig()), work, downstream=()).manifest.facts
        seconds = time.perf_counter() - begun
    return {
        "text_bytes": facts["text_bytes"],
        "distinct_pretokens": facts["distinct_pretokens"],
        "vocabulary": facts["vocabulary"],
        "resident": peak.resident,
        "proportional": peak.proportional,
        "cpu_seconds": peak.cpu_seconds,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tokenizer.much_text", description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=0.5)
    parser.add_argument("--new-words", type=int, default=NEW_WORDS, help="in a megabyte")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder for the text")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(json.dumps(measure(options.folder, int(options.gigabytes * 1e9), options.new_words, options.workers)))


if __name__ == "__main__":
    main()
