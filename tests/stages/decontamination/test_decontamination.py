"""The stage: planted items are found and common phrases are not; and what it shares with every other stage."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.stages.decontamination import planted
from tests.stages.decontamination.oracle import words
from tokenmill.pipeline.ask.replay import Change, replay
from tokenmill.pipeline.base import executor, files, manifest, schema, shards
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.decontamination.check import problems
from tokenmill.pipeline.stages.decontamination.evidence import ITEMS
from tokenmill.pipeline.stages.decontamination.index import INDEX
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig
from tokenmill.pipeline.stages.decontamination.stage import Decontamination
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

MakeCorpus = Callable[..., Work]
QUESTIONS = [item["question"] for item in planted.ITEMS]


@pytest.fixture(scope="module")
def quiz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.write(tmp_path_factory.mktemp("quiz"))


def config_of(path: Path, **changes: Any) -> DecontaminationConfig:
    return DecontaminationConfig.model_validate({"sets": {"quiz": {"path": str(path)}}, **changes})


def clean(work: Work, config: DecontaminationConfig) -> Done:
    return perform(StageStep(Decontamination(config=config)), work, downstream=())


def left(work: Work, made: Manifest) -> list[str]:
    return [text for view in views(work.root, [*work.before, made]) for text in view.read().table["text"].to_pylist()]


def wrong(work: Work, made: Manifest) -> list[str]:
    after = views(work.root, [*work.before, made])
    finished = Finished(root=work.root, manifest=made, before=views(work.root, work.before), after=after, most=None)
    return list(problems(finished))


def items(work: Work, made: Manifest) -> dict[str, dict[str, Any]]:
    return {row["item"]: row for row in shards.read(work.root, (ITEMS, made.files[ITEMS])).to_pylist()}


def tree(root: Path) -> dict[str, bytes]:
    """What the stage has published."""
    folder = root / "decontamination"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("way", planted.WAYS)
def test_planted_items_are_found_in_every_guise(way: str, quiz: Path) -> None:
    stage = Decontamination(config=config_of(quiz))
    texts = [planted.WAYS[way](question) for question in QUESTIONS]
    scores = stage.score(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
    for item, text, hits in zip(planted.ITEMS, texts, scores["hits"].to_pylist(), strict=True):
        (best,) = [hit for hit in hits if hit["item"] == item["id"] and hit["share"] > 0.99]
        passage = text.encode()[best["start"] : best["end"]].decode()
        whole = item["question"] if way == "embedded" else text
        assert [word for word, _, _ in words(passage)] == [word for word, _, _ in words(whole)], way
        assert best["start"] == (text.encode().index(whole.encode()) if way != "quoted" else 0)


@pytest.mark.parametrize("way", planted.WAYS)
def test_planted_items_are_dropped_and_common_phrases_are_not(way: str, quiz: Path, make_corpus: MakeCorpus) -> None:
    texts = [planted.WAYS[way](question) for question in QUESTIONS]
    work = make_corpus({"a/0": [*texts, *planted.COMMON], "a/1": [planted.embedded(text) for text in planted.COMMON]})
    done = clean(work, config_of(quiz))
    assert left(work, done.manifest) == [*planted.COMMON, *(planted.embedded(text) for text in planted.COMMON)]
    assert done.manifest.counts.dropped == {"contaminated": len(texts)}
    facts = {"items": len(texts), "sought": len(texts), "common": 0, "found": len(texts), "documents": len(texts)}
    assert done.manifest.facts == {"quiz": facts}
    assert wrong(work, done.manifest) == []


def test_cutting_takes_the_passage_and_nothing_else(quiz: Path, make_corpus: MakeCorpus) -> None:
    before, behind = "He opened the book.\n\n", "\n\nAnd then he closed it again, for the night was cold and long.\n"
    texts = [f"{before}{question}{behind}" for question in QUESTIONS]
    work = make_corpus({"a/0": [*texts, f"{before}{QUESTIONS[0]}\n\n{QUESTIONS[1]}{behind}", QUESTIONS[2]]})
    done = clean(work, config_of(quiz, action="cut", max_cut_share=0.9))
    assert left(work, done.manifest) == [f"{before}{behind[2:]}"] * (len(texts) + 1)
    assert done.manifest.counts.dropped == {"contaminated": 1}
    assert wrong(work, done.manifest) == []
    whole = clean(work, config_of(quiz, action="cut", max_cut_share=1.0)).manifest
    assert whole.counts.dropped == {"contaminated": 1}, "of the last document nothing would be left"


def test_choices_are_optional_and_numbers_can_be_ignored(quiz: Path, make_corpus: MakeCorpus) -> None:
    ferry = planted.ITEMS[0]
    with_choices = "\n".join(
        [ferry["question"], *(f"({at}) {choice}" for at, choice in zip("ABC", ferry["choices"], strict=True))]
    )
    other = ferry["question"].replace("45", "30").replace("6:15", "7:20")
    work = make_corpus({"a/0": [with_choices, ferry["question"], other]})
    assert left(work, clean(work, config_of(quiz, threshold=0.9)).manifest) == [other]
    assert left(work, clean(work, config_of(quiz, threshold=0.9, numbers="ignored")).manifest) == []
    alone = {"sets": {"quiz": {"path": str(quiz), "fields": ["question", "choices"], "optional": []}}}
    assert left(work, clean(work, config_of(quiz, **alone, threshold=0.9)).manifest) == [ferry["question"], other]


def test_a_short_item_in_many_documents_is_a_common_phrase(quiz: Path, make_corpus: MakeCorpus) -> None:
    short, long = QUESTIONS[1], QUESTIONS[0]
    work = make_corpus({"a/0": [f"{short} asked {number}." for number in range(3)], "b/0": [short, long, long, long, long]})
    made = clean(work, config_of(quiz, common_documents=3)).manifest
    assert len(left(work, made)) == 4
    told = items(work, made)
    assert (told["short"]["common"], told["short"]["documents"], told["ferry"]["documents"]) == (True, 0, 4)
    assert told["short"]["share"] == 1
    assert told["short"]["doc_id"] == schema.doc_id("a", "0:0")
    assert left(work, clean(work, config_of(quiz, common_documents=4)).manifest) == []
    assert len(left(work, clean(work, config_of(quiz, common_documents=4, ignored_sets=["quiz"])).manifest)) == 8


def mixed(documents: int, seed: int = 3) -> dict[str, list[str]]:
    """Documents with and without items, in three shards."""
    draw = np.random.default_rng(seed)
    texts = []
    for number in range(documents):
        parts = [" ".join(f"word{draw.integers(50)}" for _ in range(30)) for _ in range(3)]
        if number % 3 == 0:
            words = QUESTIONS[number % len(QUESTIONS)].split(" ")
            parts[1] = " ".join(words[: max(1, len(words) - number % 4)])
        texts.append("\n".join(parts))
    return {f"{'ab'[number % 2]}/{number // 2}": texts[number::3] for number in (0, 2, 1)}


def test_the_same_bytes_for_any_number_of_workers(quiz: Path, make_corpus: MakeCorpus) -> None:
    work, config = make_corpus(mixed(45)), config_of(quiz, action="cut")
    done = clean(work, config)
    counts = done.manifest.counts
    assert counts.read == counts.kept + sum(counts.dropped.values()) == 45
    assert wrong(work, done.manifest) == []
    alone = tree(work.root)
    manifest.withdraw(work.root, ["decontamination"])
    shutil.rmtree(work.root / ".state")
    with executor.local(2) as pool:
        assert clean(dataclasses.replace(work, executor=pool), config).recomputed_shards == 3
    assert tree(work.root) == alone


def test_a_changed_threshold_reads_no_text_again(quiz: Path, make_corpus: MakeCorpus) -> None:
    work = make_corpus(mixed(45))
    assert clean(work, config_of(quiz)).scored_rows == 45
    again = clean(work, config_of(quiz, threshold=0.55, min_item_words=4, action="cut"))
    assert again.scored_rows == 0
    anew = make_corpus(mixed(45), folder="anew")
    clean(anew, config_of(quiz, threshold=0.55, min_item_words=4, action="cut"))
    assert tree(work.root) == tree(anew.root)


QUALITY = Quality(config=QualityConfig(recipe="docs@1", min_words=60, min_stop_words=0))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"threshold": 0.55, "min_item_words": 4}),
        ({}, {"min_item_words": 9}),
        ({"common_documents": 1}, {"common_documents": 4}),
        ({"common_documents": 1}, {"common_words": 4}),
        ({}, {"ignored_sets": ["quiz"]}),
        ({"action": "cut"}, {"threshold": 0.55}),
        ({"action": "cut"}, {"max_cut_share": 0.1}),
        ({}, {"action": "cut"}),
        ({"action": "cut"}, {"action": "drop"}),
    ],
    ids=str,
)
def test_other_thresholds_give_the_numbers_of_a_build(
    before: dict[str, Any], after: dict[str, Any], quiz: Path, make_corpus: MakeCorpus
) -> None:
    texts = mixed(60)
    then, now = (Decontamination(config=config_of(quiz, **{**before, **changes})) for changes in ({}, after))
    made: list[tuple[Manifest, ...]] = []
    for number, stage in enumerate((then, now)):
        work = make_corpus(texts, folder=str(number))
        first = perform(StageStep(stage), work, downstream=()).manifest
        work = dataclasses.replace(work, before=(*work.before, first))
        made.append((first, perform(StageStep(QUALITY), work, downstream=()).manifest))
    root = work.root.with_name("0")
    cleaned, judged = replay(root, [len(rows) for rows in texts.values()], made[0], {then.name: Change(before=then, after=now)})
    assert (cleaned.kept, dict(cleaned.dropped)) == (made[1][0].counts.kept, made[1][0].counts.dropped)
    assert (made[1][0].shards, made[1][0].facts) != (made[0][0].shards, made[0][0].facts)
    # A text that changes, and one that comes back, has no scores at the next stage. It is counted, not guessed.
    assert judged.read == made[1][1].counts.read
    assert judged.kept <= made[1][1].counts.kept <= judged.kept + judged.not_scored
    assert judged.not_scored == _new_texts(work.root.with_name("0"), work.root, made)


def _new_texts(old: Path, new: Path, made: list[tuple[Manifest, ...]]) -> int:
    """How many texts the stage leaves in the folder `new` that it does not leave in `old`."""
    found = []
    for root, (first, _) in zip((old, new), made, strict=True):
        collected = manifest.load(root, "collect")
        alive = [view.read() for view in views(root, [collected, first])]
        found.append({(row["doc_id"], row["text"]) for one in alive for row in one.table.to_pylist()})
    return len(found[1] - found[0])


def test_after_a_fault_the_same_bytes(quiz: Path, make_corpus: MakeCorpus) -> None:
    config = config_of(quiz, action="cut")
    whole, broken = make_corpus(mixed(12), folder="whole"), make_corpus(mixed(12), folder="broken")
    files.inject(None)
    clean(whole, config)
    for at in random.Random(0).sample(range(files.operations()), 6):
        shutil.rmtree(broken.root / "decontamination", ignore_errors=True)
        shutil.rmtree(broken.root / ".state", ignore_errors=True)
        files.inject(Fault(at=at, kind="eio"))
        try:
            with pytest.raises(OSError, match="Input/output"):
                clean(broken, config)
        finally:
            files.inject(None)
        clean(broken, config)
        assert tree(broken.root) == tree(whole.root), f"another result after a fault at operation {at}"


@pytest.mark.parametrize("change", ["items", "index", "verdicts", "scores", "edits"])
def test_wrong_evidence_is_found(change: str, quiz: Path, make_corpus: MakeCorpus) -> None:
    work = make_corpus(mixed(12))
    made = clean(work, config_of(quiz, action="cut")).manifest
    assert wrong(work, made) == []
    name = {"items": ITEMS, "index": INDEX}.get(change, f"decontamination/{change}/a/0.parquet")
    holder: Any = made if name in made.files else next(shard for shard in made.shards if name in shard.files)
    rows = shards.read(work.root, (name, holder.files[name])).to_pylist()
    schema_of = shards.read(work.root, (name, holder.files[name])).schema
    if change == "items":
        rows[0]["documents"] += 1
    elif change == "index":
        rows[0]["ngrams"][0] += 1
    elif change == "verdicts":
        rows[0]["share"] = 0.99
    elif change == "scores":
        rows[0]["hits"][0]["start"] += 1
    else:
        rows[0]["start"] += 1
    entry = shards.write(work.root, name, pa.Table.from_pylist(rows, schema=schema_of))
    changed = dataclasses.replace(holder, files={**holder.files, name: entry})
    shown = tuple(changed if shard is holder else shard for shard in made.shards)
    found = wrong(work, changed if holder is made else dataclasses.replace(made, shards=shown))
    assert found
    assert all(line.startswith(str(work.root / "decontamination")) for line in found)


def test_settings_that_contradict_are_refused(quiz: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs evaluation sets"):
        parse({"collect": {"paths": ["x"]}, "stages": ["decontamination"]}, where="a test")
    with pytest.raises(ValueError, match=r"ignored_sets names 'other', which is no set; known: quiz"):
        config_of(quiz, ignored_sets=["other"])
    with pytest.raises(ConfigError, match="there is no such file"):
        Decontamination(config=config_of(quiz.with_name("absent.jsonl"))).prepare()
