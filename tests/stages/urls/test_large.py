"""A list of many entries: all are found, nothing else is, and the process holds none of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.bench import urls_entries
from tokenmill.pipeline.stages.urls.settings import UrlsConfig

ENTRIES = 3_000_000
MOST_BYTES = 150_000_000
"""What the process may hold more after the index was made than before. The list has 66 MB, and would take 300 MB as a set."""


def held_bytes() -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


@pytest.mark.soak
def test_many_entries_are_not_held(tmp_path: Path) -> None:
    urls_entries.write(ENTRIES, tmp_path / "list")
    before = held_bytes()
    config = UrlsConfig.model_validate({"lists": {"many": {"paths": [str(tmp_path / "list")]}}})
    stage = urls_entries.made(config, tmp_path / "corpus")
    listed = range(0, ENTRIES, 101)
    urls = [f"https://{urls_entries.host(number)}/a" for number in listed]
    others = [f"https://{urls_entries.host(number + ENTRIES)}/a" for number in listed]
    for wanted, hits in ((urls, 1), (others, 0)):
        for at in range(0, len(wanted), 10_000):
            found = stage.score(pa.record_batch({"url": wanted[at : at + 10_000]}))["hits_many"].to_pylist()
            assert found == [hits] * len(found)
    assert held_bytes() - before < MOST_BYTES
