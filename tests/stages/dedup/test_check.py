"""Every removed document stands for a kept one that is as alike as its verdict says; so do the copies among real pages."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.folders import some_records
from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig
from tokenmill.pipeline.stages.dedup import check
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

MakeCorpus = Callable[..., Work]
CONFIG = DedupConfig(ngram=3, bands=20, rows=3, threshold=0.6)
FOLDERS = itertools.count()
VOCABULARY = ["".join(letters) for letters in itertools.product("abcdefgh", repeat=3)]


def deduplicated(work: Work, config: DedupConfig = CONFIG) -> Manifest:
    sources = tuple(dict.fromkeys(shard.name.split("/")[0] for shard in work.before[0].shards))
    return perform(StageStep(Dedup(config=config, sources=sources)), work, downstream=()).manifest


def rows(root: Path, made: Manifest) -> list[dict[str, object]]:
    names = [f"dedup/verdicts/{shard.name}.parquet" for shard in made.shards]
    tables = [shards.read(root, (name, shard.files[name])) for name, shard in zip(names, made.shards, strict=True)]
    return [row for table in tables for row in table.to_pylist()]


@st.composite
def planted(draw: st.DrawFn) -> dict[str, list[str]]:
    """Documents of which some are copies of others: changed in a few words, in case and punctuation, or not at all."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    texts: list[str] = []
    for _ in range(draw(st.integers(1, 5))):
        words = [VOCABULARY[at] for at in rng.integers(0, 400, draw(st.integers(0, 40)))]
        texts.append(" ".join(words))
        for change in draw(st.lists(st.sampled_from(["copy", "case", "cut", "change"]), max_size=4)):
            other = list(words)
            for _ in range(int(rng.integers(1, 4)) if change == "change" and words else 0):
                other[int(rng.integers(len(words)))] = VOCABULARY[int(rng.integers(400, 512))]
            text = " ".join(other[2:] if change == "cut" else other)
            texts.append(text.title().replace(" ", ", ") if change == "case" else text)
    places = draw(st.lists(st.sampled_from(["a/0", "a/1", "b/0"]), min_size=len(texts), max_size=len(texts)))
    return {name: [text for text, place in zip(texts, places, strict=True) if place == name] for name in ("a/0", "a/1", "b/0")}


@given(planted(), st.sampled_from([1, 40, check.BLOCK]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_removal_holds(make_corpus: MakeCorpus, texts: dict[str, list[str]], block: int) -> None:
    work = make_corpus(texts, folder=f"corpus{next(FOLDERS)}")
    made = deduplicated(work)
    text_of = dict(zip([row["doc_id"] for row in rows(work.root, made)], itertools.chain(*texts.values()), strict=True))
    verdicts = {row["doc_id"]: row for row in rows(work.root, made)}
    for doc_id, row in verdicts.items():
        members = [other for other in verdicts.values() if (other["kept_doc_id"] or other["doc_id"]) == doc_id]
        if row["reason"] == "":
            assert row["cluster_size"] == len(members)
            continue
        keeper = row["kept_doc_id"]
        assert verdicts[keeper]["reason"] == ""
        if row["reason"] == "exact_duplicate":
            assert text_of[doc_id] == text_of[keeper]
            assert row["jaccard"] == 1.0
        else:
            assert row["jaccard"] == oracle.jaccard(text_of[doc_id], text_of[keeper], 3) >= 0.6
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "BLOCK", block)
        assert list(problems(work.root, made, views(work.root, work.before))) == []


def spoilt(work: Work, made: Manifest, shard: int, column: str, values: list[object]) -> Manifest:
    old = made.shards[shard]
    name = f"dedup/verdicts/{old.name}.parquet"
    table = shards.read(work.root, (name, old.files[name]))
    at = table.schema.get_field_index(column)
    entry = shards.write(
        work.root, name, table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))
    )
    changed = dataclasses.replace(old, files={**old.files, name: entry})
    return dataclasses.replace(made, shards=tuple(changed if one is old else one for one in made.shards))


WORDS = " ".join(VOCABULARY[:30])
SPOILT = {"a/0": [WORDS, "of its own kind"], "b/0": [WORDS, WORDS + " more", "some other words entirely"]}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("jaccard", [1.0, 0.9, None], r"their similarity is 0.96\d*, the verdict says 0.9"),
        ("jaccard", [0.9, None, None], "1 removed rows below the threshold"),
        ("contained", [1.0, 1.0, None], "their shares are others, than contained = 1.0"),
        ("contains", [1.0, 0.9, None], "their shares are others"),
        ("lost_ngrams", [0, 0, None], "their shares are others"),
        ("contained", [0.7, 0.9, None], "their shares are others"),
        ("cluster_size", [3, 2, 1], "1 rows with another cluster_size than is counted, the first: doc_id"),
        ("reason", ["exact_duplicate", "exact_duplicate", ""], "their bytes differ, the verdict says 0.9"),
    ],
)
def test_what_is_not_true_is_found_whatever_the_blocks(
    make_corpus: MakeCorpus, column: str, values: list[object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make_corpus(SPOILT)
    made = spoilt(work, deduplicated(work), 1, column, values)
    seen = views(work.root, work.before)
    found = list(problems(work.root, made, seen))
    assert any(re.search(message, line) for line in found), found
    assert all(line.startswith(str(work.root / "dedup/verdicts/b/0.parquet")) for line in found if "cluster" not in line)
    monkeypatch.setattr(check, "BLOCK", 1)
    assert list(problems(work.root, made, seen)) == found


def test_a_sample_is_seeded_and_no_larger_than_asked_for(make_corpus: MakeCorpus) -> None:
    texts = {"a/0": [WORDS], "b/0": [f"{WORDS} {word}" for word in VOCABULARY[100:120]]}
    work = make_corpus(texts)
    made = deduplicated(work)
    made = spoilt(work, made, 1, "jaccard", [0.99] * 20)
    seen = views(work.root, work.before)
    few = list(problems(work.root, made, seen, most=3))
    assert len(few) == 3
    assert few == list(problems(work.root, made, seen, most=3))
    assert few != list(problems(work.root, made, seen, most=3, seed=1))
    assert len(list(problems(work.root, made, seen, most=None))) == 20


@pytest.mark.parametrize("most", [50, pytest.param(250, marks=pytest.mark.soak)])
def test_planted_copies_of_real_pages_end_in_one_cluster(shared_data: Path, tmp_path: Path, most: int) -> None:
    """Among other pages: all of them in the soak."""
    web = shared_data / "web"
    records = [json.loads(line) for line in (web / "docs_meta.jsonl").read_text().splitlines()]
    pairs = [(record["uri"], record["planted_exact_dup_of"]) for record in records if record["planted_exact_dup_of"]][:most]
    assert len(pairs) == most
    wanted = {uri for pair in pairs for uri in pair}
    step = 1 if most == 250 else 20
    pages = some_records(
        web / "docs.warc.gz", tmp_path / "pages.warc.gz", lambda number, uri: uri in wanted or not number % step
    )
    work = Work(root=tmp_path / "corpus", before=(), executor=InProcess())
    collected = perform(CollectStep(CollectConfig(paths=(str(pages),))), work, downstream=()).manifest
    work = dataclasses.replace(work, before=(collected,))
    made = perform(StageStep(Dedup(config=DedupConfig(), sources=("files",))), work, downstream=()).manifest
    seen = views(work.root, work.before)
    urls = [url for view in seen for url in view.read(["url"]).table["url"].to_pylist()]
    verdict_of = dict(zip(urls, rows(work.root, made), strict=True))
    # A page without text is dropped before, and so is its copy.
    there = [pair for pair in pairs if pair[0] in verdict_of]
    assert len(there) >= most - 2
    for copy, original in there:
        one, other = verdict_of[copy], verdict_of[original]
        assert (one["kept_doc_id"] or one["doc_id"]) == (other["kept_doc_id"] or other["doc_id"]), copy
        assert one["reason"] or other["reason"], copy
    assert list(problems(work.root, made, seen, most=None)) == []
