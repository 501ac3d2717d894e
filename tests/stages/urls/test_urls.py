"""The stage `urls` over small corpora: reasons, evidence, late decisions, conservation, and one index for all workers."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.folders import write_corpus
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.stage import name_of
from tokenmill.pipeline.stages.step import StageStep, Work, perform
from tokenmill.pipeline.stages.urls.settings import UrlsConfig
from tokenmill.pipeline.stages.urls.stage import Urls

SITES = [
    "https://bad.example/x",
    "http://www.BAD.example.:80/",
    "https://good.bad.example/",
    "https://fine.example/casino/poker",
    "https://fine.example/casino",
    "https://1.2.3.4/",
    "https://fine.example/private/a?b",
    None,
    "mailto:me@bad.example",
]


def with_urls(root: Path, urls: Mapping[str, Sequence[str | None]]) -> Work:
    """A finished collection of documents with these URLs, by shard."""
    return write_corpus(root, {shard: [f"text {at}" for at in range(len(rows))] for shard, rows in urls.items()}, urls=urls)


def config(folder: Path, **lists: Mapping[str, Any]) -> dict[str, Any]:
    """Lists by name, whose `text` is written to a file."""
    made = {}
    for name, given in lists.items():
        (folder / name).write_text(given["text"])
        made[name] = {"paths": [str(folder / name)], **{key: value for key, value in given.items() if key != "text"}}
    return {"lists": made}


def run(work: Work, settings: Mapping[str, Any]) -> Manifest:
    return perform(StageStep(Urls(config=UrlsConfig(**settings))), work, downstream=()).manifest


def verdicts(work: Work, made: Manifest) -> list[tuple[Any, ...]]:
    rows = []
    for shard in made.shards:
        name = name_of("urls", "verdicts", shard.name)
        table = shards.read(work.root, (name, shard.files[name]))
        rows += [(row["reason"], row["list"], row["entry"]) for row in table.to_pylist()]
    return rows


LISTS: dict[str, Mapping[str, Any]] = {
    "adult": {"text": "bad.example\n1.2.3.4\nfine.example/private\n"},
    "mine": {"text": "good.bad.example\n", "use": "allow"},
    "soft": {"text": "casino\npoker\nrummy\n", "kind": "words", "max_hits": 1},
}


def test_reasons_name_the_list_and_the_entry(tmp_path: Path) -> None:
    work = with_urls(tmp_path / "corpus", {"a/0": SITES})
    made = run(work, config(tmp_path, **LISTS))
    assert verdicts(work, made) == [
        ("listed_adult", "adult", ".bad.example"),
        ("listed_adult", "adult", ".bad.example"),
        ("", "mine", ".good.bad.example"),
        ("listed_soft", "soft", "casino poker"),
        ("", None, None),
        ("listed_adult", "adult", "=1.2.3.4"),
        ("listed_adult", "adult", "fine.example/private"),
        ("", None, None),
        ("", None, None),
    ]
    assert (made.counts.read, made.counts.kept) == (9, 4)
    assert made.counts.dropped == {"listed_adult": 4, "listed_soft": 1}
    assert (made.counts.bytes_in, made.counts.bytes_kept) == (9 * 6, 4 * 6)
    assert made.facts["adult"] == {"lines": 3, "entries": 3, "unread_lines": 0, "example": ""}


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"without_url": "drop"}, {"listed_adult": 4, "listed_soft": 1, "no_url": 2}),
        ({"only_allowed": True}, {"listed_adult": 4, "listed_soft": 1, "not_allowed": 3}),
        ({"only_allowed": True, "without_url": "drop"}, {"listed_adult": 4, "listed_soft": 1, "not_allowed": 1, "no_url": 2}),
        ({"lists.adult.use": "off"}, {"listed_soft": 1}),
        ({"lists.mine.use": "off"}, {"listed_adult": 5, "listed_soft": 1}),
        ({"lists.mine.use": "block", "lists.adult.use": "off"}, {"listed_mine": 1, "listed_soft": 1}),
        ({"lists.soft.max_hits": 0}, {"listed_adult": 4, "listed_soft": 2}),
        ({"lists.soft.use": "allow", "lists.soft.max_hits": 0}, {"listed_adult": 4}),
    ],
    ids=str,
)
def test_settings_decide_late(tmp_path: Path, changes: Mapping[str, Any], reasons: Mapping[str, int]) -> None:
    work = with_urls(tmp_path / "corpus", {"a/0": SITES})
    settings = config(tmp_path, **LISTS)
    run(work, settings)
    for name, value in changes.items():
        *above, key = name.split(".")
        place = settings
        for part in above:
            place = place[part]
        place[key] = value
    done = perform(StageStep(Urls(config=UrlsConfig(**settings))), work, downstream=())
    assert done.scored_rows == 0
    assert done.manifest.counts.dropped == reasons
    assert done.manifest.counts.kept == 9 - sum(reasons.values())


def test_memory_and_fan_in_change_nothing(tmp_path: Path) -> None:
    urls = {f"a/{shard}": [f"http://host{row % 7}.example/{shard}/{row}" for row in range(30)] for shard in range(6)}
    settings = config(tmp_path, many={"text": "".join(f"host{at}.example\n" for at in range(0, 2000, 3))})
    one, two = with_urls(tmp_path / "one", urls), with_urls(tmp_path / "two", urls)
    made = run(dataclasses.replace(two, memory_bytes=10_000, fan_in=2), settings)
    assert run(one, settings).hash == made.hash
    assert made.counts.dropped == {"listed_many": sum(row % 7 in (0, 3, 6) for row in range(30)) * 6}


def test_an_index_is_made_once_and_again_when_it_is_damaged(tmp_path: Path) -> None:
    work, settings = with_urls(tmp_path / "corpus", {"a/0": SITES}), config(tmp_path, **LISTS)

    def reads() -> list[str]:
        said: list[str] = []
        progress = type("Said", (type(work.progress),), {"say": lambda _, message: said.append(message)})()
        stage = Urls(config=UrlsConfig(**settings))
        stage.provide(dataclasses.replace(work, progress=progress))
        return said

    assert reads() == [f"urls: reads the list {name}" for name in sorted(LISTS)]
    assert reads() == []
    (tmp_path / "adult").write_text("another.example\n")
    assert reads() == ["urls: reads the list adult"]
    folders = [path for path in (work.root / ".state/urls/.lists").iterdir() if any(path.iterdir())]
    assert len(folders) == 3
    for folder in folders:
        (folder / "keys-000000").write_bytes(b"x")
    assert len(reads()) == 3


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    work = with_urls(tmp_path / "corpus", {"a/0": SITES})
    (tmp_path / "folder").mkdir()
    (tmp_path / "adblock").write_text("||ads.example^\nads.example##.banner\n")
    (tmp_path / "cut").write_bytes(gzip.compress(b"bad.example\n" * 1000)[:-12])
    for path, error, said in (
        ("missing", ConfigError, "there is no file or folder"),
        ("folder", ConfigError, "have no file called domains or urls"),
        ("adblock", InputError, "none of its 2 lines is an entry"),
        ("cut", InputError, "is no whole gzip file"),
    ):
        with pytest.raises(error, match=said):
            run(work, {"lists": {"one": {"paths": [str(tmp_path / path)]}}})
    for wrong, said in (
        ({"lists": {"a.b": {"paths": ["x"]}}}, "a name of a list"),
        ({"only_allowed": True}, 'needs a list with use = "allow"'),
        ({"lists": {"a": {"paths": []}}}, "at least 1 item"),
    ):
        with pytest.raises(ValueError, match=said):
            UrlsConfig(**wrong)  # type: ignore[arg-type]


def test_no_text_is_given_to_a_stage_that_reads_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        Urls, "score", lambda self, batch, score=Urls.score: seen.append(batch.schema.names) or score(self, batch)
    )
    run(with_urls(tmp_path / "corpus", {"a/0": SITES}), {})
    assert seen == [["doc_id", "url"]]
