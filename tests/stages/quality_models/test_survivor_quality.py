"""A build whose duplicates are ordered by the scores of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stages.quality_models.conftest import NO_RULE, Trained
from tokenmill.flows.build import Building
from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.stages.step import Done


def settings(trained: Trained, source: Path, **dedup: Any) -> Config:
    model = {"path": str(trained.path), "min": 0.0}
    plain = {
        "stages": ["quality", "dedup"],
        "collect": {"paths": [str(source)]},
        "quality": {
            "recipe": "docs@1",
            **NO_RULE,
            "models": {"good": {**model, "label": "positive"}, **dedup.pop("models", {})},
        },
        "dedup": {"survivor": ["quality", "doc_id"], "fold_case": True, **dedup},
    }
    return parse(plain, where="test")


def kept(config: Config, root: Path) -> tuple[str, Done]:
    """The document that stays, and the step that decided it."""
    corpus = Building(config=config, root=root, executor=InProcess(), progress=Silent())
    done = [corpus.perform(name) for name in ("collect", "quality", "dedup")]
    (shard,) = done[-1].manifest.shards
    name, documents = f"dedup/verdicts/{shard.name}.parquet", f"documents/{shard.name}.parquet"
    alive = schema.alive(shards.read(root, (name, shard.files[name]))["reason"])
    texts = shards.read(root, (documents, done[0].manifest.shards[0].files[documents]), ["text"])["text"].to_pylist()
    (only,) = [text for text, stays in zip(texts, alive, strict=True) if stays]
    return only, done[-1]


@pytest.mark.parametrize("turned", [False, True])
def test_the_copy_with_the_higher_score_stays(trained: Trained, tmp_path: Path, turned: bool) -> None:
    text = trained.examples["positive"][0]
    # Copies for the duplicates' normalisation, two texts for the model, which knows small letters only.
    copies = [text.upper(), text] if turned else [text, text.upper()]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": copy}) + "\n" for copy in copies))
    stays, first = kept(settings(trained, source), tmp_path / "corpus")
    assert stays == text
    assert first.manifest.config["deciding"]["quality"] == "model_good"
    bad = {"bad": {"path": str(trained.path), "label": "negative", "min": 0.0}}
    stays, second = kept(settings(trained, source, models=bad, survivor_model="bad"), tmp_path / "corpus")
    assert stays == text.upper()
    # Decided anew, with the signatures as they were.
    assert second.scored_rows == 0
    assert second.manifest.inputs["quality"] != first.manifest.inputs["quality"]
