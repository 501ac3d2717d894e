"""Checks that the verdicts of a finished stage `urls` are true. `tokenmill verify` runs it in addition to hashes.

Guarantee: for every document, the host is that of its URL; every entry that a score names hits its URL; words are as many as
the score counts; and the scores and settings give the verdict. Whether a list holds an entry, its file tells: the
manifest names the file's SHA-256.
Cost: one read of URLs, scores and verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages import addresses
from tokenmill.pipeline.stages.addresses import UrlAddress
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.stage import name_of, one_batch, plain
from tokenmill.pipeline.stages.urls.lines import candidates, host_of, words_of
from tokenmill.pipeline.stages.urls.settings import Kind, UrlsConfig
from tokenmill.pipeline.stages.urls.stage import Urls


def problems(finished: Finished) -> Iterator[str]:
    """What is wrong, one line per problem, beginning with the file's path. Raises what reading raises."""
    made = finished.manifest
    stage = _stage(made)
    for view, seen, shard in zip(finished.before, finished.after, made.shards, strict=True):
        alive = view.read(["url"])
        name = name_of(made.stage, "scores", view.name)
        table = shards.read(view.root, (name, shard.files[name])).take(alive.rows)
        shards.align(view.documents, alive.table["doc_id"], (name, shard.files[name]), table["doc_id"])
        for url, row in zip(alive.table["url"].to_pylist(), table.to_pylist(), strict=True):
            said = _wrong(None if url is None else addresses.parse(url), row, stage.config)
            if said:
                yield f"{finished.root / name}: doc_id {row['doc_id'].hex()}: {said}"
                break
        assert seen.verdicts is not None, f"{made.stage}: {seen.name} has no verdicts"
        verdicts = shards.read(seen.root, seen.verdicts).take(alive.rows).drop_columns(["doc_id"])
        if not plain(verdicts).equals(plain(pa.Table.from_batches([stage.decide(one_batch(table.drop_columns(["doc_id"])))]))):
            yield f"{finished.root / seen.verdicts[0]}: its verdicts are not what the scores and the settings give"


def _stage(made: Manifest) -> Urls:
    """The stage that decided, without its lists."""
    scoring, deciding = made.config["scoring"]["lists"], made.config["deciding"]
    lists = {name: {"paths": ["-"], "kind": scoring[name]["kind"], **given} for name, given in deciding["lists"].items()}
    return Urls(config=UrlsConfig.model_validate({**deciding, "lists": lists}))


def _wrong(address: UrlAddress | None, row: Mapping[str, Any], config: UrlsConfig) -> str:
    host = host_of(address)
    if row["host"] != host:
        return f"its host is {host!r}, not {row['host']!r}"
    wrong = [name for name, one in config.by_name if not _fits(address, row[f"hits_{name}"], row[f"entry_{name}"], one.kind)]
    return f"it is not hit as the scores of {', '.join(wrong)} say" if wrong else ""


def _fits(address: UrlAddress | None, hits: int, entry: str | None, kind: Kind) -> bool:
    if address is None or entry is None:
        return hits == 0 and entry is None
    if kind == "addresses":
        return hits > 0 and entry in candidates(address)
    found, words = entry.split(), words_of(address)
    if len(found) != hits:
        return False
    return set(found) <= set(words) if kind == "words" else all(word in "".join(words) for word in found)
