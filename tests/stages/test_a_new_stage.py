"""A stage that nobody knew before, in 40 lines, is seen by everything that goes through the stages of a corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tokenmill as tm
from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Section
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.kind import Finished, StageKind
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.step import Estimate

# The new stage begins here.


class CalmConfig(Section):
    """Documents that shout are dropped."""

    max_shouts: int = 3
    """A document with more exclamation marks is dropped."""


@dataclasses.dataclass(frozen=True)
class Calm:
    config: CalmConfig
    name: ClassVar[str] = "calm"
    version: ClassVar[int] = 1
    scores: ClassVar[pa.Schema] = pa.schema([("shouts", pa.int32())])
    scoring: ClassVar[Mapping[str, Any]] = {}

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {"max_shouts": self.config.max_shouts}

    def prepare(self) -> None: ...

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch([pc.count_substring(batch["text"], "!").cast(pa.int32())], schema=self.scores)

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        shouting = pc.greater(scores["shouts"], self.config.max_shouts)
        return pa.record_batch({"reason": pc.if_else(shouting, "too_many_shouts", "").cast(schema.REASON.type)})

    def limits(self, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
        return [("too_many_shouts", Limit(column="shouts", setting="max_shouts", threshold=self.config.max_shouts))]


CALM = StageKind(
    name="calm",
    section=CalmConfig,
    make=lambda config: Calm(CALM.settings(config)),
    estimate=Estimate(text_bytes_per_second=1_000_000_000, disk_per_text=0.01),
    words=lambda made: f"Documents with more than {made.config['deciding']['max_shouts']} exclamation marks were dropped.",
)

# And it ends here.


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tm.Corpus:
    monkeypatch.setattr(table, "STAGES", (*table.STAGES, CALM))
    (tmp_path / "texts").mkdir()
    for number in range(8):
        (tmp_path / "texts" / f"{number}.txt").write_text(
            f"Document {number} of the harbour" + "!" * number + ", as it was written."
        )
    settings = {"collect.paths": str(tmp_path / "texts"), "stages": ["calm"], "calm.max_shouts": 5}
    settings |= {"tokenizer.vocabulary": 300, "pack.validation_fraction": 0.0}
    return tm.build("text", tmp_path / "corpus", settings, workers=1, progress=False)


def test_a_new_stage_is_seen_everywhere(corpus: tm.Corpus) -> None:
    # The build, and its settings.
    assert corpus.settings["calm"] == {"max_shouts": 5}
    assert "max_shouts = 5" in (corpus.root / "config.toml").read_text()
    # The status.
    row = next(row for row in corpus.status().stages if row.stage == "calm")
    assert (row.read, row.kept, dict(row.dropped)) == (8, 6, {"too_many_shouts": 2})
    # Verify, also of a table that was changed.
    assert corpus.verify() == ()
    (path,) = (corpus.root / "calm" / "verdicts").rglob("*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert [line.partition(":")[0] for line in corpus.verify()] == [str(path)]
    path.write_bytes(whole)
    # What other settings would keep.
    answer = corpus.whatif({"calm.max_shouts": 2})
    assert answer["documents"] == {"before": 6, "after": 3, "unknown": 0}
    assert answer["settings"] == {"calm.max_shouts": {"before": 5, "after": 2}}
    assert answer["margins"][0]["setting"] == "calm.max_shouts"
    # The trace of a document.
    calm = corpus.trace("train/00000:0")["stages"][1]
    assert (calm["stage"], calm["reason"]) == ("calm", "")
    assert calm["limits"][0] | {"value": None} == {
        **{"reason": "too_many_shouts", "score": "shouts", "value": None},
        **{"drops": "above", "threshold": 5, "passed": True},
    }
    # The report.
    page = corpus.report.read_text()
    assert "Documents with more than 5 exclamation marks were dropped." in page
    assert "too_many_shouts" in page


def test_its_settings_are_checked_and_its_evidence_is_asked(corpus: tm.Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean max_shouts"):
        corpus.whatif({"calm.max_shout": 2})
    asked: list[Finished] = []
    kind = dataclasses.replace(CALM, problems=lambda finished: asked.append(finished) or iter(["calm: not so"]))
    monkeypatch.setattr(table, "STAGES", (*table.STAGES[:-1], kind))
    assert corpus.verify() == ("calm: not so",)
    assert [finished.manifest.stage for finished in asked] == ["calm"]


def test_the_stage_takes_at_most_40_lines() -> None:
    lines = Path(__file__).read_text().split("# The new stage begins here.\n")[1].split("# And it ends here.")[0].splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 40
