"""The report as a page: hostile text stays text, nothing is loaded, no script but its own runs, and the totals are the
manifests'.
"""

from __future__ import annotations

import html
import itertools
import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.report.pages import (
    IMAGE,
    SCRIPT,
    STYLE,
    TEMPLATE,
    MakeCorpus,
    decide,
    hash_of,
    hostile_corpus,
    render,
    rewrite_collect,
)
from tokenmill.pipeline.base import files, manifest, schema, shards
from tokenmill.pipeline.base.errors import CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import Manifest, Shard
from tokenmill.pipeline.corpus import so_far
from tokenmill.pipeline.report import funnel_markdown, write
from tokenmill.pipeline.stages.table import STAGES


def test_hostile_text_is_shown_and_nothing_runs(make_corpus: MakeCorpus) -> None:
    source, page = render(hostile_corpus(make_corpus))
    assert not page.open
    names = {name for name, _ in page.tags}
    assert [attributes for name, attributes in page.tags if name == "script"] == [{}]
    assert not names & {"img", "iframe", "object", "embed", "link", "base", "form", "image", "use", "foreignobject"}
    for name, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "style", "xlink:href")], name
        assert attributes.get("href", "#").startswith("#"), f"{name} refers to {attributes['href']}"
    assert not re.search(r"url\(|@import|expression\(", source)
    for shown in (SCRIPT, IMAGE, STYLE, TEMPLATE, "U+202E", "U+0000", "U+001B", "U+0085", "U+E0041", "U+2066"):
        assert shown in page.text, shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html.unescape(source))


def test_secrets_in_urls_are_left_out(make_corpus: MakeCorpus) -> None:
    source, page = render(hostile_corpus(make_corpus))
    assert "hunter2" not in source
    assert f"https://example.org/{SCRIPT}" in page.text


def test_the_policy_lets_nothing_in(make_corpus: MakeCorpus) -> None:
    source, page = render(hostile_corpus(make_corpus))
    assert page.policies == [
        f"default-src 'none'; script-src {hash_of('script', source)}; style-src {hash_of('style', source)}; "
        "base-uri 'none'; form-action 'none'"
    ]
    # What a document says is written nowhere but between tags and into attributes, and the script reads it as text.
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", source.split("<script>")[1].split("</script>")[0]
    )


def test_the_page_can_be_read_without_eyes(make_corpus: MakeCorpus) -> None:
    source, page = render(hostile_corpus(make_corpus))
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(tag.get("scope") in ("col", "row") for name, tag in page.tags if name == "th")
    charts = [at for at, (name, _) in enumerate(page.tags) if name == "svg"]
    assert charts
    assert all(page.tags[at][1].get("role") == "img" and page.tags[at + 1][0] == "title" for at in charts)
    anchors = {tag["href"] for name, tag in page.tags if name == "a"}
    assert anchors <= {f"#{tag['id']}" for _, tag in page.tags if "id" in tag}
    assert '<html lang="en">' in source


def test_totals_are_the_manifests(make_corpus: MakeCorpus) -> None:
    rejected = [("a", f"f.jsonl:{number}", "json", "cut off", "{") for number in range(7)]
    work = make_corpus({"a/0": ["x" * 1000] * 1500, "b/0": ["long text " * 600] * 3})
    work = rewrite_collect(work, urls={}, rejected=rejected)
    work = decide(work, "language", lambda shard, row: "language" if row >= 1200 else "")
    work = decide(work, "quality", lambda shard, row: "too_short" if shard == "a/0" and row % 2 else "")
    _, page = render(work)
    for made in work.before:
        counts = made.counts
        cells = [made.stage, f"{counts.read:,}", f"{counts.kept:,}"]
        assert " ".join(cells) in page.words, made.stage
    assert work.before[0].counts.read == 1517
    assert work.before[-1].counts.kept == 603
    assert "Of 1,517 records read, 603 documents were kept (39.7 %)" in page.words
    assert "too_short 600" in page.words
    assert "language 300" in page.words
    assert "no_text 7" in page.words
    lines = funnel_markdown(so_far(work.root)).splitlines()
    assert lines[2] == "| collect | 1,517 | 1,503 | 7 | 7 | 1.52 MB | 1.52 MB | no_text 7 |"
    assert lines[3] == "| language | 1,503 | 1,203 | 300 | 0 | 1.52 MB | 1.22 MB | language 300 |"
    assert lines[4] == "| quality | 1,203 | 603 | 600 | 0 | 1.22 MB | 618 kB | too_short 600 |"


def test_duplicates_are_side_by_side(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["the kept one", "an exact copy", "nearly the kept one"], "b/0": ["far away", "not so near"]})
    kept = schema.doc_id("a", "0:0")
    evidence = {
        "a/0": ([None, kept, kept], [None, 1.0, 0.95], [4, 4, 4]),
        "b/0": ([None, kept], [None, 0.8125], [1, 4]),
    }

    def columns(shard: str) -> dict[str, pa.Array]:
        ids, jaccard, size = evidence[shard]
        numbers = {"jaccard": pa.array(jaccard), "cluster_size": pa.array(size)}
        return {"kept_doc_id": pa.array(ids, pa.binary(16)), "compared": pa.nulls(len(ids), pa.string()), **numbers}

    reasons = {"a/0": ["", "exact_duplicate", "near_duplicate"], "b/0": ["", "near_duplicate"]}
    config = {"deciding": {"threshold": 0.8}, "scoring": {"shingle": "words", "ngram": 5}}
    work = decide(work, "dedup", lambda shard, row: reasons[shard][row], evidence=columns, config=config)
    _, page = render(work)
    assert "3 documents were removed, from 1 cluster of" in page.words
    assert "4 documents 1 Clusters by" in page.words
    doubtful, rest = page.words.split("The most doubtful removals")[1].split("The 1 largest clusters")
    assert doubtful.index("0.812 to the kept one") < doubtful.index("0.950 to the kept one")
    assert doubtful.count("nearly the kept one") == 1
    assert f"4 documents, kept: {kept.hex()}" in rest
    assert "5-grams of words, normalised by plain@1, have a Jaccard similarity of at least 0.8" in page.words


def test_same_input_same_bytes(make_corpus: MakeCorpus) -> None:
    first, _ = render(hostile_corpus(make_corpus))
    again = make_corpus({"a/0": ["x"]}, folder="elsewhere")
    assert write(so_far(again.root)).bytes > 0
    second, _ = render(hostile_corpus(lambda texts: make_corpus(texts, folder="second")))
    assert first == second
    assert "second" not in re.findall(r"/[a-z]+/", second)


def test_no_path_of_the_machine(make_corpus: MakeCorpus) -> None:
    work = hostile_corpus(make_corpus)
    source, _ = render(work)
    assert str(work.root) not in source
    assert work.root.name not in re.findall(r"/(\w+)/", source)


def test_only_a_collection(make_corpus: MakeCorpus) -> None:
    _, page = render(make_corpus({"a/0": ["one", "two"]}))
    assert "Of 2 records read, 2 documents were kept (100.0 %)" in page.words
    assert page.words.count("This step was left out.") == len(STAGES)
    assert "not packed" in page.words
    assert "None was dropped." in page.words


def test_everything_dropped(make_corpus: MakeCorpus) -> None:
    work = decide(make_corpus({"a/0": ["one", "two"]}), "quality", lambda shard, row: "too_short")
    _, page = render(work)
    assert "Of 2 records read, 0 documents were kept (0.0 %)" in page.words
    assert "No document was kept." in page.words


def test_no_document_at_all(make_corpus: MakeCorpus) -> None:
    work = decide(make_corpus({"a/0": []}), "language", lambda shard, row: "")
    _, page = render(work)
    assert "Of 0 records read, 0 documents were kept (–)" in page.words
    _, page = render(make_corpus({}, folder="nothing"))
    assert "No text was collected." in page.words


def test_samples_are_bounded_and_stable(make_corpus: MakeCorpus) -> None:
    texts = [f"document {number} of many" for number in range(200)]
    work = decide(make_corpus({"a/0": texts[:120], "a/1": texts[120:]}), "quality", lambda shard, row: "too_short")
    _, page = render(work)
    shown = set(re.findall(r"document \d+ of many", page.text))
    assert len(shown) == 5
    # A document more changes at most itself: four of the five stay.
    more = decide(
        make_corpus({"a/0": texts[:120], "a/1": [*texts[120:], "x"]}, folder="more"), "quality", lambda s, r: "too_short"
    )
    assert len(shown & set(re.findall(r"document \d+ of many", render(more)[1].text))) >= 4


def test_long_text_is_cut_and_said_so(make_corpus: MakeCorpus) -> None:
    work = decide(make_corpus({"a/0": ["é" * 2001, "ü" * 2000]}), "quality", lambda shard, row: "too_long")
    _, page = render(work)
    assert "é" * 2000 + "…" in page.text
    assert "é" * 2001 not in page.text
    assert "ü" * 2000 in page.text
    assert "ü" * 2000 + "…" not in page.text


def test_thresholds_stand_in_the_histograms(make_corpus: MakeCorpus) -> None:
    values = [10, 49, 50, 120, None]
    config = {"deciding": {"recipe": "docs@1", "thresholds": {"min_words": 50, "max_words": 100}}, "scoring": {"lines": None}}
    reasons = ["too_few_words", "too_few_words", "", "too_many_words", "language"]
    work = make_corpus({"a/0": ["text"] * 5})
    work = decide(work, "language", lambda shard, row: "language" if row == 4 else "")
    columns = {"words": pa.array(values, pa.int64()), "unused": pa.array([0.5] * 5)}
    work = decide(work, "quality", lambda shard, row: reasons[row], scores=lambda shard: columns, config=config)
    source, page = render(work)
    assert (
        "quality.min_words = 50 # Number of words, without those that are all symbols. 2 of 4 documents fail it," in page.words
    )
    assert (
        "quality.max_words = 100 # Number of words, without those that are all symbols. 1 of 4 documents fail it," in page.words
    )
    assert source.count('class="mark"') == 3, "two of words, one of the language"
    assert "unused" not in page.text
    assert "demonstration recipe, made for software documentation" in page.words


def test_tokens_by_source_and_split(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["text"], "b/0": ["text"]})
    columns = {
        "doc_id": [schema.doc_id("a", "0:0"), schema.doc_id("b", "0:0")],
        "source": ["a", "b"],
        "tokens": [1_000, 500],
        "text_bytes": [4_000, 1_000],
    }
    published = {}
    for split, keep in (("train", slice(0, 1)), ("val", slice(1, 2))):
        name = f"tokens/{split}/00000.docs.parquet"
        published[name] = shards.write(work.root, name, pa.table({key: value[keep] for key, value in columns.items()}))
    inputs = {"collect": work.before[0].hash}
    manifest.commit(work.root, Manifest(stage="pack", version=1, config={}, inputs=inputs, files=published))
    _, page = render(work)
    tokens = page.words.split("Bytes per token Tokens per document")[1]
    assert "train 1 1,000 4.00 kB 4.00 1,000" in tokens
    assert "val 1 500 1.00 kB 2.00 500" in tokens
    assert "a 1 1,000 4.00 kB 4.00 1,000" in tokens
    assert "all 2 1,500 5.00 kB 3.33 750" in tokens
    assert "1,500 tokens." in page.words


def test_the_order_of_stages_is_the_order_in_which_they_ran(make_corpus: MakeCorpus) -> None:
    work = decide(make_corpus({"a/0": ["text"] * 4}), "quality", lambda shard, row: "short" if row == 0 else "")
    decide(work, "language", lambda shard, row: "language" if row == 1 else "")
    lines = funnel_markdown(so_far(work.root)).splitlines()
    assert [line.split()[1] for line in lines[2:]] == ["collect", "quality", "language"]
    assert lines[4].startswith("| language | 3 | 2 | 1 |")


def test_what_cannot_be_trusted_is_refused(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="holds no corpus"):
        write(so_far(tmp_path / "nowhere"))
    work = decide(make_corpus({"a/0": ["text"]}), "quality", lambda shard, row: "")
    other = Manifest(stage="language", version=1, config={}, inputs={"collect": "0" * 64}, shards=work.before[1].shards)
    table = work.root / "quality/verdicts/a/0.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CorruptFile, match=r"quality/verdicts/a/0\.parquet"):
        write(so_far(work.root))
    table.write_bytes(whole)
    files.write_json(work.root / "language" / "manifest.json", {"stage": "language"})
    with pytest.raises(CorruptFile, match="language"):
        write(so_far(work.root))
    moved = Shard(
        name="a/0", files={"language/verdicts/a/0.parquet": work.before[1].shards[0].files["quality/verdicts/a/0.parquet"]}
    )
    manifest.commit(work.root, Manifest(**{**vars(other), "shards": (moved,)}))
    with pytest.raises(StaleInput, match="0" * 64):
        write(so_far(work.root))
