"""From text to tokens as datatrove's users run it: `python -m tests.bench.datatrove_whole FOLDER OUT TOKENIZER WORKERS`.

FineWeb's order with datatrove's own steps, through its local executor: Gopher's repetition and quality, C4, FineWeb's rules,
four steps of MinHash, and tokens. Its language filter is left out, since it downloads its model: that helps datatrove.
"""

from __future__ import annotations

import sys
from typing import Any

import xxhash
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter

BANDS, ROWS = 14, 8


def _hashed(text: str) -> int:
    """datatrove 0.10.1 gives xxhash a string, which xxhash refuses since its version 4."""
    return xxhash.xxh64_intdigest(text.encode())


def run(source: str, out: str, tokenizer: str, workers: int) -> None:
    """All steps, one after the other, each over all files."""
    bands = MinhashConfig(num_buckets=BANDS, hashes_per_bucket=ROWS)
    sign = MinhashDedupSignature(output_folder=f"{out}/signatures", config=bands)
    sign._hash_func = _hashed
    kept = JsonlReader(f"{out}/kept")

    def perform(name: str, steps: list[Any], tasks: int) -> None:
        LocalPipelineExecutor(steps, tasks=tasks, workers=min(tasks, workers), logging_dir=f"{out}/logs/{name}").run()

    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]
    perform("filter", [JsonlReader(source), *filters, JsonlWriter(f"{out}/kept")], workers)
    perform("sign", [kept, sign], workers)
    perform("buckets", [MinhashDedupBuckets(f"{out}/signatures", f"{out}/buckets", config=bands)], BANDS)
    perform("cluster", [MinhashDedupCluster(f"{out}/buckets", f"{out}/removed", config=bands)], 1)
    tokens = DocumentTokenizer(
        f"{out}/tokens", tokenizer_name_or_path=tokenizer, local_working_dir=f"{out}/work", eos_token="<|endoftext|>"
    )
    perform("tokens", [kept, MinhashDedupFilter(f"{out}/removed"), tokens], workers)


if __name__ == "__main__":
    run(*sys.argv[1:4], int(sys.argv[4]))
