"""What a status calls an alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.pipeline.ask.status import alarms
from tokenmill.pipeline.base.manifest import COLLECT, Counts, Manifest, Shard
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages import settings


@pytest.mark.parametrize(("broken", "loud"), [(0, False), (7, False), (9, True)])
def test_a_quarantine_near_its_ceiling_is_an_alarm(broken: int, loud: bool) -> None:
    counts = Counts(read=1_000, kept=1_000 - broken, quarantined=broken)
    collect = Manifest(
        stage=COLLECT, version=1, config={}, inputs={}, shards=(Shard(name="a/0", files={}, counts=counts),), files={}, facts={}
    )
    config = settings.parse({"collect": {"paths": ["texts"], "quarantine_ceiling": 0.01}}, where="here")
    found = alarms(CorpusFolder(root=Path(), published=Path(), steps=(collect,), known_settings=config))
    expected = "9 of 1,000 records are quarantined (0.90%), near the ceiling of 1.00% (collect.quarantine_ceiling)"
    assert [line.startswith(expected) for line in found] == ([True] if loud else [])
