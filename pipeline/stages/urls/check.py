"""Checks that the verdicts of a finished stage `urls` are true. `tokenmill verify` runs it in addition to hashes.

Guarantee: for every document, the host is that of its URL; every entry that a score names hits its URL; words are as many as
the score counts; and the stage decides from the scores as the verdict says. Whether a list holds an entry, its file tells: the
manifest names the file's SHA-256.
Cost: one read of URLs, scores and verdicts.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.stages import addresses
from tokenmill.pipeline.stages.kind import Finished
from tokenmill.pipeline.stages.stage import name_of, one_batch
from tokenmill.pipeline.stages.urls.hits import words_of
from tokenmill.pipeline.stages.urls.lines import candidates
from tokenmill.pipeline.stages.urls.settings import Kind


def problems(finished: Finished) -> Iterator[str]:
    """What is wrong, one line per problem, beginning with the file's path. Raises what reading raises."""
    made = finished.manifest
    kinds = {name: given["kind"] for name, given in made.config["scoring"]["lists"].items()}
    for view, shard in zip(finished.before, made.shards, strict=True):
        alive = view.read(["url"])
        name = name_of(made.stage, "scores", view.name)
        scores = one_batch(shards.read(view.root, (name, shard.files[name])).take(alive.rows))
        shards.align(view.documents, alive.table["doc_id"], (name, shard.files[name]), scores["doc_id"])
        for url, row in zip(alive.table["url"].to_pylist(), scores.to_pylist(), strict=True):
            address = None if url is None else addresses.parse(url)
            wrong = [one for one, kind in kinds.items() if not _fits(address, row[f"hits_{one}"], row[f"entry_{one}"], kind)]
            if row["host"] != ("" if address is None else address.host) or wrong:
                said = f"its hits of {', '.join(wrong)} are none" if wrong else f"its host is not {row['host']!r}"
                yield f"{finished.root / name}: doc_id {row['doc_id'].hex()}: {said}"
                break


def _fits(address: addresses.Address | None, hits: int, entry: str | None, kind: Kind) -> bool:
    if address is None or entry is None:
        return hits == 0 and entry is None
    if kind == "addresses":
        return hits > 0 and entry in candidates(address)
    found, words = entry.split(), words_of(address)
    if len(found) != hits:
        return False
    return set(found) <= set(words) if kind == "words" else all(word in "".join(words) for word in found)
