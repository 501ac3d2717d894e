"""The owner of a corpus folder: which steps there are, in which order, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.folders import folder_of, settings
from tokenmill.pipeline.ask import verify
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import CORPUS, Manifest
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import CONFIG, REPORT, CorpusFolder, around, is_ours, open_corpus, so_far
from tokenmill.pipeline.stages.settings import to_toml
from tokenmill.pipeline.stages.step import StageStep, Work, perform
from tokenmill.pipeline.stages.table import kind_of
from tokenmill.tokenizer.encode import of_corpus

MakeCorpus = Callable[..., Work]
TEXTS = {"a/0": ["The first text of the harbour.", "The second one, on ships."], "b/0": ["Und noch ein Text."]}
ORDER = ("quality", "language")
LAST = ("tokenizer", "pack")
LOOSE = {"stages": ORDER, "language": {"threshold": 0}, "quality": {"recipe": "docs@1"}}


@pytest.fixture
def work(make_corpus: MakeCorpus) -> Work:
    """Two stages in an order of their own."""
    work = make_corpus(TEXTS)
    for name in ORDER:
        done = perform(StageStep(kind_of(name).make(settings(**LOOSE))), work, downstream=())
        work = dataclasses.replace(work, before=(*work.before, done.manifest))
    return work


def publish(work: Work) -> Path:
    """The manifest of the whole, as a build writes it, with a tokenizer and tokens that hold nothing."""
    text = to_toml(settings(**LOOSE)).encode()
    published = {CONFIG: files.write_bytes(work.root / CONFIG, text), REPORT: files.write_bytes(work.root / REPORT, b"")}
    before = list(work.before)
    for name in LAST:
        inputs = {made.stage: made.hash for made in before}
        before.append(manifest.commit(work.root, Manifest(stage=name, version=1, config={}, inputs=inputs)))
    inputs = {made.stage: made.hash for made in before}
    facts = {"steps": [made.stage for made in before]}
    manifest.commit(work.root, Manifest(stage=CORPUS, version=1, config={}, inputs=inputs, files=published, facts=facts))
    return work.root


def names(corpus: CorpusFolder) -> list[str]:
    return [made.stage for made in corpus.steps]


def test_steps_come_in_the_order_in_which_they_ran_finished_or_not(work: Work) -> None:
    unfinished = so_far(work.root)
    assert names(unfinished) == ["collect", *ORDER]
    with pytest.raises(NotBuilt, match="is not finished, so its settings are not settled"):
        _ = unfinished.settings
    corpus = open_corpus(publish(work))
    assert names(corpus) == names(so_far(work.root)) == ["collect", *ORDER, *LAST]
    assert corpus.settings.stages == ORDER
    assert [kind.name for kind, _ in corpus.stages] == list(ORDER)
    assert [made.stage for made in corpus.before("language")] == ["collect", "quality"]
    with pytest.raises(NotBuilt, match="was built without 'dedup'; there: collect, quality, language, tokenizer, pack"):
        corpus.require("dedup")


def test_shards_have_their_source_and_the_tables_of_every_stage(work: Work) -> None:
    first, second = folder_of(work).shards
    assert (first.name, first.source, second.source) == ("a/0", "a", "b")
    assert set(first.tables) == {(stage, kind) for stage in ORDER for kind in ("scores", "verdicts")} | {("quality", "edits")}
    assert first.tables["language", "scores"][0] == "language/scores/a/0.parquet"
    seen = folder_of(work).views(before="language")
    assert seen[0].verdicts is not None
    assert seen[0].verdicts[0] == "quality/verdicts/a/0.parquet"


def test_settings_are_those_of_the_build_or_refused(work: Work) -> None:
    path = publish(work) / CONFIG
    whole = path.read_bytes()
    for change in (whole.replace(b"threshold = 0.0", b"threshold = 0.5"), whole + b"\n", whole[:-1]):
        assert change != whole
        path.write_bytes(change)
        for opened in (open_corpus, so_far):
            with pytest.raises(StaleInput, match=r"config\.toml: was changed after the corpus was built.*tokenmill build FILE"):
                opened(work.root)
    path.unlink()
    with pytest.raises(StaleInput, match=r"config\.toml: is missing"):
        open_corpus(work.root)


def test_a_step_of_other_results_and_a_shard_without_verdicts_are_refused(work: Work) -> None:
    *_, language = work.before
    stale = dataclasses.replace(language, inputs={**language.inputs, "quality": "0" * 64})
    manifest.commit(work.root, stale)
    with pytest.raises(StaleInput, match=f"'language' was made from quality {'0' * 64}"):
        so_far(work.root)
    short = dataclasses.replace(language, shards=language.shards[:1])
    with pytest.raises(StaleInput, match="'language' has no verdicts on shard 'b/0'"):
        _ = folder_of(dataclasses.replace(work, before=(*work.before[:-1], short))).shards
    collect = work.before[0]
    bare = dataclasses.replace(collect, shards=(dataclasses.replace(collect.shards[0], files={}),))
    with pytest.raises(CorruptFile, match="names 0 tables of documents"):
        _ = folder_of(dataclasses.replace(work, before=(bare,))).shards


def test_folders_that_hold_no_corpus(work: Work, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="is no folder"):
        open_corpus(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    for opened in (open_corpus, so_far):
        with pytest.raises(NotBuilt):
            opened(tmp_path / "empty")
    assert not is_ours(tmp_path / "empty")
    assert around(tmp_path / "empty") is None
    with pytest.raises(NotBuilt):
        open_corpus(work.root)


def test_the_last_run_that_can_be_read_is_told(work: Work) -> None:
    assert so_far(work.root).last_run() == {}
    files.write_json(work.root / "runs" / "1.json", {"steps": {"collect": {"seconds": 1.5}}})
    (work.root / "runs" / "2.json").write_text("{")
    assert so_far(work.root).last_run() == {"collect": {"seconds": 1.5}}


def test_steps_of_another_build_are_refused(work: Work) -> None:
    """As a copy that was cut short leaves them: each step fits the others, but the corpus was published with other ones."""
    publish(work)
    *_, language = work.before
    other = dataclasses.replace(language, facts={"other": 1})
    manifest.commit(work.root, other)
    with pytest.raises(StaleInput, match=f"is {other.hash}, but the corpus was published with {language.hash}"):
        open_corpus(work.root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"facts": {"steps": []}}, "which no build makes"),
        ({"facts": {"steps": ["collect", "../x", "tokenizer", "pack"]}}, "which no build makes"),
        ({"facts": {"steps": ["collect", "collect", "tokenizer", "pack"]}}, "which no build makes"),
        ({"files": {}}, "does not name config.toml and report.html"),
    ],
)
def test_a_manifest_that_no_build_writes_is_refused(work: Work, change: dict[str, Any], said: str) -> None:
    publish(work)
    whole = manifest.load(work.root, CORPUS)
    manifest.commit(work.root, dataclasses.replace(whole, **change))
    with pytest.raises(CorruptFile, match=said):
        open_corpus(work.root)
    assert [said in line for line in verify.problems(work.root, Silent(), of_corpus)] == [True]
