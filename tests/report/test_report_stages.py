"""The report over what the stages themselves publish, so that the names it looks for are the names they use."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.stages.dedup.test_looser import NEW, OLD
from tokenmill.pipeline.base.manifest import Counts, Manifest, Shard
from tokenmill.pipeline.corpus import so_far
from tokenmill.pipeline.report import settings, write
from tokenmill.pipeline.report.choose import choose
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.step import StageStep, Work, perform

SENTENCES = (
    "The harbour was quiet that morning and the boats lay close to the wall with their sails tied down.",
    "Nobody had told the keeper of the light that a ship would come in before the end of the week.",
    "He went up the stairs with a lamp in his hand and looked for a long time at the grey water.",
    "There was a letter on the table, and it had been there for three days without being opened.",
)
LONG = "\n".join(f"{sentence} It was day {day} of the month." for day in range(8) for sentence in SENTENCES)
GERMAN = "Der Hafen lag an jenem Morgen still, und die Boote waren dicht an der Mauer festgemacht. " * 6


@pytest.fixture
def built(make_corpus: Callable[..., Work]) -> Work:
    work = make_corpus({"a/0": [LONG, LONG, LONG.replace("day 7 of", ""), GERMAN], "b/0": ["Too short.", LONG[::-1]]})
    stages: tuple[Stage, ...] = (
        Language(config=LanguageConfig(keep=("en",), threshold=0.5)),
        Dedup(config=DedupConfig(), sources=("a", "b")),
        Quality(config=QualityConfig(recipe="docs@1")),
    )
    for stage in stages:
        done = perform(StageStep(stage), work, downstream=())
        work = Work(root=work.root, before=(*work.before, done.manifest), executor=work.executor)
    return work


def test_every_threshold_is_drawn_over_its_score(built: Work) -> None:
    write(so_far(built.root))
    page = (built.root / "report.html").read_text()
    thresholds = built.before[-1].config["deciding"]["thresholds"]
    assert len(thresholds) > 10
    for setting in thresholds:
        assert f'id="rule-quality.{setting}"' in page
    assert page.count('class="mark"') == 1 + len(thresholds)
    # A reason leads to its samples, where there are any.
    dropped = {f"{made.stage}: {reason}" for made in built.before[1:] for reason in made.counts.dropped}
    assert dropped <= set(re.findall('data-reason="([^"]+)"', page)) <= {*dropped, "kept"}


def test_removed_documents_stand_beside_what_stayed(built: Work) -> None:
    chosen = choose(so_far(built.root)).duplicates
    dedup = built.before[2]
    assert dedup.counts.dropped == {"exact_duplicate": 1, "near_duplicate": 1}
    assert chosen is not None
    assert chosen.clusters() == {3: 1}
    assert [pair.jaccard >= 0.8 for pair in chosen.doubtful] == [True]
    assert sum(chosen.clusters().values()) == dedup.facts["clusters"]
    write(so_far(built.root))
    assert re.search("Removed, Jaccard similarity 0\\.[89]", (built.root / "report.html").read_text())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LanguageConfig(threshold=0, check_script=False), "Documents in every language were kept."),
        (LanguageConfig(threshold=0, keep=("en", "de")), "Documents in de, en were kept. A document is labelled und if"),
        (LanguageConfig(threshold=0, thresholds={"de": 0.75}), "if the score of their language is at least 0, de: 0.75."),
        (LanguageConfig(threshold=0.65), "if the score of their language is at least 0.65."),
        (LanguageConfig(second="cld2"), "CLD2 names a language that the model lacks, or does not confirm it and its fit"),
    ],
)
def test_language_in_words(make_corpus: Callable[..., Work], config: LanguageConfig, said: str) -> None:
    work = make_corpus({"a/0": ["It is a text."]})
    perform(StageStep(Language(config=config)), work, downstream=())
    assert dict(settings.in_words(so_far(work.root)))["language"].count(said) == 1


def test_what_was_done_is_said_in_words(built: Work) -> None:
    said = dict(settings.in_words(so_far(built.root)))
    assert said["collect"] == "Text was collected from the sources a, b."
    assert said["language"].startswith("Documents in en were kept if the score of their language is at least 0.5")
    assert "5-grams of words, normalised by plain@1, have a Jaccard similarity of at least 0.8" in said["dedup"]
    assert "docs@1 is a demonstration recipe, made for software documentation." in said["quality"]


@pytest.mark.parametrize(
    ("names", "kinds", "said"),
    [
        ([], {}, "No text was collected."),
        (["a"], {}, "Text was collected from the source a."),
        (
            ["installed"],
            {"installed": "installed"},
            "Text was collected from the documentation that is installed on the machine.",
        ),
        (
            ["b", "i", "a"],
            {"i": "installed", "a": "files"},
            "from the sources b, a and from the documentation that is installed",
        ),
        ([f"s{one}" for one in range(9)], {}, "from the sources s0, s1, s2, s3, s4, s5 and 3 more."),
    ],
)
def test_where_text_is_from_in_words(names: list[str], kinds: dict[str, str], said: str) -> None:
    shards = tuple(Shard(name=f"{name}/0", files={}, counts=Counts()) for name in names)
    config = {"sources": [{"name": name, "kind": kind} for name, kind in kinds.items()]}
    assert said in settings._collected(Manifest(stage="collect", version=1, config=config, inputs={}, shards=shards))


def test_revisions_are_counted_and_marked(make_corpus: Callable[..., Work]) -> None:
    for revisions, said in ((True, "Of 2 near duplicates, 1 is a revision."), (False, "compared again")):
        work = make_corpus({"a/0": [OLD, NEW, LONG, LONG.replace("day 7 of", "")]})
        perform(StageStep(Dedup(config=DedupConfig(revisions=revisions), sources=("a",))), work, downstream=())
        write(so_far(work.root))
        page = (work.root / "report.html").read_text()
        assert (said in page) == revisions
        assert page.count("Removed as a revision, Jaccard similarity 0.8") == int(revisions)
        assert "reaches it as a revision: compared again with case and operators folded" in page or not revisions
        assert "equal byte for byte" in page
