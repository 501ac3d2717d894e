"""Documents that share a key, against a plain twin, and evidence that is not true."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.folders import write_corpus
from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages import addresses
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

WORDS = re.findall("[a-z]+", "river bridge town people name lamp stairs water ship morning harbour letter table light keeper")
Row = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Doc:
    """A document of the twin."""

    doc_id: bytes
    source: str
    text: str
    url: str | None
    fields: Mapping[str, Any]

    def key(self, name: str) -> str | None:
        if name == "url":
            return addresses.key(self.url) if self.url else None
        value = self.fields.get(name.removeprefix("metadata."))
        return json.dumps(value) if value not in (None, "") else None


def documents(seed: int, count: int) -> dict[str, list[Doc]]:
    """By shard: few texts, of which some are alike, and few URLs and ids, so that all ways to share one meet."""
    chosen = random.Random(seed)
    texts = [" ".join(chosen.choices(WORDS, k=60)) for _ in range(6)]
    texts += [f"{text} {chosen.choice(WORDS)}" for text in texts] + [" ".join(chosen.choices(WORDS, k=80)) for _ in range(10)]
    found: dict[str, list[Doc]] = {f"{source}/{number}": [] for source in "ab" for number in range(2)}
    for _ in range(count):
        shard = chosen.choice([*found])
        source, split = shard.split("/")
        page = chosen.randrange(40)
        url = chosen.choice([None, f"https://x.example/{page}", f"http://X.example:80/a/../{page}#top", f"x.example/{page}"])
        fields = {"id": chosen.choice([None, "", *range(30)])}
        doc_id = schema.doc_id(source, f"{split}:{len(found[shard])}")
        found[shard].append(Doc(doc_id, source, chosen.choice(texts), url, fields))
    return found


def corpus(root: Path, docs: Mapping[str, Sequence[Doc]]) -> Work:
    return write_corpus(
        root,
        {shard: [doc.text for doc in mine] for shard, mine in docs.items()},
        urls={shard: [doc.url for doc in mine] for shard, mine in docs.items()},
        metadata={shard: [json.dumps({"fields": doc.fields}) for doc in mine] for shard, mine in docs.items()},
    )


def run(work: Work, config: DedupConfig) -> Manifest:
    return perform(StageStep(Dedup(config=config, sources=("a", "b"))), work, downstream=()).manifest


def rows(work: Work, made: Manifest) -> dict[bytes, Row]:
    tables = [shards.read(work.root, next(iter_named(one, "verdicts"))) for one in made.shards]
    return {row["doc_id"]: row for table in tables for row in table.to_pylist()}


def iter_named(shard: Any, kind: str) -> Any:
    return ((name, entry) for name, entry in shard.files.items() if f"/{kind}/" in name)


def in_order(docs: Mapping[str, Sequence[Doc]]) -> list[Doc]:
    return sorted(
        (doc for mine in docs.values() for doc in mine), key=lambda doc: (doc.source, -len(doc.text.encode()), doc.doc_id)
    )


@pytest.mark.parametrize("keys", [("url",), ("metadata.id",), ("url", "metadata.id"), ("metadata.id", "url")], ids=str)
def test_keys_are_those_of_a_plain_twin(tmp_path: Path, keys: tuple[str, ...]) -> None:
    docs = documents(len(keys), 160)
    work = corpus(tmp_path / "corpus", docs)
    config = DedupConfig(keys=keys)
    made = run(work, config)
    left: dict[bytes, tuple[str, bytes]] = {}
    for key in keys:
        first: dict[str, bytes] = {}
        for doc in in_order(docs):
            value = doc.key(key)
            if doc.doc_id not in left and value is not None and first.setdefault(value, doc.doc_id) != doc.doc_id:
                left[doc.doc_id] = (f"same_{key.removeprefix('metadata.')}", first[value])
    found = rows(work, made)
    assert {one: (row["reason"], row["same_key_doc_id"]) for one, row in found.items() if row["same_key_doc_id"]} == left
    # Texts are compared among the others, as if these were not there: ids name the same documents in both corpora.
    rest = {
        shard: [doc if doc.doc_id not in left else dataclasses.replace(doc, text="") for doc in mine]
        for shard, mine in docs.items()
    }
    other = rows(corpus(tmp_path / "other", rest), run(corpus(tmp_path / "other", rest), DedupConfig()))
    stands = {}
    for doc in in_order(docs):
        row, twin = found[doc.doc_id], other[doc.doc_id]
        if doc.doc_id not in left:
            assert (row["reason"], row["kept_doc_id"], row["jaccard"]) == (twin["reason"], twin["kept_doc_id"], twin["jaccard"])
            stands[doc.doc_id] = row["kept_doc_id"] or doc.doc_id
    for one in left:
        shares = one
        while shares in left:
            shares = left[shares][1]
        assert found[one]["kept_doc_id"] == stands[shares]
        assert found[one]["jaccard"] is None
        assert found[one]["compared"].startswith("the key ")
    reasons = {row["reason"] for row in found.values()}
    assert reasons == {"", "exact_duplicate", "near_duplicate", *config.key_reasons}
    assert made.facts["same_key_documents"] == len(left)
    assert list(problems(work.root, made, views(work.root, work.before), most=None)) == []


def test_memory_changes_nothing(tmp_path: Path) -> None:
    docs, config = documents(5, 80), DedupConfig(keys=("url", "metadata.id"))
    work = corpus(tmp_path / "corpus", docs)
    made = run(work, config)
    other = dataclasses.replace(corpus(tmp_path / "other", docs), memory_bytes=1000, fan_in=2)
    assert run(other, config).hash == made.hash


def test_one_key_of_all_documents(tmp_path: Path) -> None:
    texts = [f"{' '.join(WORDS)} {number}" for number in range(50)]
    work = write_corpus(tmp_path / "corpus", {"a/0": texts}, metadata={"a/0": ['{"site": "x"}'] * 50})
    made = run(dataclasses.replace(work, memory_bytes=500), DedupConfig(keys=("metadata.site",)))
    assert made.counts.dropped == {"same_site": 49}
    assert made.facts["clusters"] == 1
    assert {row["cluster_size"] for row in rows(work, made).values()} == {50}


@pytest.mark.parametrize(
    ("metadata", "there"),
    [('{"id": {"a": 1}}', True), ('{"id": 0}', True), ('{"id": false}', True), ('{"fields": {"id": "é"}}', True)]
    + [(text, False) for text in ('{"id": null}', '{"id": ""}', "{}", '{"fields": null}', '{"fields": [{"id": 1}]}')],
)
def test_what_is_a_key(tmp_path: Path, metadata: str, there: bool) -> None:
    work = write_corpus(tmp_path / "corpus", {"a/0": ["one", "two"]}, metadata={"a/0": [metadata] * 2})
    assert run(work, DedupConfig(keys=("metadata.id",))).counts.dropped == ({"same_id": 1} if there else {})


def test_names_may_be_nested(tmp_path: Path) -> None:
    metadata = ['{"a": {"b": 1}}', '{"a": {"b": 1}}', '{"a": {"b": 1.5}}', '{"a": 1}', '{"a.b": 1}']
    work = write_corpus(tmp_path / "corpus", {"a/0": [*"vwxyz"]}, metadata={"a/0": metadata})
    assert run(work, DedupConfig(keys=("metadata.a.b",))).counts.dropped == {"same_a.b": 1}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("link",), "is no key"),
        (("metadata.",), "is no key"),
        (("url", "url"), "the same reason"),
        (("url", "metadata.url"), "same reason"),
    ],
)
def test_what_is_no_key_is_refused(keys: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DedupConfig(keys=keys)


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("same_key_doc_id", lambda ids: [None, None, ids[3]], "it names no document that shares its key"),
        ("same_key_doc_id", lambda ids: [None, None, ids[1]], "the document that it names has another key url"),
        ("same_key_doc_id", lambda ids: [None, None, ids[2]], "the document that it names has another key url"),
        ("kept_doc_id", lambda ids: [None, None, ids[1]], "its kept document is not that of the document which shares its key"),
    ],
)
def test_untrue_evidence_is_found(tmp_path: Path, column: str, change: Callable[[list[bytes]], Any], said: str) -> None:
    texts = ["a long text that nobody knows", "another one", "short"]
    work = write_corpus(tmp_path / "corpus", {"a/0": texts}, urls={"a/0": ["x.example/1", "x.example/2", "x.example/1"]})
    made = run(work, DedupConfig(keys=("url",)))
    ((name, entry),) = iter_named(made.shards[0], "verdicts")
    table = shards.read(work.root, (name, entry))
    ids = [*table["doc_id"].to_pylist(), b"\0" * 16]
    at = table.schema.get_field_index(column)
    values = pa.array(change(ids), table.schema.field(at).type)
    entry = shards.write(work.root, name, table.set_column(at, table.schema.field(at), values))
    shard = dataclasses.replace(made.shards[0], files={**made.shards[0].files, name: entry})
    found = list(problems(work.root, dataclasses.replace(made, shards=(shard,)), views(work.root, work.before)))
    assert any(said in one for one in found), found
