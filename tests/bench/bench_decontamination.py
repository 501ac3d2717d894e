"""Looking for evaluation items beside datatrove's NGramsDecontFilter, over an index of the same items.

`python -m tests.bench.bench_decontamination` prints how many planted items both find, in each of the ways of planting them.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.bench import datatrove_peers
from tests.stages.decontamination import planted
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig
from tokenmill.pipeline.stages.decontamination.stage import Decontamination

STAGE = "decontamination"
ENGLISH = True
PEER_BYTES = datatrove_peers.BYTES
ITEMS = 10_000
"""Made-up items of 6 to 60 words beside the planted ones, so that the index has the size of an evaluation's."""

Run = Callable[[pa.RecordBatch], object]


@functools.cache
def items() -> tuple[str, ...]:
    """The items, the planted ones first."""
    draw = np.random.default_rng(0)
    sizes = draw.integers(6, 60, size=ITEMS).tolist()
    made = (" ".join(f"w{word:x}" for word in draw.integers(1 << 20, size=size).tolist()) for size in sizes)
    return (*(item["question"] for item in planted.ITEMS), *made)


@functools.cache
def stage() -> Decontamination:
    """Ours."""
    path = Path(tempfile.mkdtemp()) / "items.jsonl"
    path.write_text("".join(json.dumps({"text": item}) + "\n" for item in items()))
    return Decontamination(config=DecontaminationConfig.model_validate({"sets": {"items": {"path": str(path)}}}))


def ours(batch: pa.RecordBatch) -> object:
    return stage().score(batch)


def peers() -> dict[str, Run | None]:
    return datatrove_peers.peers(peer)


def peer(language: Any) -> Any:
    """datatrove's filter with its own 12-grams, over the n-grams of the items, which it gets as queries."""
    import xxhash
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter, NGramsDecontIndexer

    step = NGramsDecontFilter(
        "/nonexistent",
        config=NGramsDecontConfig(find_query_ngrams=True),
        language=language if isinstance(language, str) else "en",
    )
    if not isinstance(language, str):
        step.tokenizer = language
    # datatrove 0.10.1 gives xxhash a string, which xxhash refuses since its version 4.
    step.hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
    # The indexer asks for lighteval when it is made, and needs of itself only what the filter has too.
    step._index_hashes = {one: "items" for item in items() for one in NGramsDecontIndexer.compute_hashes(step, "", item)}
    return step


def main() -> None:
    """Print how many of the planted items each finds, by the way in which they are planted, and how many common phrases."""
    from datatrove.data import Document

    theirs = peer(datatrove_peers.regex_splitter())
    kinds = {name: [change(item["question"]) for item in planted.ITEMS] for name, change in planted.WAYS.items()}
    for name, texts in {**kinds, "common phrases": list(planted.COMMON)}.items():
        coverage = stage().score(pa.record_batch({"text": pa.array(texts, pa.large_string())}))["coverage"].to_pylist()
        found = sum(theirs.filter(Document(text=text, id="0")) is not True for text in texts)
        print(f"{name:<20} {sum(share >= 0.8 for share in coverage):>3} {found:>3} of {len(texts)}")


if __name__ == "__main__":
    main()
