"""The only loop: which rows are alive, what is reused, that a resumed shard has the same bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tokenmill.pipeline.base import executor, files, manifest, schema, shards
from tokenmill.pipeline.base.errors import CorruptFile, Misaligned
from tokenmill.pipeline.base.manifest import Counts
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.step import StageStep, Work, perform


@dataclass(frozen=True, kw_only=True)
class Length:
    """Keeps texts of at least `least` characters; counts how many rows it was asked to score."""

    least: int
    name: str = "length"
    version: int = 1
    scores: pa.Schema = dataclasses.field(default_factory=lambda: pa.schema([("characters", pa.int32())]))

    @property
    def scoring(self) -> dict[str, object]:
        return {}

    @property
    def deciding(self) -> dict[str, object]:
        return {"least": self.least}

    def prepare(self) -> None: ...

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pc.utf8_length(batch["text"]).cast(pa.int32())], schema=self.scores)

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        short = pc.less(scores["characters"], self.least)
        reasons = pc.if_else(short, "short", "").cast(schema.REASON.type)
        return pa.RecordBatch.from_arrays([reasons], schema=pa.schema([schema.REASON]))


@dataclass(frozen=True, kw_only=True)
class Cutting(Length):
    """Removes the first byte of every text that it keeps."""

    name: str = "cutting"

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        return [[(0, 1, "")] for _ in range(scores.num_rows)]


TEXTS = {"a/0": ["one", "three", "", "seventeen"], "a/1": ["four", "🙂🙂"], "b/0": []}


def after(work: Work, done: manifest.Manifest) -> Work:
    return dataclasses.replace(work, before=(*work.before, done))


def tree(root: Path, *folders: str) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(root).as_posix(), path.read_bytes()


def test_rows_are_kept_dropped_and_counted(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus(TEXTS)
    made = perform(StageStep(Length(least=4)), work, downstream=()).manifest
    assert made.counts == Counts(read=6, kept=3, dropped={"short": 3}, bytes_in=29, bytes_kept=18)
    (view, *_) = views(work.root, [*work.before, made])
    assert view.read().table["text"].to_pylist() == ["three", "seventeen"]
    assert view.read().rows.tolist() == [1, 3]


def test_rows_dropped_earlier_have_nulls_and_come_alive_when_a_threshold_falls(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus(TEXTS)
    first = perform(StageStep(Length(least=4)), work, downstream=()).manifest
    second = perform(StageStep(Length(least=6, name="later")), after(work, first), downstream=())
    assert second.scored_rows == 3
    table = shards.read(
        work.root, ("later/verdicts/a/0.parquet", second.manifest.shards[0].files["later/verdicts/a/0.parquet"])
    )
    assert table["reason"].to_pylist() == [None, "short", None, ""]

    looser = perform(StageStep(Length(least=3)), work, downstream=["later"])
    assert looser.scored_rows == 0, "a threshold recomputes no score"
    again = perform(StageStep(Length(least=6, name="later")), after(work, looser.manifest), downstream=())
    assert again.scored_rows == 1, "only the row that came alive is scored"
    fresh_work = make_corpus(TEXTS, folder="fresh")
    fresh = perform(StageStep(Length(least=3)), fresh_work, downstream=()).manifest
    perform(StageStep(Length(least=6, name="later")), after(fresh_work, fresh), downstream=())
    assert list(tree(work.root, "length", "later")) == list(tree(fresh_work.root, "length", "later"))


def test_what_is_up_to_date_is_not_touched(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus(TEXTS)
    step = StageStep(Length(least=4))
    assert perform(step, work, downstream=()).recomputed_shards == 3
    files.inject(None)
    assert perform(step, work, downstream=()).recomputed_shards == 0
    assert files.operations() == 0


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip"])
def test_a_damaged_file_is_made_anew_with_the_same_bytes(make_corpus: Callable[..., Work], damage: str) -> None:
    work = make_corpus(TEXTS)
    step = StageStep(Length(least=4))
    perform(step, work, downstream=())
    before = list(tree(work.root, "length"))
    path = work.root / "length/verdicts/a/0.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    {"delete": path.unlink, "truncate": lambda: path.write_bytes(data[:-1]), "flip": lambda: path.write_bytes(data)}[damage]()
    done = perform(step, work, downstream=())
    assert done.recomputed_shards == 1
    assert list(tree(work.root, "length")) == before


def test_edits_apply_downstream_and_say_bytes_of_the_stored_text(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus(TEXTS)
    first = perform(StageStep(Cutting(least=4)), work, downstream=()).manifest
    later = after(work, first)
    (view, *_) = views(later.root, later.before)
    assert view.read().table["text"].to_pylist() == ["hree", "eventeen"]
    second = perform(StageStep(Cutting(least=4, name="again")), later, downstream=()).manifest
    (view, *_) = views(later.root, [*later.before, second])
    assert view.read().table["text"].to_pylist() == ["ree", "venteen"]
    edits = shards.read(work.root, ("again/edits/a/0.parquet", second.shards[0].files["again/edits/a/0.parquet"])).to_pylist()
    assert [(edit["start"], edit["end"]) for edit in edits] == [(1, 2), (1, 2)]


@dataclass(frozen=True, kw_only=True)
class Lossy(Cutting):
    """Leaves out the last row (`loses` > 0) of its scores, verdicts or edits, or repeats it (`loses` < 0)."""

    part: str
    loses: int = 1
    name: str = "lossy"

    def _less(self, batch: pa.RecordBatch, part: str) -> pa.RecordBatch:
        rows = range(batch.num_rows - self.loses) if part == self.part else range(batch.num_rows)
        return batch.take(pa.array([min(row, batch.num_rows - 1) for row in rows], pa.int64()))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self._less(super().score(batch), "scores")

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        return self._less(super().decide(scores), "verdicts")

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        spans = super().edits(scores, verdict)
        return spans * 2 if self.part == "edits" else spans


@pytest.mark.parametrize("loses", [1, -1])
@pytest.mark.parametrize("part", ["scores", "verdicts", "edits"])
def test_a_stage_that_gives_other_rows_is_refused(make_corpus: Callable[..., Work], part: str, loses: int) -> None:
    work = make_corpus(TEXTS)
    with pytest.raises(Misaligned, match=f"lossy a/0: {part} of . rows for 4 rows alive"):
        perform(StageStep(Lossy(least=4, part=part, loses=loses)), work, downstream=())
    assert manifest.find(work.root, "lossy") is None


def test_rows_scored_later_are_counted_too(make_corpus: Callable[..., Work]) -> None:
    """Rows that come alive are scored by themselves: their number is compared before they join the stored ones."""
    work = make_corpus(TEXTS)
    first = perform(StageStep(Length(least=4)), work, downstream=()).manifest
    perform(StageStep(Length(least=1, name="lossy")), after(work, first), downstream=())
    looser = perform(StageStep(Length(least=3)), work, downstream=["lossy"]).manifest
    with pytest.raises(Misaligned, match="scores of 2 rows for 1 rows alive"):
        perform(StageStep(Lossy(least=1, part="scores", loses=-1)), after(work, looser), downstream=())


def test_a_stage_that_gives_other_columns_is_refused(make_corpus: Callable[..., Work]) -> None:
    class Renamed(Length):
        def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return super().score(batch).rename_columns(["letters"])

    with pytest.raises(Misaligned, match=r"scores have the columns \['letters'\], not \['characters'\]"):
        perform(StageStep(Renamed(least=4)), make_corpus(TEXTS), downstream=())


def test_a_table_of_other_rows_is_refused(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus(TEXTS)
    made = perform(StageStep(Length(least=4)), work, downstream=()).manifest
    views_of = views(work.root, [*work.before, made])
    swapped = dataclasses.replace(views_of[0], verdicts=views_of[1].verdicts)
    with pytest.raises(Misaligned, match="row 0"):
        swapped.read()


def test_a_flipped_bit_anywhere_in_a_shard_is_refused(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus(TEXTS)
    view = views(work.root, work.before)[0]
    path = work.root / view.documents[0]
    whole = path.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[at] ^= 4
        path.write_bytes(data)
        with pytest.raises(CorruptFile, match="documents/a/0"):
            view.read()


def test_any_number_of_workers_gives_the_same_bytes(make_corpus: Callable[..., Work]) -> None:
    alone, many = make_corpus(TEXTS), make_corpus(TEXTS, folder="many")
    perform(StageStep(Length(least=4)), alone, downstream=())
    with executor.local(2) as pool:
        perform(StageStep(Length(least=4)), dataclasses.replace(many, executor=pool), downstream=())
    assert list(tree(alone.root, "length")) == list(tree(many.root, "length"))
