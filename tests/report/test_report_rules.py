"""What the report says of each rule, against plain counts and against `whatif`: failures, curves, borders, commands."""

from __future__ import annotations

import html
import random
import re
import shlex
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from tests.folders import folder_of
from tests.report.pages import MakeCorpus, decide, render
from tokenmill.pipeline.ask.whatif import what_if
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report.cards import Card, cards
from tokenmill.pipeline.report.choose import choose
from tokenmill.pipeline.report.curves import Sole, corners
from tokenmill.pipeline.report.histograms import GRIDS
from tokenmill.pipeline.report.measure import survey
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.step import Work

ROWS = 160
CONFIG = {"recipe": "docs@1", "max_words": 300}
STAGE = Quality(config=QualityConfig(**CONFIG))  # type: ignore[arg-type]


def scores(seed: int) -> dict[str, pa.Array]:
    """Values on both sides of the thresholds, many of them equal to one. Most rows pass most rules."""
    chosen = random.Random(seed)
    made: dict[str, pa.Array] = {}
    limits = {limit.column: limit for _, limit in STAGE.limits({}) if limit.setting != "max_words"}
    for field in STAGE.scores:
        limit = limits[field.name]
        top = max(2 * limit.threshold, 4.0) if limit.threshold > 1 else 1.0
        good = [limit.threshold, (limit.threshold + top) / 2 if limit.is_minimum else limit.threshold / 2]
        values = [chosen.choice(good) if chosen.random() < 0.9 else chosen.random() * top for _ in range(ROWS)]
        whole = pa.types.is_integer(field.type)
        made[field.name] = pa.array([int(value) if whole else value for value in values], field.type)
    return made


def quality_corpus(make_corpus: MakeCorpus) -> tuple[Work, CorpusFolder, dict[str, dict[str, pa.Array]]]:
    """Two shards whose scores are drawn, decided by the stage itself."""
    texts = {name: [f"{name} {row} " + "x" * (row % 7) for row in range(ROWS)] for name in ("a/0", "b/0")}
    work = make_corpus(texts)
    of_shard = {"a/0": scores(1), "b/0": scores(2)}
    reasons = {name: STAGE.decide(pa.record_batch(columns))["reason"].to_pylist() for name, columns in of_shard.items()}
    config = {"deciding": dict(STAGE.deciding), "scoring": dict(STAGE.scoring)}
    work = decide(
        work,
        "quality",
        lambda name, row: reasons[name][row],
        scores=lambda name: of_shard[name],
        config=config,
        version=STAGE.version,
    )
    return work, folder_of(work, stages=["quality"], quality=CONFIG), of_shard


def shown(corpus: CorpusFolder) -> list[Card]:
    chosen = choose(corpus)
    found = survey(corpus, chosen.wanted(), chosen.compared(), InProcess())
    kept = {made.stage: (made.counts.kept, made.counts.bytes_kept) for made in corpus.deciding}
    return cards(found, chosen.borders, kept, 2_000)


def plain_failures(of_shard: Mapping[str, Mapping[str, pa.Array]]) -> list[list[str]]:
    """For each row of all shards, the settings that it fails, in the order of the rules."""
    found = []
    for columns in of_shard.values():
        plain = {name: column.to_pylist() for name, column in columns.items()}
        for row in range(ROWS):
            failed = []
            for _, limit in STAGE.limits({}):
                value = plain[limit.column][row]
                if value < limit.threshold if limit.setting.startswith("min") else value > limit.threshold:
                    failed.append(limit.setting)
            found.append(failed)
    return found


def test_failures_are_plain_counts_and_curves_are_what_whatif_says(make_corpus: MakeCorpus) -> None:
    _, corpus, of_shard = quality_corpus(make_corpus)
    failures = plain_failures(of_shard)
    proposed = 0
    for card in shown(corpus):
        setting = card.name.removeprefix("quality.")
        assert card.tally.fails == sum(setting in failed for failed in failures), setting
        assert card.tally.first == sum(failed[:1] == [setting] for failed in failures), setting
        assert card.tally.only == sum(failed == [setting] for failed in failures), setting
        assert card.tally.concerned == 2 * ROWS
        for option in card.options:
            proposed += not option.now
            answer = what_if(corpus, {card.name: option.value.replace(",", "")}, samples=0)
            assert answer["documents"] == {
                "before": option.documents - option.change,
                "after": option.documents,
                "unknown": 0,
            }, (card.name, option.value)
    assert proposed > 20


def test_every_command_can_be_copied_and_answered(make_corpus: MakeCorpus) -> None:
    work, corpus, _ = quality_corpus(make_corpus)
    source, _ = render(work, stages=["quality"], quality=CONFIG)
    written = re.findall(r'<div class="command"><code>(.*?)</code></div>', source)
    assert len(written) == source.count('<article class="card"') == len(STAGE.limits({}))
    for command in written:
        words = shlex.split(html.unescape(re.sub("<[^>]*>", "", command)))
        assert words[:4] == ["tokenmill", "whatif", ".", "--set"]
        name, _, value = words[4].partition("=")
        assert what_if(corpus, {name: value}, samples=0)["settings"].keys() >= {name}


def test_borders_are_the_nearest_and_those_come_first_that_only_this_rule_drops(make_corpus: MakeCorpus) -> None:
    _, corpus, of_shard = quality_corpus(make_corpus)
    failures = plain_failures(of_shard)
    for card in shown(corpus):
        limit = card.tally.criterion.limit
        assert limit is not None
        values = [value for columns in of_shard.values() for value in columns[limit.column].to_pylist()]
        setting = card.name.removeprefix("quality.")
        for dropped, side in ((True, card.dropped), (False, card.kept)):
            rows = [row for row, failed in enumerate(failures) if (setting in failed if dropped else not failed)]
            expected = sorted((len(failures[row]) > dropped, abs(values[row] - limit.threshold)) for row in rows)[:3]
            found = [(one.others > 0, abs(float(one.score.replace(",", "")) - limit.threshold)) for one in side]
            assert [one[0] for one in found] == [one[0] for one in expected], setting
            assert [one[1] for one in found] == pytest.approx([one[1] for one in expected], abs=1e-4), setting


@pytest.mark.parametrize("least", [True, False])
def test_a_curve_is_exact_at_every_edge(least: bool) -> None:
    chosen = random.Random(int(least))
    fractions = [chosen.choice([0.0, 0.1, 0.3, 1.0, chosen.random()]) for _ in range(300)]
    counts = [chosen.choice([0, 1, 40, 41, 50, chosen.randint(0, 3_000_000)]) for _ in range(300)]
    for values, kind in ((fractions, np.float64), (counts, np.int32)):
        sole = Sole(least=least)
        sizes = np.arange(300, dtype=np.int64)
        for part in (slice(0, 100), slice(100, 300)):
            sole.add(np.array(values[part], dtype=kind), sizes[part])
        for name, grid in GRIDS.items():
            if grid.whole != (kind is np.int32):
                continue
            documents, bytes_ = sole.kept(name)
            for at, edge in enumerate(grid.edges):
                rows = [row for row, value in enumerate(values) if (value >= edge if least else value <= edge)]
                assert (documents[at], bytes_[at]) == (len(rows), sum(rows)), (name, edge)


def test_proposals_make_the_difference_that_was_asked_for() -> None:
    sole = Sole(least=True)
    sole.add(np.arange(1, 101, dtype=np.int32), np.ones(100, dtype=np.int64))
    found = sole.proposals("counts", 50.0, 51, low=0.0, high=80.0)
    assert [(one.value, one.documents) for one in found] == [(36.0, 65), (45.0, 56), (56.0, 45), (63.0, 38)]
    assert list(corners([0, 1, 2, 3], [5, 5, 5, 4])) == [(0, 5), (2, 5), (3, 4)]


def test_a_share_of_the_documents_is_judged_by_its_cut_and_ties_by_their_verdicts(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": [f"text {row}" for row in range(6)]})
    model = {"model_edu": pa.array([0.1, 0.5, 0.5, 0.9, 0.95, 0.2])}
    reasons = ["model_edu", "model_edu", "", "", "", "model_edu"]
    config = {
        "scoring": {"models": {"edu": {"label": "__label__good", "sha256": "0" * 64}}},
        "deciding": {"thresholds": {}, "models": {"keep_fraction_model_edu": 0.5}},
    }
    facts = {"model_edu": {"candidates": 6, "kept": 3, "cut": 0.5}}
    work = decide(work, "quality", lambda _, row: reasons[row], scores=lambda _: model, config=config, facts=facts)
    _, page = render(work)
    assert "quality.models.edu.keep_fraction = 0.5" in page.words
    assert "3 of 6 documents fail it, 3 fail it first, 3 fail only it" in page.words
    assert "--set quality.models.edu.keep_fraction=0.55" in page.words
    facts = {"model_edu": {"candidates": 0, "kept": 0, "cut": None}}
    nothing = decide(
        make_corpus({"a/0": ["x"]}, folder="none"),
        "quality",
        lambda *_: "model_edu",
        scores=lambda _: {"model_edu": pa.array([0.1])},
        config=config,
        facts=facts,
    )
    assert "1 of 1 documents fail it" in render(nothing)[1].words


def test_languages_have_a_card_for_what_is_kept_and_one_for_each_threshold(make_corpus: MakeCorpus) -> None:
    labels = ["en", "en", "de", "fr", "de"]
    values = [0.9, 0.3, 0.6, 0.9, 0.9]
    reasons = ["", "language_score", "language_score", "language", ""]
    columns = {"language": pa.array(labels), "language_score": pa.array(values)}
    config = {"deciding": {"keep": ["de", "en"], "threshold": 0.5, "thresholds": {"de": 0.75}}}
    work = decide(
        make_corpus({"a/0": ["text"] * 5}), "language", lambda _, row: reasons[row], scores=lambda _: columns, config=config
    )
    _, page = render(work)
    assert 'language.keep = ["de", "en"] # The language of the text, as the model labels it. 1 of 5' in page.words
    assert "language.threshold = 0.5 # How sure the model is of the language that it names, from 0 to 1. 1 of 5" in page.words
    assert "1 fail only it; 2 are not compared." in page.words
    assert (
        "language.thresholds.de = 0.75 # How sure the model is of the language that it names, from 0 to 1. 1 of 5" in page.words
    )
    assert """--set 'language.keep=["de", "en", "fr"]'""" in page.words
