"""Main text of HTML pages: blocks and trees of ours beside other extractors, from the decoded page to its text.

A MB is of HTML. The pages are those with known main text, of which every `EVERY`-th is taken; `tokenmill extract evaluate`
says how good the texts are. Without the shared data there is nothing to measure.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from pathlib import Path

from tests.bench import texts
from tests.bench.run import Row, significant
from tokenmill.pipeline.collect.extract import pages, peers

STAGE = "extract"
OURS = "blocks"
PAGES = texts.ROOT.parent / "shared" / "data" / "pages"
EVERY = 8


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """A row for each extractor that is installed."""
    paths = sorted(PAGES.glob("*.parquet"))
    if not paths:
        return [], [f"(without {PAGES})"]
    html = [page.html for page in pages.read(paths)[::EVERY]]
    found, missing = peers.installed(tuple(peers.EXTRACTORS))
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for extract in found.values():
        extract(html[0])
    for _ in range(rounds):
        for name, extract in found.items():
            gc.collect()
            begun = clock()
            for page in html:
                extract(page)
            seconds[name].append(clock() - begun)
    mb = sum(len(page.encode()) for page in html) / 1e6
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ours = significant(mb / medians.pop(OURS))
    return [
        Row(stage=STAGE, ours_mb_s=ours, peer=name, peer_mb_s=significant(mb / value), ratio=significant(ours * value / mb))
        for name, value in medians.items()
    ], list(missing)
