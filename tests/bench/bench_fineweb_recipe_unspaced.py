"""All rules of FineWeb's recipe over Chinese and Japanese, beside datatrove's filters with a regular expression."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import bench_fineweb_recipe
from tests.bench.bench_fineweb_recipe import ours as ours

STAGE = "fineweb_recipe_unspaced"
UNSPACED = True
PEER_BYTES = {"datatrove_regex": bench_fineweb_recipe.PEER_BYTES["datatrove_regex"]}


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    found = bench_fineweb_recipe.peers()
    return {name: found[name] for name in PEER_BYTES}
