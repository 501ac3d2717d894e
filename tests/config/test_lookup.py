"""Settings that are looked up: all are described, examples are valid, and a wrong name says what to write instead."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.flows import presets
from tokenmill.flows.cli.options import pairs
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Config, describe, fit, lookup, toml
from tokenmill.pipeline.config.describe import Setting
from tokenmill.pipeline.stages import settings as settings_of
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.explain import explained
from tokenmill.pipeline.stages.settings import config_type, parse
from tokenmill.pipeline.stages.show import explained as shown

MODEL = config_type(table.STAGES)
ALL = list(describe.settings(MODEL))
WITHOUT_UNIT = {"seed", "learning_rate", "min_learning_rate", "muon_learning_rate", "weight_decay", "clip_norm", "z_loss"}
WITHOUT_UNIT |= {"norm_epsilon", "rope_base"}


def of(name: str, source_kind: str = "") -> Setting:
    (found,) = (one for one in lookup.settings_at(name, MODEL) if one.source_kind == source_kind)
    return found


def test_every_setting_has_a_sentence_a_type_and_its_unit() -> None:
    assert len(ALL) > 120
    for one in ALL:
        assert one.sentence, one.name
        assert one.sentence[0] == one.sentence[0].upper() or one.key in ("attention", "device"), one.name
        assert "value" not in one.kind, f"{one.name}: {one.kind}"
        if one.kind in ("a number", "a whole number") and one.key not in WITHOUT_UNIT:
            assert one.unit, one.name


def test_every_field_of_the_config_is_described_once() -> None:
    for section in describe.tables(MODEL):
        assert len({one.key for one in section.settings}) == len(section.settings)
    for name, inside in (("quality", {"models"}), ("train", set()), ("publish", set()), ("expect", {"source"})):
        section_type: Any = MODEL.model_fields[name].annotation
        assert {one.path[1] for one in describe.tables(MODEL) if one.path[:1] == (name,) and one.path[1:]} == inside
        assert {one.key for one in ALL if one.table == (name,)} == set(section_type.model_fields) - inside


@pytest.mark.parametrize(
    ("name", "accepted", "default"),
    [
        ("quality.min_words", "a whole number of words, at least 0", None),
        ("dedup.threshold", "a number (Jaccard similarity), above 0, at most 1", 0.8),
        ("dedup.fold_case", 'true, false or "initial"', None),
        ("dedup.survivor", 'a list of "source", "quality", "length", "date", "doc_id"', ("source", "length", "doc_id")),
        ("train.weights", "a table of numbers by name", {}),
        ("pack.shard_tokens", "a whole number of tokens, at least 1,000", 100_000_000),
        ("quality.models.NAME.keep_fraction", "a number (share), above 0, at most 1", None),
    ],
)
def test_what_a_setting_accepts(name: str, accepted: str, default: object) -> None:
    assert (of(name).accepted, of(name).default) == (accepted, default)


def test_every_example_is_valid_as_an_argument_and_in_a_file() -> None:
    for one in ALL:
        assert lookup.accepts(one, one.example), one.name
        if one.source_kind:
            read = tomllib.loads("\n".join(lookup.block(one, one.example)))
            parse({"collect": read["collect"]}, where="x")
        line = lookup.as_toml(one, one.example).partition(" in [")[0].removesuffix(" at the top of the file")
        assert len(tomllib.loads(line)) == 1


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("changes", [{}, {"collect.paths": "a", "quality.models.edu": {"path": "e.bin", "min": 0.5}}])
def test_what_is_shown_is_the_config(name: str, changes: Mapping[str, Any]) -> None:
    config = presets.resolve(name, changes, without_input=True)
    text = shown(config)
    assert parse(tomllib.loads(text), where="x", without_input=True) == config
    for one in ALL:
        assert f"{one.key} = " in text
    assert "# Fewest words." in text
    assert "default: 0.8." in text


def test_commented_settings_are_valid_once_the_mark_is_removed() -> None:
    text = shown(presets.resolve("text", {}, without_input=True))
    whole = tomllib.loads(text)
    for line in text.splitlines():
        if line.startswith("#") and line[1:2].isalpha():
            tomllib.loads(line[1:])
    assert whole["quality"]["recipe"] == "fineweb@1"
    assert "#min_words = 50" in text


def test_sources_keep_their_order_and_a_setting_of_a_recipe_is_its_example() -> None:
    sources = [{"kind": "installed"}, {"name": "b", "paths": ["x"]}, {"kind": "dataset", "name": "c", "path": "d"}]
    config = parse({"collect": {"sources": [*sources, {"name": "e", "paths": ["y"]}]}}, where="x")
    again = parse(tomllib.loads(shown(config)), where="y")
    assert [one.name for one in again.collect.all_sources] == ["installed", "b", "c", "e"]
    assert again == config


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("collect.text_field=content", "it belongs to a source: `--text-field content` of `build`, or --set 'collect.sources="),
        ("min_words=80", "it belongs to [quality]: for example --set quality.min_words=80"),
        ("qualty.min_words=80", "did you mean quality? For example --set quality.min_words=80"),
        ("quality=docs@1", "quality is a section; set one of its settings, for example --set quality.recipe=docs@1"),
        ("collect.path=x", "did you mean paths?"),
        (
            "dedup.exact=byte",
            'must be one of "bytes", "white_space", "off" (given: \'byte\'); did you mean --set dedup.exact=bytes?',
        ),
        ("dedup.fold_case=initail", "did you mean --set dedup.fold_case=initial?"),
        (
            "quality.min_words=many",
            "must be a whole number of words, at least 0 (given: 'many'); for example --set quality.min",
        ),
        ('collect.sources=[{ name = "a", path = "x" }]', "unknown setting collect.sources.0.path; did you mean paths?"),
        ('collect.sources=[{ paths = ["x"] }]', "collect.sources.0.name is missing; for example --set 'collect.sources="),
        ('collect.sources=[{ name = "a", paths = ["x"], kind = "filez" }]', "no such kind of source; did you mean files?"),
        ('collect.sources=[{ name = "a", paths = ["x"], split = "x" }]', 'belongs to a source with kind = "dataset"'),
        ("threshold=0.7", "[language] and [dedup]"),
        ("threshold=0.7", "for example --set language.threshold=0.7, or --set dedup.threshold=0.7"),
        ("models.edu.path=x", "it stands in [quality]"),
        ('stages=["qualty"]', 'did you mean "quality"?'),
        ("quality.models.edu.mni=0.5", "did you mean min? For example --set quality.models.edu.min=0.5"),
        ("xyzzy=1", "known here: collect, "),
    ],
)
def test_a_wrong_name_says_what_to_write(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        presets.resolve("text", {"collect.paths": "x", **pairs([setting])})
    assert message in str(raised.value)


@settings(max_examples=60, deadline=None)
@given(
    place=st.sampled_from(["", "collect.", "quality.", "quality.models.a.", "train.", "nowhere.", "collect.sources."]),
    name=st.text(st.characters(exclude_characters="="), min_size=1, max_size=12) | st.sampled_from([one.key for one in ALL]),
    value=st.sampled_from(["1", "x", "[]", "{}", "[{}]", '[{kind="dataset"}]', "{a=1}", "true", "0.5", "''"]),
)
def test_any_wrong_setting_is_an_error_of_ours(place: str, name: str, value: str) -> None:
    with contextlib.suppress(ConfigError):
        presets.resolve("text", {"collect.paths": "x", f"{place}{name}": value})


def test_kind_of_a_source_may_be_left_out() -> None:
    made = parse({"collect": {"sources": [{"name": "a", "paths": ["x"]}]}}, where="x")
    assert made.collect.sources[0].kind == "files"


def test_names_are_found_by_their_last_part_and_by_spelling() -> None:
    assert [one.name for one in explained("quality.min_words").settings] == ["quality.min_words"]
    assert [one.name for one in explained("min_words").settings] == ["quality.min_words"]
    assert [one.source_kind for one in explained("collect.sources.0.text_field").settings] == ["files", "dataset"]
    assert explained("quality.models.edu.min").settings[0].key == "min"
    assert [one.path for one in explained("quality").tables] == [("quality",), ("quality", "models", "NAME")]
    assert explained(None).tables[0].path == ()
    for wrong, near in {
        "quality.min_wrods": "quality.min_words",
        "collect.text_field": "collect.sources.text_field",
        "threshold": "language.threshold or dedup.threshold",
        "qualty": "quality",
        "": "lists the sections",
        "xyzzy": "lists the sections",
    }.items():
        with pytest.raises(ConfigError, match=near):
            explained(wrong)


SCALARS = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text()


@settings(max_examples=60, deadline=None)
@given(st.recursive(SCALARS, lambda of: st.lists(of, max_size=3), max_leaves=5))
def test_values_are_read_back_as_they_were(value: Any) -> None:
    assert tomllib.loads(f"value = {toml.value(value)}")["value"] == value


def test_arguments_are_quoted_for_a_shell() -> None:
    assert toml.argument("dedup.threshold", 0.7) == "--set dedup.threshold=0.7"
    assert toml.argument("tokenizer.vocabulary", 32_768) == "--set tokenizer.vocabulary=32768"
    assert toml.argument("collect.paths", ["it's"]) == "--set 'collect.paths=[\"it'\\''s\"]'"
    assert toml.argument("language.model", "true") == "--set 'language.model=\"true\"'"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"web": 2}, r"no weight for books: .* --set 'train.weights=\{ web = 2.0, books = 1.0 \}' \(0 leaves a source out\)"),
        ({"web": 1, "bokos": 1}, "no source 'bokos'; did you mean books?"),
        ({"web": 0, "books": 0}, "all weights are 0"),
    ],
)
def test_weights_fit_the_sources(weights: Mapping[str, float], message: str) -> None:
    sources = [{"name": "web", "paths": ["a"]}, {"name": "books", "paths": ["b"]}]
    config = parse({"collect": {"sources": sources}, "train": {"weights": weights}}, where="x")
    with pytest.raises(ConfigError, match=message):
        fit.require_weights(config)
    whole = parse({"collect": {"sources": sources}, "train": {"weights": {"web": 1, "books": 0}}}, where="x")
    fit.require_weights(whole)
    assert json.loads(json.dumps(settings_of.plain(whole)))["train"]["weights"] == {"web": 1.0, "books": 0.0}
    assert isinstance(whole, Config)


@pytest.mark.parametrize("name", ["train.weights.web", "expect.language.en", "expect.source.web.language.en"])
def test_what_stands_under_a_name_of_the_users_is_explained(name: str) -> None:
    (found,) = explained(name).settings
    assert found.key in name
    assert found.kind.startswith("a table")


def test_an_expectation_is_a_comparison() -> None:
    assert of("expect.tokens").accepted == "a comparison with a number, in quotes"
