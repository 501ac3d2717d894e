"""The bench runner on a toy stage: what it measures, prints and writes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.bench import run, texts

DOCUMENTS = 500
TEXT = "ten bytes\n" * 100


@pytest.fixture
def table() -> pa.Table:
    return pa.table({"text": pa.array([TEXT] * DOCUMENTS, pa.large_string())})


def counting(seen: list[int]) -> Callable[[pa.RecordBatch], object]:
    def count(batch: pa.RecordBatch) -> object:
        assert batch.schema == pa.schema([("text", pa.large_string())])
        seen.append(pc.sum(pc.binary_length(batch["text"])).as_py())
        return None

    return count


def clock(steps: Iterator[float]) -> Callable[[], float]:
    return lambda: next(steps)


def test_both_sides_read_the_same_documents_in_turn(table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collected: list[int] = []
    # Of the garbage of all tests before this one, a real collection would take seconds.
    monkeypatch.setattr(run, "gc", SimpleNamespace(collect=lambda: collected.append(1)))
    mine: list[int] = []
    quick: list[int] = []
    slow: list[int] = []
    bench = SimpleNamespace(
        STAGE="toy",
        PEER_BYTES={"slow": 50_000},
        ours=counting(mine),
        peers=lambda: {"quick": counting(quick), "slow": counting(slow), "absent": None},
    )
    # A second for each run of ours, whole and sample, two for `quick`, four for `slow`.
    steps = itertools.accumulate(itertools.cycle([0.5, 1, 0, 1, 0, 2, 0, 4]))
    rows, missing = run.measure(bench, table, tmp_path, rounds=3, clock=clock(steps))
    assert missing == ["absent"]
    assert len(collected) == 3 * (2 + 2)
    warm_up, whole, sample = run.WARM_UP_DOCUMENTS * len(TEXT), DOCUMENTS * len(TEXT), 50_000
    assert quick == [warm_up, whole, whole, whole]
    assert slow == [warm_up, sample, sample, sample]
    assert mine == [warm_up, whole, sample, whole, sample, whole, sample]
    assert rows == [
        run.Row(stage="toy", ours_mb_s=0.5, peer="quick", peer_mb_s=0.25, ratio=2.0),
        run.Row(stage="toy", ours_mb_s=0.05, peer="slow", peer_mb_s=0.0125, ratio=4.0),
    ]


def test_lines_have_these_keys(tmp_path: Path) -> None:
    row = run.Row(stage="toy", ours_mb_s=3.0, peer="slow", peer_mb_s=1.5, ratio=2.0)
    run.write([row, row], tmp_path / "bench.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    keys = ["stage", "ours_mb_s", "peer", "peer_mb_s", "ratio", "threads"]
    assert [list(line) for line in lines] == [keys, keys]
    assert lines[0] == {"stage": "toy", "ours_mb_s": 3.0, "peer": "slow", "peer_mb_s": 1.5, "ratio": 2.0, "threads": 1}


def test_a_sample_is_a_prefix_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "SHARD_BYTES", 1_000)
    table = pa.table({"text": pa.array([str(row) * 50 for row in range(100, 300)], pa.large_string())})
    small, whole = texts.sample(table, tmp_path, 4_000), texts.sample(table, tmp_path, None)
    assert (small.documents, small.text_bytes) == (27, 4_050)
    assert (whole.documents, whole.text_bytes) == (200, 30_000)
    assert len(small.shards) == 5
    read = [text for path in whole.shards for text in texts.read(path)["text"].to_pylist()]
    assert read == table["text"].to_pylist()
    assert [text for path in small.shards for text in texts.read(path)["text"].to_pylist()] == read[:27]


def test_every_stage_is_found() -> None:
    assert {"c4", "fineweb", "gopher_quality", "gopher_repetition", "minhash_signatures"} <= set(run.stages())
