"""A corpus stays readable while the next one is built, and what is forgotten stays forgotten in every version."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

import tokenmill as tm
from tests.folders import smallest, twin
from tokenmill.flows import build as builds
from tokenmill.flows import forgetting, plan
from tokenmill.pipeline.ask.status import status
from tokenmill.pipeline.base import files, manifest, versions
from tokenmill.pipeline.base.errors import CorruptFile, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.manifest import CORPUS
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import open_corpus, so_far
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.forget import request_ids
from tokenmill.pipeline.tokens.samples import samples

LENGTH = 16


@pytest.fixture(autouse=True)
def _no_fault_left() -> Iterator[None]:
    yield
    files.inject(None)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A corpus of a few texts; every build of it takes a new one."""
    return configured(tmp_path)


def configured(folder: Path) -> Config:
    (folder / "in").mkdir()
    for number in range(4):
        more(folder, number)
    return smallest(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build of `config` publishes."""
    folder = tmp_path_factory.mktemp("built")
    builds.build(configured(folder), folder / "corpus", workers=1)
    return folder / "corpus"


@pytest.fixture
def root(tmp_path: Path, built: Path, config: Config) -> Path:
    """A finished corpus of `config`."""
    return twin(built, tmp_path / "corpus")


def more(tmp_path: Path, number: int) -> None:
    text = f"Text {number} of a small corpus, with a line of its own: " + chr(97 + number % 26) * 50
    (tmp_path / "in" / f"{number}.txt").write_text(text * 4)


def digest(store: TokenStore) -> str:
    found = samples(store, length=LENGTH, seed=1)
    return hashlib.sha256(np.ascontiguousarray(found.read(0, found.windows).ids)).hexdigest()


def read_on(root: Path, answer: Connection, stop: Connection) -> None:
    """Read all samples again and again: of a store that stays open, and of one that is opened anew for each pass."""
    held = TokenStore.open(root)
    first, passes, seen = digest(held), 0, []
    while not stop.poll():
        assert digest(held) == first, "a store that is open changed"
        fresh = digest(TokenStore.open(root / "tokens"))
        assert len(open_corpus(root).shards) > 0
        if [fresh] != seen[-1:]:
            seen.append(fresh)
        passes += 1
        time.sleep(0.01)
    answer.send((first, seen, passes))


def killed(config: Config, root: Path, at: int) -> None:
    files.inject(Fault(at=at, kind="exit"))
    builds.build(config, root, workers=1)


def test_a_reader_that_loops_through_three_rebuilds_never_fails_and_never_mixes(
    tmp_path: Path, config: Config, root: Path
) -> None:
    wanted = [digest(TokenStore.open(root))]
    fork = multiprocessing.get_context("fork")
    (answer, told), (stopped, stop) = fork.Pipe(duplex=False), fork.Pipe(duplex=False)
    reader = fork.Process(target=read_on, args=(root, told, stopped))
    reader.start()
    for number, at in ((10, None), (11, 60), (11, None), (12, None)):
        more(tmp_path, number)
        if at is None:
            builds.build(config, root, workers=1)
            wanted.append(digest(TokenStore.open(root)))
        else:
            child = fork.Process(target=killed, args=(config, root, at))
            child.start()
            child.join()
            assert child.exitcode == files.EXIT_BY_FAULT
            assert manifest.find(root, CORPUS) is None
            assert versions.is_unfinished(root)
        time.sleep(0.1)
    stop.send(None)
    first, seen, passes = answer.recv() if answer.poll(60) else pytest.fail("the reader failed")
    reader.join()
    assert reader.exitcode == 0
    assert first == wanted[0]
    assert passes > len(seen) > 1
    assert [one for one in wanted if one in seen] == seen, "each pass is one whole generation, in their order"
    builds.build(config, root, workers=1)
    assert len(os.listdir(root / ".versions")) == 1, "nobody reads the old ones any more"


def test_while_a_build_runs_every_way_in_gives_the_last_whole_corpus(tmp_path: Path, config: Config, root: Path) -> None:
    (root / "export").mkdir()
    before = [one.read_bytes() for one in sorted(exported(root, tmp_path / "a").rglob("*.jsonl"))]
    more(tmp_path, 10)
    with builds.building(config, root, workers=1) as building:
        for name in builds.outline(config):
            building.perform(name)
            corpus = tm.open(root)
            assert corpus.funnel()[0].kept == 4
            assert corpus.tokens.samples(length=LENGTH, seed=0).windows > 0
            assert corpus.verify() == ()
            now = [one.read_bytes() for one in sorted(exported(root, tmp_path / name).rglob("*.jsonl"))]
            assert now == before
            shown = status(so_far(root))
            assert (shown.version, shown.unfinished) == (1, True)
        corpus_before = tm.open(root)
        building.finish()
    assert tm.open(root).funnel()[0].kept == 5
    assert corpus_before.funnel()[0].kept == 4
    assert corpus_before.texts().read_all().num_rows == 4
    assert [status(so_far(root)).unfinished, status(so_far(root)).version] == [False, 2]


def exported(root: Path, out: Path) -> Path:
    return tm.open(root).export("jsonl", out)


def test_a_build_that_fails_leaves_the_corpus_as_it_was(tmp_path: Path, config: Config, root: Path) -> None:
    wanted = digest(TokenStore.open(root))
    more(tmp_path, 10)
    files.inject(Fault(at=70, kind="enospc"))
    with pytest.raises(OSError):
        builds.build(config, root, workers=1)
    files.inject(None)
    assert digest(TokenStore.open(root / "tokens")) == wanted
    assert tm.open(root).verify() == ()
    assert not plan.up_to_date(config, root)
    assert plan.plan(config, root).superseded_bytes > 1000


def test_the_store_of_the_version_is_opened_where_the_folder_of_tokens_is_gone(root: Path) -> None:
    wanted = digest(TokenStore.open(root))
    shutil.rmtree(root / "tokens")
    assert digest(TokenStore.open(root)) == digest(TokenStore.open(root / "tokens")) == wanted


def ids_of(root: Path) -> dict[str, str]:
    table = tm.open(root).texts().read_all()
    return dict(zip(table["text"].to_pylist(), table["doc_id"].to_pylist(), strict=True))


def doc_id(root: Path, number: int) -> str:
    return next(value for text, value in ids_of(root).items() if text.startswith(f"Text {number} "))


def kept_tokens(store: TokenStore) -> bytes:
    split = store.split("train")
    return split.read(0, split.tokens)[split.kept(0, split.tokens)].tobytes()


def test_what_is_forgotten_is_masked_in_every_version(tmp_path: Path, config: Config, root: Path) -> None:
    old = TokenStore.open(root)
    gone = request_ids("doc_id", "x", [doc_id(root, 2)])
    # A build that fails half way: the published version is the one to mask.
    more(tmp_path, 10)
    files.inject(Fault(at=70, kind="eio"))
    with pytest.raises(OSError):
        builds.build(config, root, workers=1)
    files.inject(None)
    forgetting.forget(root, [gone])
    masked = TokenStore.open(root)
    assert len(kept_tokens(masked)) < len(kept_tokens(old))
    wanted = kept_tokens(masked)
    assert tm.open(root).texts().read_all().num_rows == 3
    builds.build(config, root, workers=1)
    new = TokenStore.open(root)
    assert not new.split("train").has_forgotten, "the newer build left it out"
    # The old version is still there, as it is read; whoever opens it again masks it, by a list that is now of the newer one.
    forgetting.forget(root, [request_ids("doc_id", "y", [doc_id(root, 3)])])
    again = TokenStore.of(masked.folder)
    assert len(kept_tokens(again)) < len(wanted)
    assert TokenStore.open(root).split("train").has_forgotten


def test_compaction_leaves_no_purged_token_below_any_version(tmp_path: Path, config: Config, root: Path) -> None:
    held = tm.open(root)
    store = TokenStore.open(root)
    more(tmp_path, 10)
    builds.build(config, root, workers=1)
    assert sorted(os.listdir(root / ".versions")) == ["1", "2"], "the first is held"
    encoder = tm.tokenizer.load(root / "tokenizer" / "tokenizer.json")
    victim = next(text for text in ids_of(root) if text.startswith("Text 2 "))
    needle = np.asarray(encoder.encode(victim), dtype="<u2").tobytes()
    payloads = [path for path in root.rglob("*.bin") if ".state" not in path.parts]
    assert sum(needle in path.read_bytes() for path in payloads) == 3, "in both versions, and under the name of README"
    forgetting.forget(root, [request_ids("doc_id", "x", [doc_id(root, 2)])])
    forgetting.compact(root, Silent())
    payloads = [path for path in root.rglob("*.bin") if ".state" not in path.parts]
    assert len(payloads) == 2
    assert not any(needle in path.read_bytes() for path in payloads)
    assert tm.open(root).verify() == ()
    with pytest.raises((CorruptFile, NotBuilt)):
        digest(TokenStore.of(store.folder))
    assert held.root == root


def test_a_store_held_open_says_to_open_the_corpus_again_after_compaction(root: Path) -> None:
    store, corpus = TokenStore.open(root), tm.open(root)
    sent = pickle.dumps(store)
    forgetting.forget(root, [request_ids("doc_id", "x", [doc_id(root, 2)])])
    forgetting.compact(root, Silent())
    said = r"/\.versions/1: this version of the corpus was removed after a newer one was published; open the corpus again"
    for read in (
        lambda: digest(store),
        lambda: store.split("train").documents_table(),
        lambda: store.split("train").shards[0].ids,
        lambda: corpus.texts().read_all(),
        lambda: corpus.tokens,
        lambda: pickle.loads(sent),  # noqa: S301 -- our own bytes of a moment ago
    ):
        with pytest.raises((CorruptFile, NotBuilt), match=said):
            read()


def test_readers_stay_with_a_corpus_that_was_named_from_another_working_folder(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = digest(TokenStore.open(root))
    monkeypatch.chdir(tmp_path)
    store, corpus, bare = TokenStore.open("corpus"), tm.open("corpus"), TokenStore.of(Path("corpus/tokens"))
    encoder = tm.tokenizer.load("corpus")
    monkeypatch.chdir("/")
    assert digest(store) == digest(bare) == digest(pickle.loads(pickle.dumps(store))) == wanted  # noqa: S301
    assert corpus.texts().read_all().num_rows == 4
    assert corpus.status().documents == 4
    assert corpus.verify() == ()
    assert len(encoder.encode("Text")) > 0


@pytest.mark.parametrize("versioned", [True, False])
def test_readers_of_a_corpus_that_was_moved_say_so(tmp_path: Path, config: Config, root: Path, versioned: bool) -> None:
    if not versioned:
        builds.build(config, root, in_place=True, workers=1)
    store, corpus = TokenStore.open(root), tm.open(root)
    root.rename(tmp_path / "moved")
    for read in (
        lambda: digest(store),
        lambda: store.split("train").documents_table(),
        lambda: corpus.texts().read_all(),
        lambda: corpus.status(),
        lambda: corpus.tokens.samples(length=LENGTH, seed=1),
    ):
        with pytest.raises(
            (CorruptFile, NotBuilt), match="corpus.*: the corpus has been moved or removed; open it again from where it is"
        ):
            read()
    assert digest(TokenStore.open(tmp_path / "moved")) == digest(TokenStore.open(tmp_path / "moved" / "tokens"))


def test_the_damaged_settings_of_a_version_are_named(root: Path, config: Config) -> None:
    (root / ".versions" / "1" / "config.toml").unlink()
    (root / ".versions" / "1" / "config.toml").write_bytes((root / "config.toml").read_bytes() + b"# mine")
    with pytest.raises(CorruptFile, match=r"\.versions/1/config\.toml: holds .*run the build again"):
        tm.open(root)
    builds.build(config, root, workers=1)
    assert tm.open(root).root == root


@pytest.mark.parametrize("at", [70, 130])
def test_the_last_finished_version_is_compacted_where_a_newer_build_failed(
    tmp_path: Path, config: Config, root: Path, at: int
) -> None:
    encoder = tm.tokenizer.load(root / "tokenizer" / "tokenizer.json")
    victim = next(text for text in ids_of(root) if text.startswith("Text 2 "))
    needle = np.asarray(encoder.encode(victim), dtype="<u2").tobytes()
    gone = doc_id(root, 2)
    other = twin(root, tmp_path / "other")
    more(tmp_path, 10)
    files.inject(Fault(at=at, kind="enospc"))
    with pytest.raises(OSError):
        builds.build(config, root, workers=1)
    files.inject(None)
    with pytest.raises(InputError, match="nothing was forgotten"):
        forgetting.compact(root, Silent())
    assert versions.is_unfinished(root), "nothing to compact, so the unfinished build stays"
    for one in (root, other):
        forgetting.forget(one, [request_ids("doc_id", "x", [gone])])
    settings = (root / "config.toml").read_bytes()
    (root / "config.toml").unlink()
    (root / "config.toml").write_bytes(settings + b"# mine")
    with pytest.raises(StaleInput, match=r"config\.toml: is not the one of the last finished version.*move it out"):
        forgetting.compact(root, Silent())
    assert (root / "config.toml").read_bytes() == settings + b"# mine"
    (root / "config.toml").unlink()
    for one in (root, other):
        assert forgetting.compact(one, Silent()).documents == 1
    assert not versions.is_unfinished(root)
    assert tm.open(root).verify() == ()
    assert digest(TokenStore.open(root)) == digest(TokenStore.open(other))
    payloads = [path for path in root.rglob("*.bin") if ".state" not in path.parts]
    assert len(payloads) == 2
    assert not any(needle in path.read_bytes() for path in payloads)
    builds.build(config, root, workers=1)
    builds.build(config, other, workers=1)
    assert open_corpus(root).collect.hash == open_corpus(other).collect.hash
    assert digest(TokenStore.open(root)) == digest(TokenStore.open(other))
    assert tm.open(root).verify() == ()


def test_in_place_keeps_no_version_and_withdraws_first(tmp_path: Path, config: Config, root: Path) -> None:
    assert not plan.up_to_date(config, root, in_place=True)
    more(tmp_path, 10)
    with builds.building(config, root, workers=1, in_place=True) as building:
        assert os.listdir(root / ".versions") == [] if (root / ".versions").exists() else True
        building.perform("collect")
        with pytest.raises(NotBuilt):
            open_corpus(root)
        for name in list(builds.outline(config))[1:]:
            building.perform(name)
        building.finish()
    assert open_corpus(root).published == root
    assert plan.up_to_date(config, root, in_place=True)
    assert not plan.up_to_date(config, root)
    builds.build(config, root, workers=1)
    assert open_corpus(root).published == root / ".versions" / "2"


def test_a_copy_is_a_corpus_of_its_own(tmp_path: Path, config: Config, root: Path) -> None:
    copy, bare = tmp_path / "copy", tmp_path / "bare"
    shutil.copytree(root, copy)
    shutil.copytree(root, bare, ignore=shutil.ignore_patterns(".*"))
    wanted = digest(TokenStore.open(root))
    more(tmp_path, 10)
    for folder in (copy, bare):
        assert digest(TokenStore.open(folder)) == wanted
        assert tm.open(folder).verify() == ()
        builds.build(config, folder, workers=1)
        assert digest(TokenStore.open(folder)) != wanted
        assert tm.open(folder).verify() == ()
    assert digest(TokenStore.open(root)) == wanted


def test_an_old_version_that_is_opened_by_its_folder_masks_too(tmp_path: Path, config: Config, root: Path) -> None:
    gone = doc_id(root, 2)
    forgetting.forget(root, [request_ids("doc_id", gone, [gone])])
    version = open_corpus(root).published
    assert version != root
    assert tm.open(version).texts().read_all().num_rows == 3
    assert tm.open(version).tokens.splits["train"].has_forgotten
    assert TokenStore.open(version / "tokens").split("train").has_forgotten
    assert tm.open(version).root == root
