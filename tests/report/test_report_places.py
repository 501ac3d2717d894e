"""The head of the report, and where documents come from: domains and folders, their kept share, their first reason."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.folders import folder_of
from tests.report.pages import HOSTILE, MakeCorpus, decide, render, rewrite_collect
from tokenmill.pipeline.base import files, formats, manifest, schema, shards
from tokenmill.pipeline.base.manifest import Counts, Manifest, Shard
from tokenmill.pipeline.report import origins, page
from tokenmill.pipeline.report.fates import SURVIVED, Fate
from tokenmill.pipeline.report.origins import Origin, Origins
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.step import Work

URLS = (
    "https://Example.org/a?secret=1",
    "http://user:hunter2@example.org:8080/b",
    "ftp://other.example/c",
    "//no.scheme/x",
    "not an address",
    None,
)


def with_metadata(work: Work, metadata: list[dict[str, object]]) -> Work:
    """The collection again, with these metadata in its one shard."""
    (shard,) = work.before[0].shards
    ((name, _),) = shard.files.items()
    table = pq.read_table(work.root / name).cast(schema.DOCUMENTS)
    table = table.set_column(4, "metadata", pa.array(map(json.dumps, metadata), pa.string()))
    again = Shard(
        name=shard.name, files={name: shards.write(work.root, name, table.cast(schema.DOCUMENTS))}, counts=shard.counts
    )
    made = manifest.commit(work.root, Manifest(stage="collect", version=1, config={}, inputs={}, shards=(again,)))
    return Work(root=work.root, before=(made,), executor=work.executor)


def test_a_place_is_the_host_of_an_address_or_the_first_part_of_a_path() -> None:
    table = pa.table(
        {
            "url": pa.array(URLS),
            "metadata": pa.array(['{"path":"folder/x.txt"}'] * 4 + ["{}", '{"path":"x.jsonl","record":7}']),
        }
    )
    assert origins.places(table).to_pylist() == ["example.org", "example.org", "other.example", "folder", None, "x.jsonl"]
    assert origins.where(None, '{"path":"x.jsonl","record":7}', "") == "x.jsonl#7"
    assert origins.where("u", "{}", "spelled") == "spelled"


def test_places_are_counted_with_their_first_reason_and_have_samples(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": [f"text {row}" for row in range(6)]})
    work = rewrite_collect(work, urls={"a/0": URLS[:3] * 2})
    reasons = ["too_short", "too_long", "too_short", "too_short", "", ""]
    work = decide(work, "quality", lambda _, row: reasons[row], scores=lambda _: {"words": pa.array([1] * 6)})
    source, seen = render(work)
    assert "hunter2" not in source
    assert "example.org 4 1 25.0 % quality: too_short 2" in seen.words
    assert "other.example 2 1 50.0 % quality: too_short 1" in seen.words
    assert "a 6 2 33.3 % quality: too_short 3" in seen.words
    samples = [tag for name, tag in seen.tags if name == "details" and tag.get("class") == "sample" and "id" in tag]
    assert {(one["data-place"], one["data-source"]) for one in samples} == {("example.org", "a"), ("other.example", "a")}
    assert len({one["id"] for one in samples}) == len(samples) == 6
    assert {one["data-reason"] for one in samples} == {"quality: too_short", "quality: too_long", "kept"}


def test_very_many_places_are_forgotten_but_for_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "MOST", 10)
    monkeypatch.setattr(origins, "LEFT", 3)
    found = Origins()
    for shard in range(5):
        names = ["big.example"] * 5 + [f"small{shard}-{row}.example" for row in range(5)]
        ids = [schema.doc_id("a", f"{shard}:{row}") for row in range(10)]
        table = pa.table(
            {
                "doc_id": pa.array(ids, pa.binary(16)),
                "source": ["a"] * 10,
                "url": [f"https://{name}/" for name in names],
                "metadata": ["{}"] * 10,
            }
        )
        codes, keys = np.zeros(10, dtype=np.int64), np.arange(10, dtype=np.uint64)
        found.add(table, codes, [SURVIVED, Fate("quality", "x")], keys, Censor())
    assert found.forgotten
    assert len(found.places) <= 13
    assert (found.places[Origin("place", "big.example")].documents, found.places[Origin("source", "a")].documents) == (25, 50)
    assert found.ranked("place")[0][0] == "big.example"
    assert len(found.places[Origin("place", "big.example")].samples[True]) == origins.SAMPLES


def test_the_newest_date_stands_in_the_head(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["text"] * 4})
    dates = [{"date": "2024-05-01"}, {"fields": {"date": "2025-11-02T23:30:00-02:00"}}, {"date": "soon"}, {}]
    _, seen = render(with_metadata(work, dates))
    assert f"tokenmill {formats.running()} · newest date in the documents' metadata: 2025-11-03" in seen.words
    before = with_metadata(make_corpus({"a/0": ["x"]}, folder="early"), [{"date": "1969-12-31"}])
    assert "metadata: 1969-12-31" in render(before)[1].words
    assert "newest date" not in render(make_corpus({"a/0": ["x"]}, folder="undated"))[1].words


def test_the_head_names_the_corpus_by_its_sources(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["text"], "a/1": ["text"], "b/0": ["text"]})
    assert render(work)[1].words.startswith("Corpus of a, b · report Report · tokenmill")
    many = make_corpus({f"s{number}/0": ["text"] for number in range(6)}, folder="many")
    assert "Corpus of s0, s1, s2 and 3 more" in render(many)[1].words
    # Whoever makes it, the bytes are the same.
    before, _ = render(work)
    files.write_json(work.root / files.MARKER, files.Marker(id="0", made_by="somebody").plain())
    assert render(work)[0] == before


def test_the_headline_leaves_out_what_the_size_of_the_corpus_left_out(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["text"] * 3})
    (shard,) = work.before[0].shards
    counts = Counts(read=13, kept=3, dropped={"empty": 1, "over_cap": 9}, bytes_in=12, bytes_kept=12)
    config = {"max_text_bytes": 12_000_000, "max_documents": None}
    capped = Manifest(
        stage="collect", version=1, config=config, inputs={}, shards=(Shard(name=shard.name, files=shard.files, counts=counts),)
    )
    manifest.commit(work.root, capped)
    _, seen = render(Work(root=work.root, before=(capped,), executor=work.executor))
    assert "Of 4 records read, 3 documents were kept (75.0 %)" in seen.words
    assert (
        "9 other records are not counted here: the corpus is limited to 12.0 MB of text (collect.max_text_bytes)" in seen.words
    )
    reasons = seen.words.split("Why documents were dropped")[1].split("Sources")[0]
    assert "collect: empty 1 · 25.0 %" in reasons
    assert "over_cap" not in reasons


def test_a_page_of_hostile_texts_stays_below_its_bound(make_corpus: MakeCorpus) -> None:
    texts = ["\u202e" * 3_000 + f" {row}" for row in range(80)] + [" ".join(HOSTILE) * 100] * 20
    work = make_corpus({"a/0": texts})
    work = decide(work, "quality", lambda _, row: HOSTILE[row % 6] if row % 7 else "", scores=lambda _: {})
    corpus = folder_of(work)
    whole = page.render(corpus)
    assert 400_000 < len(whole.encode()) <= page.MOST_BYTES
    cut = page.render(corpus, most_bytes=100_000)
    assert len(cut.encode()) <= 100_000
    assert cut.count('class="sample"') == whole.count('class="sample"')
