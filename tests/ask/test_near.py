"""What is found for a text is what brute force over the corpus finds, in memory and in Redis."""

from __future__ import annotations

import dataclasses
import string
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from fakeredis import TcpFakeServer

from tests.folders import folder_of, write_corpus
from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.ask import near as lookup
from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

# One row a band: any pair that shares much becomes a candidate.
CONFIG = DedupConfig(ngram=2, bands=64, rows=1, threshold=0.5)
LETTERS = [letter * 2 for letter in string.ascii_lowercase]


def texts() -> dict[str, list[str]]:
    rng = np.random.default_rng(4)
    made: dict[str, list[str]] = {"a/0": ["", "one", "one"], "a/1": [], "b/0": []}
    for _ in range(12):
        words = [LETTERS[at] for at in rng.integers(0, 26, 30)]
        for copy in range(3):
            changed = list(words)
            changed[int(rng.integers(30))] = "xyz"[copy]
            made[sorted(made)[int(rng.integers(3))]].append(" ".join(changed))
    return made


@dataclasses.dataclass(frozen=True)
class Made:
    work: Work
    texts: dict[str, list[str]]
    manifest: Manifest

    def near(self, *wanted: str, **more: object) -> list[tuple[lookup.Similar, ...]]:
        options = {"threshold": 0.5, "limit": 99, **more}
        corpus = folder_of(self.work, self.manifest, dedup=CONFIG)
        return list(lookup.near(corpus, wanted, **options).found)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    work = write_corpus(tmp_path_factory.mktemp("near") / "corpus", texts())
    done = perform(StageStep(Dedup(config=CONFIG, sources=("a", "b"))), work, downstream=())
    return Made(work, texts(), done.manifest)


def brute_force(corpus: dict[str, list[str]], text: str, threshold: float) -> list[tuple[str, float]]:
    found = []
    for shard, rows in corpus.items():
        source, split = shard.split("/")
        for row, other in enumerate(rows):
            similarity = 1.0 if text == other else oracle.jaccard(text, other, 2)
            if similarity >= threshold:
                found.append((schema.doc_id(source, f"{split}:{row}").hex(), similarity))
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def pairs(found: tuple[lookup.Similar, ...]) -> list[tuple[str, float]]:
    return [(one.doc_id, one.similarity) for one in found]


def test_what_is_found_is_what_brute_force_finds(made: Made) -> None:
    stored = [text for rows in made.texts.values() for text in rows]
    cut = [" ".join(text.split()[3:]) for text in stored]
    wanted = [*stored, *cut, "nothing of this kind", "two", "one", "ONE"]
    for text, found in zip(wanted, made.near(*wanted), strict=True):
        assert pairs(found) == brute_force(made.texts, text, 0.5), text
    (found,) = made.near(stored[5], threshold=0.9, limit=2)
    assert pairs(found) == brute_force(made.texts, stored[5], 0.9)[:2]


def test_what_became_of_a_document_is_said(made: Made) -> None:
    (found,) = made.near("one")
    kept, dropped = sorted(found, key=lambda one: one.stage is not None)
    assert (kept.source, kept.stage, kept.reason, kept.kept_doc_id) == ("a", None, None, None)
    assert (dropped.stage, dropped.reason, dropped.kept_doc_id) == ("dedup", "exact_duplicate", kept.doc_id)


def test_signatures_of_other_settings_are_refused_with_both_values(made: Made) -> None:
    other = CONFIG.model_copy(update={"ngram": 3})
    with pytest.raises(StaleInput, match=r"dedup/scores/a/0.parquet: .*ngram = 2 \(now 3\)"):
        lookup.near(folder_of(made.work, made.manifest, dedup=other), ["x"], threshold=0.5, limit=1)
    with pytest.raises(NotBuilt, match="without the stage `dedup`"):
        lookup.near(folder_of(made.work, dedup=CONFIG), ["x"], threshold=0.5, limit=1)


def test_one_band_is_enough(make_corpus: Callable[..., Work]) -> None:
    config = DedupConfig(bands=1, rows=1)
    text = " ".join(LETTERS)
    work = make_corpus({"a/0": [text]})
    done = perform(StageStep(Dedup(config=config, sources=("a",))), work, downstream=())
    ((found,),) = lookup.near(folder_of(work, done.manifest, dedup=config), [text], threshold=1, limit=1).found
    assert found.similarity == 1.0


@pytest.fixture
def redis() -> Iterator[str]:
    # As `redis://`: a server of its own on a free port, that speaks Redis' protocol.
    server = TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_index_in_redis_is_made_once_and_answers_alike(made: Made, redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [text for rows in made.texts.values() for text in rows]
    with lookup.redis_storage(redis) as storage:
        assert made.near(*wanted[::3], storage=storage) == made.near(*wanted[::3])

        def refuse(*_: object) -> None:
            raise AssertionError("the index is there already")

        monkeypatch.setattr(lookup.MinHashLSH, "insertion_session", refuse)
        assert made.near(wanted[7], storage=storage) == made.near(*wanted[6:9], storage=storage)[1:2] != [()]


def test_a_redis_that_is_not_there_is_an_error_without_its_password(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)
    with pytest.raises(InputError, match="Redis: ") as caught, lookup.redis_storage("redis://u:s3cret@127.0.0.1:1") as storage:
        made.near("x", storage=storage)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="redis://host:port/db"), lookup.redis_storage("s3cret"):
        pass
