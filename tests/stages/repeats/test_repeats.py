"""The stage against plain Python, and what it shares with every other: resuming, workers, additions."""

from __future__ import annotations

import dataclasses
import itertools
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stages.repeats import oracle
from tokenmill.pipeline.base import executor, files, manifest, schema, shards
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.repeats import counts
from tokenmill.pipeline.stages.repeats.check import problems
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.repeats.stage import UNITS, Repeats
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

MakeCorpus = Callable[..., Work]
FOLDERS = itertools.count()
COMMON = RepeatsConfig(min_characters=2, min_documents=2, min_share=0.3, expected_units=100)


def repeats(work: Work, config: RepeatsConfig = COMMON) -> Done:
    return perform(StageStep(Repeats(config=config)), work, downstream=())


def left(work: Work, made: Manifest) -> dict[tuple[str, int], str | None]:
    found: dict[tuple[str, int], str | None] = {}
    for view in views(work.root, [*work.before, made]):
        alive = view.read()
        found |= {(view.name, row): None for row in range(alive.total)}
        found |= {(view.name, int(row)): text for row, text in zip(alive.rows, alive.table["text"].to_pylist(), strict=True)}
    return found


def evidence(work: Work, made: Manifest) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shards.read(work.root, (UNITS, made.files[UNITS])).to_pylist()
    return rows


def tree(root: Path) -> dict[str, bytes]:
    """What the stage has published."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "repeats").rglob("*") if path.is_file()}


def of(shard: str, row: int) -> bytes:
    source, split = shard.split("/")
    return schema.doc_id(source, f"{split}:{row}")


TEXT = st.lists(st.sampled_from(["menu", " menu\t", "licence é", "x", "", "own", "other", "\u3000", "menu\r"]), max_size=7)
TEXTS = st.one_of(TEXT.map("\n".join), TEXT.map("\n\n".join))
CORPUS = st.fixed_dictionaries({name: st.lists(TEXTS, max_size=8) for name in ("a/0", "a/1", "b/0")})
CONFIGS = st.builds(
    RepeatsConfig,
    unit=st.sampled_from(["lines", "paragraphs"]),
    min_characters=st.integers(1, 5),
    min_documents=st.integers(2, 4),
    min_share=st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]),
    keep_first=st.booleans(),
    counts=st.sampled_from(["exact", "bloom"]),
    expected_units=st.sampled_from([1, 100]),
)


@given(CORPUS, CONFIGS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_is_what_plain_python_takes_out(
    make_corpus: MakeCorpus, texts: dict[str, list[str]], config: RepeatsConfig
) -> None:
    texts = dict(sorted(texts.items()))
    work = make_corpus(texts, folder=f"corpus{next(FOLDERS)}")
    made = repeats(work, config).manifest
    wanted, table = oracle.expected(texts, config)
    assert left(work, made) == wanted
    told = {
        (row["source"], row["example"]): (row["documents"], row["occurrences"], row["removed"], row["removed_bytes"])
        for row in evidence(work, made)
    }
    assert told == {
        key: (found.documents, found.occurrences, found.removed, found.removed_bytes) for key, found in table.items()
    }
    assert {(row["source"], row["example"]): row["first_doc_id"] for row in evidence(work, made)} == {
        key: of(*found.first) for key, found in table.items()
    }
    dropped = sum(text is None for text in wanted.values())
    assert made.counts.dropped == ({"only_repeats": dropped} if dropped else {})
    assert list(problems(work.root, made, views(work.root, work.before), views(work.root, [*work.before, made]))) == []


def corpus(documents: int, seed: int = 5) -> dict[str, list[str]]:
    """Pages of two sites with menus, a licence in all of them, own lines, and a page that is only menu."""
    draw = np.random.default_rng(seed)
    pages = []
    for number in range(documents):
        own = [f"line {draw.integers(10**9)} of page {number}" for _ in range(5)]
        pages.append("\n".join(["Home | News | About", f"Site {number % 2} menu", *own, "All rights reserved by nobody"]))
    pages[documents // 2] = "Home | News | About\n\nAll rights reserved by nobody"
    return {f"{'ab'[number % 2]}/{number // 2}": pages[number::6] for number in (0, 2, 4, 1, 3, 5)}


SITES = RepeatsConfig(min_characters=10, min_documents=5, expected_units=1000)


@pytest.mark.parametrize("numbers", [(2,), pytest.param((2, 4), marks=pytest.mark.soak)])
def test_the_same_bytes_for_any_number_of_workers_and_for_ranges(make_corpus: MakeCorpus, numbers: tuple[int, ...]) -> None:
    work = make_corpus(corpus(60))
    made = repeats(work, SITES).manifest
    assert made.counts.dropped == {"only_repeats": 1}
    assert made.facts == {name: {"needed_documents": 5, "repeated_units": 3} for name in "ab"}
    alone = tree(work.root)
    for workers in numbers:
        manifest.withdraw(work.root, ["repeats"])
        shutil.rmtree(work.root / ".state")
        with executor.local(workers) as pool:
            assert repeats(dataclasses.replace(work, executor=pool), SITES).recomputed_shards == 6
        assert tree(work.root) == alone
    for fan_in, memory_bytes in ((2, 2_000), (2, 10**6), (64, 2_000)):
        manifest.withdraw(work.root, ["repeats"])
        shutil.rmtree(work.root / ".state")
        repeats(dataclasses.replace(work, fan_in=fan_in, memory_bytes=memory_bytes), SITES)
        assert tree(work.root) == alone
    assert not list((work.root / ".state/repeats/.counts").iterdir())


def test_a_filter_of_any_size_changes_no_decision(make_corpus: MakeCorpus) -> None:
    work = make_corpus(corpus(60))
    exact = repeats(work, SITES).manifest
    for expected_units in (1, 100_000):
        bloom = repeats(work, SITES.model_copy(update={"counts": "bloom", "expected_units": expected_units})).manifest
        assert (bloom.shards, bloom.files) == (exact.shards, exact.files)
        fill = bloom.facts["a"]["filter_fill"]
        assert fill == 1 if expected_units == 1 else 0 < fill < 0.01
        assert bloom.facts["a"]["filter_error"] == fill**7


def test_a_changed_threshold_splits_no_text_again(make_corpus: MakeCorpus) -> None:
    work = make_corpus(corpus(60))
    first = repeats(work, SITES)
    assert (first.scored_rows, first.recomputed_shards) == (60, 6)
    second = repeats(work, SITES.model_copy(update={"min_documents": 40}))
    assert second.scored_rows == 0
    assert evidence(work, second.manifest) == []
    assert second.manifest.counts.kept == 60


def test_documents_that_are_added_are_split_and_all_are_counted(make_corpus: MakeCorpus, tmp_path: Path) -> None:
    texts = corpus(60)
    few = make_corpus({name: rows for name, rows in texts.items() if name != "a/1"}, folder="grown")
    repeats(few, SITES)
    grown = make_corpus(texts, folder="grown")
    added = repeats(grown, SITES)
    assert (added.scored_rows, added.recomputed_shards) == (10, 1)
    anew = make_corpus(texts, folder="anew")
    repeats(anew, SITES)
    assert tree(grown.root) == tree(anew.root)


@pytest.mark.parametrize("counting", ["exact", "bloom"])
def test_after_a_fault_the_same_bytes(make_corpus: MakeCorpus, counting: str) -> None:
    texts = {"a/0": ["menu\nx1", "menu"], "b/0": ["menu"]}
    config = COMMON.model_copy(update={"counts": counting})
    whole = make_corpus(texts, folder="whole")
    files.inject(None)
    repeats(whole, config)
    operations = files.operations()
    wanted = tree(whole.root)
    broken = make_corpus(texts, folder="broken")
    for at in random.Random(counting).sample(range(operations), 6):
        shutil.rmtree(broken.root / "repeats", ignore_errors=True)
        shutil.rmtree(broken.root / ".state", ignore_errors=True)
        files.inject(Fault(at=at, kind="eio"))
        try:
            with pytest.raises(OSError, match="Input/output"):
                repeats(broken, config)
        finally:
            files.inject(None)
        repeats(broken, config)
        assert tree(broken.root) == wanted, f"another result after a fault at operation {at}"


def test_counts_that_a_killed_run_left_are_not_read(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["menu\nx1", "menu"]})
    files.write_bytes(work.root / ".state/repeats/.counts/a.0.counts", b"other")
    repeats(work)
    assert left(work, manifest.load(work.root, "repeats")) == {("a/0", 0): "menu\nx1", ("a/0", 1): None}
    assert not list((work.root / ".state/repeats/.counts").iterdir())


def test_later_stages_see_the_text_without_what_went(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["menu\nfirst", "menu\nfirst\nmine"]})
    one = repeats(work, RepeatsConfig(min_characters=1, min_documents=2)).manifest
    assert left(work, one) == {("a/0", 0): "menu\nfirst", ("a/0", 1): "mine"}


@pytest.mark.parametrize("change", ["documents", "removed", "units", "verdict"])
def test_wrong_evidence_is_found(make_corpus: MakeCorpus, change: str) -> None:
    work = make_corpus({"a/0": ["menu\nx1", "menu\nx2", "menu\nx3"], "b/0": ["menu", "y"]})
    made = repeats(work).manifest
    name, column = (UNITS, change) if change != "verdict" else ("repeats/verdicts/a/0.parquet", "removed")
    before = made.files[UNITS] if change != "verdict" else made.shards[0].files[name]
    table = shards.read(work.root, (name, before))
    if change == "units":
        table = table.slice(0, 0)
    elif change == "verdict":
        table = table.set_column(2, "removed", pa.array([[], [], [0]], table["removed"].type))
    else:
        table = table.set_column(
            table.schema.get_field_index(column),
            table.schema.field(column),
            pa.chunked_array([[number + 1 for number in table[column].to_pylist()]]),
        )
    entry = shards.write(work.root, name, table)
    if change == "verdict":
        shard = dataclasses.replace(made.shards[0], files={**made.shards[0].files, name: entry})
        forged = dataclasses.replace(made, shards=(shard, *made.shards[1:]))
    else:
        forged = dataclasses.replace(made, files={UNITS: entry})
    found = list(problems(work.root, forged, views(work.root, work.before), views(work.root, [*work.before, forged])))
    assert found
    assert all(line.startswith(str(work.root / "repeats")) for line in found)


def test_a_row_alive_without_units_is_an_error(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["menu", "menu"]})
    made = repeats(work).manifest
    name = "repeats/scores/a/0.parquet"
    table = shards.read(work.root, (name, made.shards[0].files[name]))
    cut = table.set_column(1, table.schema.field("units"), pa.array([None, []], table["units"].type))
    entry = shards.write(work.root, name, cut)
    stage = Repeats(config=COMMON)
    with pytest.raises(CorruptFile, match="1 rows alive have no `units`"):
        stage.resolve([(views(work.root, work.before)[0], (name, entry))], work)


def expected_share(total: int, share: float) -> int:
    return counts.needed(RepeatsConfig(min_documents=2, min_share=share), total)


def test_shares_are_counted_in_whole_documents() -> None:
    # 0.07 * 100 is 7.000000000000001 in floating point.
    assert [expected_share(total, 0.07) for total in (0, 28, 29, 100, 101)] == [2, 2, 3, 7, 8]
    assert expected_share(1000, 0) == 2
    assert expected_share(1000, 1) == 1000
