"""How long a list of many entries takes to read, and what a process holds while it looks up in it.

    python -m tests.bench.urls_entries 100000000 /tmp/entries

writes a list of as many made-up hosts (22 bytes each), makes its index in this process, and looks up 200,000 URLs, a half of
them listed, 10,000 at a time. It prints a line for each step: seconds, and memory of the process, mapped files beside the rest.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.stages.urls.settings import UrlsConfig
from tokenmill.pipeline.stages.urls.stage import Urls

LISTED = 100_000
AT_ONCE = 10_000
BLOCK = 1_000_000
MEMORY_BYTES = 500_000_000
"""For sorting."""


def host(number: int) -> str:
    """Made up, without an order. An odd factor makes all of them differ."""
    return f"h{number * 0x9E3779B97F4A7C15 % 2**48:012x}.example"


def measured(what: str, work: Callable[[], object]) -> object:
    """Does the work and prints what it took."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    found = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    held = {name: int(status[name].split()[0]) // 1000 for name in ("RssAnon", "RssFile")}
    print(
        f"{what}: {time.monotonic() - begun:.1f} s, {cpu:.1f} s of CPU; {held['RssAnon']} MB held, {held['RssFile']} mapped, "
        f"at most {after.ru_maxrss // 1000} MB of both",
        flush=True,
    )
    return found


def write(entries: int, path: Path) -> None:
    """The list, unless it is there."""
    if path.exists():
        return
    with path.open("w") as file:
        for first in range(0, entries, BLOCK):
            file.write("\n".join(map(host, range(first, min(first + BLOCK, entries)))) + "\n")


def made(config: UrlsConfig, root: Path) -> Urls:
    """The stage with its index."""
    stage = Urls(config=config).provide(Work(root=root, before=(), executor=InProcess(), memory_bytes=MEMORY_BYTES)).stage
    assert isinstance(stage, Urls)
    return stage


def main(entries: int, folder: Path) -> None:
    """All steps."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "list"
    measured("write the list", lambda: write(entries, path))
    config = UrlsConfig.model_validate({"lists": {"many": {"paths": [str(path)]}}})
    stage = measured("make the index", lambda: made(config, folder / "corpus"))
    assert isinstance(stage, Urls)
    measured("find it again", lambda: made(config, folder / "corpus"))
    listed = np.random.default_rng(0).integers(0, entries, LISTED).tolist()
    urls = [f"https://www.{host(one)}/page/{one}" for one in listed] + [f"https://x{host(one)}/" for one in listed]
    whole = pa.record_batch({"url": urls})
    batches = [whole.slice(at, AT_ONCE) for at in range(0, len(urls), AT_ONCE)]
    for turn in ("first", "second"):
        scores = measured(f"look up {len(urls):,} URLs, the {turn} time", lambda: list(map(stage.score, batches)))
        assert isinstance(scores, list)
        assert [hit for one in scores for hit in one["hits_many"].to_pylist()] == [1] * LISTED + [0] * LISTED


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
