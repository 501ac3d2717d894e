"""The stage `urls` over small corpora: reasons, evidence, late decisions, conservation, and one index for all workers."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.folders import write_corpus
from tokenmill.pipeline.base import files, manifest, schema, shards
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.executor import local
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
    work = write_corpus(root, {shard: [f"text {at}" for at in range(len(rows))] for shard, rows in urls.items()})
    (collected,) = work.before
    made = []
    for shard in collected.shards:
        ((name, entry),) = shard.files.items()
        table = shards.read(root, (name, entry))
        at = table.schema.get_field_index("url")
        table = table.set_column(at, schema.DOCUMENTS.field("url"), pa.array(urls[shard.name], pa.string()))
        made.append(dataclasses.replace(shard, files={name: shards.write(root, name, table)}))
    collected = dataclasses.replace(collected, shards=tuple(made))
    manifest.commit(root, collected)
    return dataclasses.replace(work, before=(collected,))


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
    assert made.counts.read == 9 and made.counts.kept == 4 and made.counts.dropped == {"listed_adult": 4, "listed_soft": 1}
    assert made.counts.bytes_in == 9 * 6 and made.counts.bytes_kept == 4 * 6
    assert made.facts["adult"] == {"lines": 3, "entries": 3, "unread_lines": 0, "example": ""}
