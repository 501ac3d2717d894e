"""Signatures against plain Python and against frozen values, and the settings that travel with them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile, StaleInput
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.kernels.dedup import minhash
from tokenmill.pipeline.stages.dedup.banding import PRESETS, Preset
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import check_settings, sign
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

SCORES = "dedup/scores/a/0.parquet"
TEXTS = [
    "A quick brown fox, 3.50 \u20ac, jumps over the lazy dog and runs away.",
    "\u0130stanbul'da \u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3 \u2014 na\u00efve cafe\u0301 \ufb01nds "
    "\u212bngstr\u00f6m \u0661\u0662\u066b\u0663 times \U0001f600",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3067\u3059\u3002 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 "
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5 \u0939\u093f\u0928\u094d\u0926\u0940",
]


def signed(text: str, config: DedupConfig) -> dict[str, Any]:
    (row,) = sign(pa.array([text], pa.large_string()), config).to_pylist()
    return dict(row)


@given(
    st.one_of(oracle.HOSTILE, st.sampled_from(TEXTS)),
    st.sampled_from(["words", "characters"]),
    st.integers(1, 6),
    st.integers(0, 9),
)
@settings(max_examples=150, deadline=None)
def test_columns_are_those_of_plain_python(text: str, shingle: Any, ngram: int, seed: int) -> None:
    row = signed(text, DedupConfig(shingle=shingle, ngram=ngram, bands=3, rows=2, seed=seed))
    units = oracle.units(text, shingle)
    multipliers, increments = minhash.permutations(seed, 6)
    bands = oracle.bands(oracle.ngrams(text, ngram, shingle), multipliers.tolist(), increments.tolist(), 2)
    assert (row["units"], row["bytes"]) == (len(units), len(text.encode()))
    assert row["bands"] == (np.array(bands, "<u8").tobytes() if len(units) >= ngram else None)
    assert row["exact"] == hashlib.sha256(text.encode()).digest()[:16]


@given(oracle.HOSTILE)
@settings(max_examples=100, deadline=None)
def test_white_space_alone_is_folded_where_the_setting_says_so(text: str) -> None:
    row = signed(text, DedupConfig(exact="white_space"))
    assert row["exact"] == hashlib.sha256(" ".join(text.split()).encode()).digest()[:16]


GOLDEN: dict[Preset, str] = {
    "fineweb": "1a30f5c2cb43f1314c09608cd3f82752",
    "dolma3": "dd900aa2ce1e9cb3867fb90380709f34",
    "nemo": "69193a59b939f3406278ba70ea95f785",
}


@pytest.mark.parametrize("preset", GOLDEN)
def test_signatures_of_presets_stay_what_they_are(preset: Preset) -> None:
    """Stored signatures are compared with new ones for years: whoever changes them bumps the stage's version."""
    scheme = PRESETS[preset]
    bands = [signed(text, DedupConfig(preset=preset))["bands"] for text in TEXTS]
    assert [len(value) for value in bands] == [8 * scheme.bands] * 3
    assert hashlib.sha256(b"".join(bands)).hexdigest()[:32] == GOLDEN[preset]


@pytest.mark.parametrize(("shingle", "long"), [("words", "one two three four five"), ("characters", "a" * 24)])
def test_a_text_shorter_than_the_ngram_has_its_exact_hash_only(shingle: Any, long: str) -> None:
    config = DedupConfig(shingle=shingle)
    assert signed(long, config)["bands"] is not None
    short = [signed(text, config) for text in (long[:-5].strip(), long[:-5].strip(), long[:-5].upper(), long[:-6], "")]
    assert [row["bands"] for row in short] == [None] * 5
    assert short[0]["exact"] == short[1]["exact"]
    assert len({row["exact"] for row in short}) == 4


def schema_of(config: DedupConfig) -> pa.Schema:
    return pa.schema([pa.field("doc_id", pa.binary(16), nullable=False), *Dedup(config=config, sources=()).scores])


def test_characters_decide_who_is_alike(make_corpus: Callable[..., Work]) -> None:
    """Words glued together, or parted elsewhere, leave no word n-gram in common and most n-grams of characters."""
    long = "thequickbrownfoxjumpsoverthelazydogandrunsawaythroughthehighgrassofthemeadow na\u00efve \u65e5\u672c\u8a9e"
    texts = [
        long,
        long.replace("meadow", "meadows").replace("na\u00efve", "nai\u0308ve"),
        "something quite different that is long enough as well",
    ]
    work = make_corpus({"a/0": texts})
    config = DedupConfig(shingle="characters", ngram=4, bands=32, rows=2, threshold=0.9)
    stage = Dedup(config=config, sources=("a",))
    made = perform(StageStep(stage), work, downstream=()).manifest
    table = shards.read(work.root, ("dedup/verdicts/a/0.parquet", made.shards[0].files["dedup/verdicts/a/0.parquet"]))
    assert table["reason"].to_pylist() == ["near_duplicate", "", ""]
    assert table["jaccard"].to_pylist() == [oracle.jaccard(texts[0], texts[1], 4, "characters"), None, None]
    assert made.facts["expected_recall"] == round(1 - (1 - 0.9**2) ** 32, 6)
    assert list(problems(work.root, made, views(work.root, work.before))) == []
    assert oracle.jaccard(texts[0], texts[1], 5) < 0.5
    words = dataclasses.replace(stage, config=DedupConfig(bands=32, rows=2, threshold=0.9))
    assert perform(StageStep(words), work, downstream=()).manifest.counts.kept == 3


def test_settings_survive_writing_and_reuse(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": TEXTS})
    config = DedupConfig(preset="nemo")
    made = perform(StageStep(Dedup(config=config, sources=("a",))), work, downstream=()).manifest
    table = shards.read(work.root, (SCORES, made.shards[0].files[SCORES]))
    said = json.loads(table.schema.field("bands").metadata[b"signature"])
    assert said == dict(made.config["scoring"])
    assert {"shingle": "characters", "ngram": 24, "bands": 20, "rows": 13, "seed": 1}.items() <= said.items()
    check_settings(table.schema, config, "here")
    again = shards.write(work.root, SCORES, table.take([0, 1, 2]))
    assert again == made.shards[0].files[SCORES]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ngram": 6}, r"here: its signatures were made with ngram = 5 \(now 6\), so"),
        ({"seed": 2}, r"seed = 1 \(now 2\)"),
        (
            {"preset": "nemo"},
            r"shingle = 'words' \(now 'characters'\), ngram = 5 \(now 24\), bands = 16 \(now 20\), rows = 7 \(now 13\)",
        ),
        ({"bands": 8, "rows": 14}, r"bands = 16 \(now 8\), rows = 7 \(now 14\)"),
    ],
)
def test_signatures_of_other_settings_are_refused_with_both_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StaleInput, match=message):
        check_settings(schema_of(DedupConfig()), DedupConfig(**changes), "here")


def test_another_unicode_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = schema_of(DedupConfig())
    monkeypatch.setattr("unicodedata.unidata_version", "1.1.5")
    with pytest.raises(StaleInput, match=r"unicode = '[\d.]+' \(now '1\.1\.5'\)"):
        check_settings(stored, DedupConfig(), "here")


def test_what_says_nothing_of_its_making_is_no_signature() -> None:
    stored = schema_of(DedupConfig())
    at = stored.get_field_index("bands")
    field = stored.field("bands")
    for bad in (
        stored.remove(at),
        stored.set(at, field.remove_metadata()),
        stored.set(at, field.with_metadata({"signature": "no JSON"})),
        stored.set(at, field.with_metadata({"signature": "{}"})),
        stored.set(at, field.with_metadata({"signature": "3"})),
    ):
        with pytest.raises(CorruptFile, match="holds no signatures that say how they were made"):
            check_settings(bad, DedupConfig(), "here")
    with pytest.raises(CorruptFile, match="holds no signatures of 16 bands"):
        check_settings(stored.set(at, field.with_type(pa.binary(8))), DedupConfig(), "here")


def test_stored_signatures_of_another_ngram_are_refused(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": TEXTS})
    stage = Dedup(config=DedupConfig(), sources=("a",))
    made = perform(StageStep(stage), work, downstream=()).manifest
    other = dataclasses.replace(stage, config=DedupConfig(ngram=4))
    named = (SCORES, made.shards[0].files[SCORES])
    with pytest.raises(StaleInput, match=r"a/0\.parquet: its signatures were made with ngram = 5 \(now 4\)"):
        other.resolve([(views(work.root, work.before)[0], named)], work)
