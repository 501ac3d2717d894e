"""A rule, its score column, its drop reason and its setting share one stem, in every stage that compares scores."""

from __future__ import annotations

import dataclasses

import pytest

from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language
from tokenmill.pipeline.stages.quality import models
from tokenmill.pipeline.stages.quality.lines import LineRules
from tokenmill.pipeline.stages.quality.recipes import RECIPES
from tokenmill.pipeline.stages.quality.rules import RULES, Rule
from tokenmill.pipeline.stages.quality.settings import QualityConfig, QualityModel, Thresholds
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.quality.statistics import STATISTICS
from tokenmill.pipeline.stages.repeats.decide import EVIDENCE, ONLY_REPEATS
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.repeats.stage import Repeats


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.setting)
def test_a_quality_rule_has_one_stem(rule: Rule) -> None:
    stem = rule.column
    assert rule.setting == f"{'min' if rule.is_minimum else 'max'}_{stem}"
    assert rule.setting in Thresholds.model_fields
    assert stem in STATISTICS
    has_minimum = f"min_{stem}" in Thresholds.model_fields
    assert rule.reason == (f"too_few_{stem}" if rule.is_minimum else f"too_many_{stem}" if has_minimum else stem)


def test_every_setting_is_a_rule_or_a_line_rule_of_the_same_name() -> None:
    line_rules = {field.name for field in dataclasses.fields(LineRules)}
    assert set(Thresholds.model_fields) == {rule.setting for rule in RULES} | line_rules
    assert {rule.column for rule in RULES} == set(STATISTICS)
    assert len({rule.reason for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_quality_limit_has_the_names_of_its_rule(recipe: str) -> None:
    rules = {rule.reason: rule for rule in RULES}
    for reason, limit in Quality(config=QualityConfig(recipe=recipe)).limits({}):
        assert (limit.column, limit.setting, limit.is_minimum) == (
            rules[reason].column,
            rules[reason].setting,
            rules[reason].is_minimum,
        )


def test_the_reason_of_a_model_is_its_column() -> None:
    judges = {"good": QualityModel(path="good.bin", min=0.5), "toxic": QualityModel(path="toxic.bin", max=0.1)}
    explained = {reason: (column, setting) for reason, (column, setting, _) in models.explanations(judges).items()}
    assert explained == {"model_good": ("model_good", "models.good.min"), "model_toxic": ("model_toxic", "models.toxic.max")}
    assert models.deciding(judges) == {"min_model_good": 0.5, "max_model_toxic": 0.1}


def test_the_reason_of_a_language_rule_is_its_column() -> None:
    stage = Language(config=LanguageConfig(thresholds={"de": 0.9}))
    limits = stage.limits({})
    assert all(reason == limit.column and limit.column in stage.scores.names for reason, limit in limits)
    settings = {reason: {limit.setting for name, limit in limits if name == reason} for reason, _ in limits}
    assert settings == {"language_score": {"threshold", "thresholds.de"}, "other_share": {"max_other_share"}}


def test_repeats_has_one_reason_which_no_threshold_on_a_score_gives() -> None:
    assert not hasattr(Repeats, "limits")
    assert Repeats.name in ONLY_REPEATS
    assert {"min_documents", "min_share"} <= set(RepeatsConfig.model_fields)
    assert "documents" in EVIDENCE.names
