"""What the report says of duplicates beside counts: where texts differ, and sources that lost very many."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.folders import folder_of
from tests.report.pages import BIDI, SCRIPT, decide, render
from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.manifest import Counts, Manifest, Shard
from tokenmill.pipeline.report import differences, retention
from tokenmill.pipeline.report.differences import difference
from tokenmill.pipeline.report.duplicates import COLUMNS, Duplicates
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.step import Work

TEXT = st.lists(st.sampled_from(["a", "bb", "ccc", " ", "\n\n", ".", "\0", "\u202e", "日"]), max_size=80).map("".join)


@given(TEXT, TEXT)
@settings(max_examples=200, deadline=None)
def test_what_is_not_marked_is_common_and_what_is_marked_is_there(left: str, right: str) -> None:
    found = difference(left, right)
    assert len(found.left) == len(found.right)
    assert bool(found.left) == (left != right)
    for one, other in zip(found.left, found.right, strict=True):
        assert [piece for piece in one if not piece.differs] == [piece for piece in other if not piece.differs]
        assert "".join(piece.text for piece in one) in left
        assert "".join(piece.text for piece in other) in right
        assert any(piece.differs for piece in one)
        assert all(a != b for a, b in zip(one, other, strict=True) if a.differs)


def test_places_are_shown_with_what_is_around_them() -> None:
    words = [f"w{number}" for number in range(200)]
    changed = [*words[:50], "new", *words[51:150], *words[152:]]
    found = difference(" ".join(words), " ".join(changed))
    first, second = found.left
    assert [piece.text for piece in first if piece.differs] == ["w50"]
    assert [piece.text for piece in found.right[0] if piece.differs] == ["new"]
    assert first[0].text.endswith("w49 ")
    assert "w40" not in first[0].text
    assert "w150 w151" in "".join(piece.text for piece in second if piece.differs)
    assert (found.more, found.whole) == (0, True)


def test_very_long_and_very_different_texts_take_no_minutes() -> None:
    shared = "same " * 100_000
    begun = time.process_time()
    found = difference(shared + "a b " * 100_000, shared + "b a " * 100_000)
    assert time.process_time() - begun < 60
    assert not found.whole


@pytest.mark.parametrize("places", [12, pytest.param(40, marks=pytest.mark.soak)])
def test_the_first_of_many_places_are_shown(places: int) -> None:
    many = difference(*(" ".join(f"{letter}{n} " + "y z " * 20 for n in range(places)) for letter in "xv"))
    assert len(many.left) == differences.SHOWN
    assert many.more > 0


def test_of_each_cluster_the_least_similar_pair_is_shown_whatever_the_order() -> None:
    kept = [bytes([number]) * 16 for number in range(1, 10)]
    rows = [(kept[number % 9], 0.8 + number / 1000) for number in range(60)]
    pairs = [(schema.doc_id("a", str(number)), "near_duplicate", keeper, j, 7) for number, (keeper, j) in enumerate(rows)]
    kinds = [pa.binary(16), pa.string(), pa.binary(16), pa.float64(), pa.int32()]
    made = []
    for order in (pairs, pairs[::-1]):
        found = Duplicates()
        for start in range(0, len(order), 13):
            columns = [
                pa.array(column, kind) for column, kind in zip(zip(*order[start : start + 13], strict=True), kinds, strict=True)
            ]
            table = pa.table(columns, names=COLUMNS)
            keys = pa.array([int.from_bytes(row[0][:8], "big") for row in order[start : start + 13]], pa.uint64())
            found.add(table, keys.to_numpy())
        made.append(found)
    assert made[0].doubtful == made[1].doubtful
    assert [round(pair.jaccard, 3) for pair in made[0].doubtful] == [0.8, 0.801, 0.802, 0.803, 0.804, 0.805]
    assert len({pair.kept for pair in made[0].doubtful}) == 6


def dedup_of(counts: dict[str, tuple[int, int]]) -> Manifest:
    shards = [
        Shard(name=name, files={}, counts=Counts(read=read, kept=kept, dropped={"near_duplicate": read - kept}))
        for name, (read, kept) in counts.items()
    ]
    return Manifest(stage="dedup", version=1, config={}, inputs={}, shards=tuple(shards))


def test_a_source_that_loses_more_than_the_share_alarms(make_corpus: Callable[..., Work]) -> None:
    made = dedup_of({"a/0": (10, 2), "a/1": (10, 8), "b/0": (10, 4), "c/0": (0, 0)})
    assert [(one.source, one.lost, one.alarm) for one in retention.by_source(made, 0.5)] == [
        *(("a", 10, False), ("b", 6, True), ("c", 0, False)),
    ]
    work = make_corpus({"a/0": []})
    unfinished = dataclasses.replace(folder_of(work, made), known_settings=None)
    assert retention.alarm_share(unfinished) == DedupConfig().alarm_share == 0.5
    (line,) = retention.alarms(folder_of(work, made))
    assert line.startswith("b lost 6 of its 10 documents as duplicates (60.0")
    alarmed = folder_of(work, made, dedup={"alarm_share": 0.4})
    assert [line.split()[0] for line in retention.alarms(alarmed)] == ["a", "b"]


@pytest.mark.parametrize(("share", "alarms"), [(0.5, True), (0.7, False)])
def test_the_page_shows_differences_and_alarms(make_corpus: Callable[..., Work], share: float, alarms: bool) -> None:
    common = "one two three four five six seven"
    work = make_corpus({"a/0": [f"{common} {SCRIPT} end", f"{common} {BIDI} end", f"{common} end"]})
    ids = [schema.doc_id("a", f"0:{row}") for row in range(3)]

    def evidence(_: str) -> dict[str, pa.Array]:
        return {
            "kept_doc_id": pa.array([None, ids[0], ids[0]], pa.binary(16)),
            "jaccard": pa.array([None, 0.81, 0.9]),
            "contained": pa.array([None, 0.9, 0.95]),
            "lost_ngrams": pa.array([None, 1, 1], pa.int64()),
            "cluster_size": pa.array([3, 3, 3]),
            "compared": pa.nulls(3, pa.string()),
        }

    reasons = ["", "near_duplicate", "near_duplicate"]
    config = {"deciding": {"threshold": 0.8}, "scoring": {"shingle": "words", "ngram": 5}}
    work = decide(work, "dedup", lambda _, row: reasons[row], evidence=evidence, config=config)
    source, page = render(work, dedup={"alarm_share": share})
    assert ("a lost 66.7" in page.words) == alarms
    assert SCRIPT not in source
    assert "<ins>&lt;" in source or "&lt;script" in source
    assert source.count("<del>") >= 1
    assert "U+202E" in page.text
