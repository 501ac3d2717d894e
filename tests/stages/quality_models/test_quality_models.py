"""Models as scores of the stage: features, thresholds, what stands in the settings, and refusals."""

from __future__ import annotations

import math
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.quality_models.conftest import Trained, config, entry
from tokenmill.flows import preflight
from tokenmill.flows.build import outline
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.stages import fasttext
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.protocols import Editor
from tokenmill.pipeline.stages.quality import models
from tokenmill.pipeline.stages.quality.ranking import RankedQuality, quality
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.stages.step import Resolver

HOSTILE = st.text(st.sampled_from("ab \n\r\t\v\f\0\x1c\x85\u2028\ud7ff\ue000漢😀</s>_label") | st.characters(codec="utf-8"))


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" \n The river\r\nflows\u2028down \n", "The river flows down"),
        ("Upper, lower.", "Upper, lower."),
        ("a </s> b", "a  b"),
        ("</s>", ""),
        ("a</s> </s>b", "a</s> </s>b"),
        ("x __label__positive y", "x  y"),
        ("__label__", ""),
        ("no__label__here", "no__label__here"),
        ("\0</s>\0b", "\0\0b"),
    ],
)
def test_features(text: str, line: str) -> None:
    assert models.features(text) == line


@given(HOSTILE)
def test_features_hold_nothing_that_fasttext_obeys(text: str) -> None:
    line = models.features(text)
    assert "\n" not in line
    words = line
    for space in "\t\v\f\r\0":
        words = words.replace(space, " ")
    for word in words.split(" "):
        assert word != "</s>"
        assert not word.startswith("__label__")


@settings(deadline=None)
@given(st.lists(HOSTILE, max_size=4))
def test_scores_are_probabilities_of_each_text_alone(trained: Trained, texts: list[str]) -> None:
    wanted = config(good=entry(trained, min=0.5)).models
    none = pa.record_batch([pa.nulls(len(texts))], ["x"])
    together = models.append(wanted, none, texts)["model_good"].to_pylist()
    alone = [models.append(wanted, none.slice(0, 1), [text])["model_good"][0].as_py() for text in texts]
    assert together == alone
    assert all(0 <= score <= 1 and round(score, models.DECIMALS) == score for score in together)


def test_scores_are_those_of_fasttext(trained: Trained) -> None:
    texts = trained.examples["positive"][:3] + trained.examples["negative"][:3]
    stage = quality(config(good=entry(trained, min=0.5), bad=entry(trained, label="negative", max=0.5)))
    scores = stage.score(batch(texts))
    assert scores.schema == stage.scores
    assert scores.schema.names[-2:] == ["model_bad", "model_good"]
    model = fasttext.load(str(trained.path))
    for text, good, bad in zip(texts, scores["model_good"].to_pylist(), scores["model_bad"].to_pylist(), strict=True):
        found = dict(zip(*model.predict(text.replace("\n", " "), k=-1), strict=True))
        assert good == pytest.approx(min(1, found["__label__positive"]), abs=1e-6)
        assert bad == pytest.approx(min(1, found["__label__negative"]), abs=1e-6)
    assert scores["model_good"].to_pylist()[0] > 0.9 > 0.1 > scores["model_good"].to_pylist()[-1]


def test_at_a_threshold_a_row_passes(trained: Trained) -> None:
    low, high = math.nextafter(0.5, 0), math.nextafter(0.5, 1)
    wanted = config(a=entry(trained, min=0.5), b=entry(trained, max=0.5)).models
    scores = pa.record_batch({"model_a": [low, 0.5, high, low], "model_b": [low, 0.5, high, high]})
    assert models.first_failing(wanted, scores).tolist() == ["model_a", "", "model_b", "model_a"]


def test_rules_come_before_models(trained: Trained) -> None:
    stage = quality(config(good=entry(trained, min=0.5)))
    assert stage.decide(stage.score(batch(["short"])))["reason"].to_pylist() == ["too_few_words"]
    explained = dict(stage.limits({}))
    assert explained["model_good"] == Limit(column="model_good", setting="models.good.min", threshold=0.5)
    assert list(explained)[-1] == "model_good"


def test_a_model_is_its_bytes(trained: Trained, tmp_path: Path) -> None:
    """Another path changes nothing; a threshold is no setting of scores; another label and other bytes are."""
    moved = tmp_path / "moved.bin"
    shutil.copyfile(trained.path, moved)
    here, there = quality(config(good=entry(trained, min=0.5))), quality(config(good=entry(trained, min=0.6, path=str(moved))))
    assert here.scoring == there.scoring
    assert str(tmp_path) not in str(there.scoring) + str(there.deciding)
    assert (here.deciding["models"], there.deciding["models"]) == ({"min_model_good": 0.5}, {"min_model_good": 0.6})
    assert quality(config(good=entry(trained, min=0.5, label="negative"))).scoring != here.scoring
    assert quality(config()).scoring != here.scoring
    with open(moved, "r+b") as handle:
        handle.seek(-4, 2)
        handle.write(b"\0\0\0\1")
    assert there.scoring != here.scoring


def test_the_order_of_settings_means_nothing(trained: Trained) -> None:
    a, b = entry(trained, min=0.5), entry(trained, max=0.9)
    one, two = quality(config(a=a, b=b)), quality(config(b=b, a=a))
    assert (one.scores, one.scoring, one.deciding) == (two.scores, two.scoring, two.deciding)


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({}, "exactly one of min, max and keep_fraction; given: none"),
        ({"min": 0.1, "max": 0.2}, r"given: min = 0\.1, max = 0\.2"),
        ({"min": 0.1, "keep_fraction": 0.2}, "exactly one"),
        ({"min": 1.1}, "at most 1"),
        ({"keep_fraction": 0}, "above 0"),
        ({"mim": 0.1}, "unknown setting quality.models.good.mim; did you mean min?"),
    ],
)
def test_settings_that_are_refused(given_settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse({"collect": {"paths": ["x"]}, "quality": {"models": {"good": {"path": "x", **given_settings}}}}, where="a.toml")


@pytest.mark.parametrize("name", ["Good", "1a", "a-b", "a.b", "", "a b"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        parse({"collect": {"paths": ["x"]}, "quality": {"models": {name: {"path": "x", "min": 0.5}}}}, where="a.toml")


def test_models_that_are_refused_before_any_work(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(trained.path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"broken\.bin: is not a complete fastText model"):
        quality(config(good=entry(trained, min=0.5, path=str(broken))))
    with pytest.raises(ConfigError, match=r"none\.bin: the model cannot be read"):
        quality(config(good=entry(trained, min=0.5, path=str(tmp_path / "none.bin"))))
    with pytest.raises(ConfigError, match=r"models\.good: .* has no label '__label__hq'; the nearest is '__label__"):
        quality(config(good=entry(trained, min=0.5, label="hq")))
    whole = parse(
        {"collect": {"paths": ["x"]}, "quality": {"models": {"good": entry(trained, min=0.5, path=str(broken))}}}, where="t"
    )
    with pytest.raises(InputError, match=r"broken\.bin"):
        preflight.check(whole, tmp_path / "corpus", outline(whole))
    monkeypatch.setitem(sys.modules, "fasttext", None)
    quality(config())
    with pytest.raises(ConfigError, match=r"Python 3\.13"):
        quality(config(good=entry(trained, min=0.5)))


def test_which_stage_decides_how(trained: Trained) -> None:
    plain, ranked = quality(config(a=entry(trained, min=0.5))), quality(config(a=entry(trained, keep_fraction=0.5)))
    assert type(plain) is Quality
    assert type(ranked) is RankedQuality
    assert not isinstance(plain, Resolver)
    assert isinstance(ranked, Resolver)
    assert isinstance(ranked, Editor)
    assert plain.scoring == ranked.scoring
    assert pickle.loads(pickle.dumps(ranked)) == ranked  # noqa: S301 -- our own bytes, as executors send them


def test_a_model_without_numbers_is_named(trained: Trained, tmp_path: Path) -> None:
    data = trained.path.read_bytes()
    path = tmp_path / "nan.bin"
    # The last 800 bytes are the rows of both labels.
    path.write_bytes(data[:-800] + np.full(200, np.nan, np.float32).tobytes())
    stage = Quality(config=config(good={"path": str(path), "label": "positive", "min": 0.5}))
    with pytest.raises(InputError, match=r"nan\.bin: fastText cannot judge"):
        stage.score(batch(["the river flows"]))
