"""Real data: 5,310 pages of documentation, archives of many tools, and suites of malformed input."""

from __future__ import annotations

import shutil

import pytest

from tests.folders import some_records


@pytest.mark.parametrize(
    ("step", "pages", "dropped", "least_bytes"),
    [
        (8, 663, {}, 2_600_000),
        # One page was UTF-8, read as windows-1252 and written as UTF-8 again, before it was archived.
        pytest.param(1, 5_310, {"double_encoded": 1}, 25_000_000, marks=pytest.mark.soak),
    ],
)
def test_every_response_is_accounted_for(shared_data, tmp_path, collect, step, pages, dropped, least_bytes):
    archive = shared_data / "web" / "docs.warc.gz"
    # Record 0 says who made the archive.
    done = collect(some_records(archive, tmp_path / "some.warc.gz", lambda number, uri: number % step == 0))
    counts = done.counts
    assert counts.read == pages
    assert counts.kept == pages - sum(dropped.values())
    assert counts.dropped == dropped
    assert counts.quarantined == 0
    assert counts.bytes_kept > least_bytes


def test_archives_of_other_tools(shared_data, collect):
    done = collect(shared_data / "web" / "native")
    assert done.counts.kept > 20
    assert {
        position.partition("#")[0].partition("__")[2] for position, reason in done.broken() if reason != "duplicate_id"
    } == {
        "example-trunc.warc",
    }


def test_malformed_suites_are_contained(shared_data, tmp_path, collect):
    """Each JSON case stands between two good lines; what the suite says must fail is quarantined, its neighbours stay."""
    cases = sorted((shared_data / "malformed" / "json" / "test_parsing").glob("*.json"))
    folder = tmp_path / "in"
    folder.mkdir()
    for case in cases:
        data = case.read_bytes().replace(b"\n", b" ").replace(b"\r", b" ")
        good = b'{"text": "neighbour"}\n'
        (folder / f"{case.stem}.jsonl").write_bytes(good + b'{"text": "t", "value": ' + data + b"}\n" + good)
    done = collect(folder)
    broken = {position.partition(".jsonl")[0] for position, _ in done.broken()}
    assert done.texts().count("neighbour") == 2 * len(cases)
    assert not {case.stem for case in cases if case.stem.startswith("y_")} & broken
    refused = {case.stem for case in cases if case.stem.startswith("n_")}
    assert len(refused & broken) > 0.9 * len(refused)


def test_malformed_parquet_is_quarantined_by_file_or_row(shared_data, tmp_path, collect):
    for path in (shared_data / "malformed" / "parquet_bad_data").glob("*.parquet"):
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / "good.txt").write_text("good")
    done = collect(tmp_path)
    assert done.texts() == ["good"]
    assert {reason for _, reason in done.broken()} <= {"broken_parquet", "missing_column"}
    assert len(done.broken()) == 8
    assert done.counts.read == done.counts.quarantined + 1 > 20_000
