"""Checks that the verdicts of a finished `dedup` stage are true. `tokenmill verify` runs it in addition to hashes.

Guarantee: every removed document names one that is kept at the end of the stage. Documents that left for a key share it
(`check_keys`). Others are named at a similarity that reaches the threshold,
none loses more than `dedup.loses`, and cluster sizes are right. Then both texts are read. For near duplicates the similarity
and what is lost are computed anew and must equal the stored values; exact duplicates must have equal bytes, or equal text but
for white space if `dedup.exact` says so, by SHA-256. This covers all removed documents, or a seeded sample of `most` of them.
What a verdict says was compared must be what is compared; that of a revision must be one under both foldings.
Cost: one read of the verdicts, 100 bytes per document; then the text of the shards concerned, at 60 MB/s per core. Memory
holds the n-gram sets of kept documents, BLOCK n-grams of them and of one more shard. For each block, the shards whose
documents name them are read once. A million removed documents of 5 kB make about 40 blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import Misaligned
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.stages.dedup import check_keys
from tokenmill.pipeline.stages.dedup.revisions import are_revisions
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.shares import shares, within
from tokenmill.pipeline.stages.dedup.signatures import settings
from tokenmill.pipeline.stages.dedup.texts import Texts, equal, joined, read, similar
from tokenmill.pipeline.stages.dedup.verdicts import EXACT_DUPLICATE, VERDICT
from tokenmill.pipeline.stages.stage import name_of

Indices = npt.NDArray[np.int64]
MOST = 100_000
"""Removed documents that are compared with the kept ones, unless the caller asks for another number or for all."""
BLOCK = 16_000_000
"""N-grams of kept documents held at a time (8 bytes each), plus those of one shard."""


@dataclass(frozen=True, kw_only=True)
class _Verdicts:
    """The verdicts of all shards, end to end. A document is identified by its position."""

    names: Sequence[str]
    starts: Indices
    """[shards + 1]"""
    shard: npt.NDArray[np.int32]
    """[documents]: number of the document's shard."""
    table: pa.Table
    kept: npt.NDArray[np.bool_]
    near: npt.NDArray[np.bool_]
    keeper: Indices
    """[documents]: position of the kept document that a removed one names; -1 if it names none that is kept."""

    def file(self, place: int) -> str:
        """The name of the file that holds a document's verdict."""
        return self.names[int(self.shard[place])]

    def hex(self, place: int) -> str:
        """A `doc_id` in hex, for a message."""
        identity: bytes = self.table["doc_id"][int(place)].as_py()
        return identity.hex()


def problems(root: Path, made: Manifest, views: Sequence[View], *, most: int | None = MOST, seed: int = 0) -> Iterator[str]:
    """What is wrong with the verdicts that `made` names: one line per problem, beginning with the file's path.

    `views`: the shards as the stage saw them, `shards.views(root, manifests before it)`. `most`: size of the sample; None:
    all. Raises Misaligned if verdicts and documents do not belong together, and what reading raises.
    """
    verdicts = _verdicts(root, made)
    removed = np.flatnonzero(~verdicts.kept & verdicts.table["reason"].is_valid().to_numpy())
    lost = verdicts.keeper[removed] < 0
    by_key = np.isin(np.array(verdicts.table["reason"].cast(pa.string()).to_pylist(), dtype=object), _key_reasons(made))
    jaccard = np.nan_to_num(verdicts.table["jaccard"].to_numpy(), nan=0.0)
    sizes = np.bincount(verdicts.keeper[removed[~lost]], minlength=len(verdicts.kept)) + 1
    counted = np.where(verdicts.kept, sizes, sizes[verdicts.keeper])
    deciding = made.config["deciding"]
    # Tables of earlier versions do not say what was lost.
    contained = verdicts.table["contained"].fill_null(float("loses" not in deciding)).to_numpy()
    wrong = verdicts.table["cluster_size"].fill_null(0).to_numpy() != counted
    named, gone = removed[~lost], removed[lost]
    removed = removed[~by_key[removed]]
    for places, what in (
        (gone, "removed rows name no kept document"),
        (removed[jaccard[removed] < deciding["threshold"]], "removed rows below the threshold"),
        (removed[~within(contained[removed], deciding.get("loses", 1))], "removed rows that lose more than dedup.loses"),
        (np.flatnonzero(wrong & (verdicts.kept | (verdicts.keeper >= 0))), "rows with another cluster_size than is counted"),
    ):
        if len(places):
            first = places[0]
            yield f"{root / verdicts.file(first)}: {len(places)} {what}, the first: doc_id {verdicts.hex(first)}"
    if "normalise" not in made.config["scoring"]:
        yield (
            f"{root / made.stage}: made by version {made.version} of the stage, whose exact duplicates were texts that were "
            "equal once normalised; build again"
        )
        return
    config = _config(made.config)
    for place, untruth in check_keys.untrue(verdicts.table, verdicts.starts[:-1].tolist(), views, config):
        yield f"{root / verdicts.file(place)}: {verdicts.hex(place)}: {untruth}"
    said = np.array([str(one) for one in verdicts.table["compared"].cast(pa.string()).take(pa.array(removed)).to_pylist()])
    looser = config.model_copy(update=deciding.get("looser", {}))
    near = verdicts.near[removed]
    revised = near & (said == looser.compared[1])
    if len(other := removed[(said != np.where(near, config.compared[1], config.compared[0])) & ~revised]):
        first = other[0]
        yield (
            f"{root / verdicts.file(first)}: {len(other)} removed rows say that something else was compared, "
            f"the first: doc_id {verdicts.hex(first)}"
        )
    if (scored := settings(config)) != made.config["scoring"]:
        yield f"{root / made.stage}: made with Unicode {made.config['scoring']['unicode']}, this Python has {scored['unicode']}"
        return
    named = named[~by_key[named]]
    if most is not None and len(named) > most:
        named = np.sort(np.random.default_rng(seed).choice(named, most, replace=False))
    loose = np.isin(named, removed[revised])
    strictly, loosely = _untrue(verdicts, views, named[~loose], config), _untrue(verdicts, views, named[loose], looser)
    for place, found in itertools.chain(strictly, loosely):
        both = f"{verdicts.hex(place)} and {verdicts.hex(verdicts.keeper[place])}"
        what = f"similarity is {found}" if verdicts.near[place] else f"{config.compared[0]} {'agree' if found else 'differ'}"
        claim = f"the verdict says {jaccard[place]}"
        if found == jaccard[place]:
            what, claim = "shares are others", f"than contained = {contained[place]} and its neighbours say"
        yield f"{root / verdicts.file(place)}: {both}: their {what}, {claim}"
    threshold = deciding["threshold"]
    for place, found in _untrue(verdicts, views, named[loose], config):
        if not are_revisions(np.array(found), jaccard[place], threshold):
            both = f"{verdicts.hex(place)} and {verdicts.hex(verdicts.keeper[place])}"
            yield f"{root / verdicts.file(place)}: {both}: no revision, with a similarity of {found} by {config.compared[1]}"


_EMPTY = pa.schema([schema.DOC_ID.with_nullable(True), *VERDICT]).empty_table()


def _verdicts(root: Path, made: Manifest) -> _Verdicts:
    names = [name_of(made.stage, "verdicts", shard.name) for shard in made.shards]
    parts = [shards.read(root, (name, shard.files[name])) for name, shard in zip(names, made.shards, strict=True)]
    table = pa.concat_tables([_EMPTY, *parts], promote_options="default").unify_dictionaries().combine_chunks()
    reason = table["reason"].cast(pa.string())
    kept = schema.alive(reason)
    places = np.append(np.flatnonzero(kept), -1)
    found = pc.index_in(table["kept_doc_id"], value_set=table["doc_id"].filter(pa.array(kept)).combine_chunks())
    return _Verdicts(
        names=names,
        starts=np.cumsum([0, *(part.num_rows for part in parts)]),
        shard=np.repeat(np.arange(len(parts), dtype=np.int32), [part.num_rows for part in parts]),
        table=table,
        kept=kept,
        near=np.asarray(pc.fill_null(pc.not_equal(reason, EXACT_DUPLICATE), False).to_numpy(), dtype=np.bool_),
        keeper=places[pc.fill_null(found, -1).to_numpy()],
    )


def _config(made: Mapping[str, Any]) -> DedupConfig:
    """The settings that the signatures and the exact duplicates were made with."""
    scoring = {name: value for name, value in made["scoring"].items() if name != "unicode"}
    return DedupConfig(**{**scoring, "exact": made["deciding"]["exact"], "keys": made["deciding"].get("keys", ())})


def _key_reasons(made: Manifest) -> Sequence[str]:
    return DedupConfig(keys=made.config["deciding"].get("keys", ())).key_reasons


def _untrue(verdicts: _Verdicts, views: Sequence[View], removed: Indices, config: DedupConfig) -> Iterator[tuple[int, float]]:
    """The `removed` documents whose similarity to the document they name, or what is lost with them, differs from what is
    stored, with the true similarity.
    """
    block: list[Texts] = []
    places: list[Indices] = []
    keepers = np.unique(verdicts.keeper[removed])
    for of_shard in _by_shard(verdicts, keepers):
        block.append(_texts(verdicts, views, of_shard, config))
        places.append(of_shard)
        if sum(len(texts.grams) for texts in block) >= BLOCK or of_shard[-1] == keepers[-1]:
            held, kept = np.concatenate(places), joined(block)
            for mine in _by_shard(verdicts, removed[np.isin(verdicts.keeper[removed], held)]):
                found, rows = _texts(verdicts, views, mine, config), np.arange(len(mine))
                named = np.searchsorted(held, verdicts.keeper[mine])
                near, stored = verdicts.near[mine], verdicts.table.take(pa.array(mine))
                alike = np.where(near, similar(found, rows, kept, named), equal(found, rows, kept, named).astype(np.float64))
                true = shares(alike, np.where(near, found.sizes[rows], 0), np.where(near, kept.sizes[named], 0))
                wrong = alike != stored["jaccard"].to_numpy()
                for name in ("contained", "contains", "lost_ngrams"):
                    wrong |= (getattr(true, name) != stored[name].to_numpy()) & stored[name].is_valid().to_numpy()
                yield from zip(mine[wrong].tolist(), alike[wrong].tolist(), strict=True)
            block, places = [], []


def _by_shard(verdicts: _Verdicts, places: Indices) -> list[Indices]:
    """Ascending positions, split by shard."""
    parts = np.split(places, np.flatnonzero(np.diff(verdicts.shard[places])) + 1)
    return [part for part in parts if len(part)]


def _texts(verdicts: _Verdicts, views: Sequence[View], places: Indices, config: DedupConfig) -> Texts:
    """Texts of documents of one shard. Raises Misaligned if they are not alive in the shard."""
    number = int(verdicts.shard[places[0]])
    alive = views[number].read()
    at = np.flatnonzero(np.isin(alive.rows, places - verdicts.starts[number]))
    table = alive.table.take(pa.array(at)).combine_chunks()
    if not table["doc_id"].equals(verdicts.table["doc_id"].take(pa.array(places))):
        raise Misaligned(f"{views[number].root / verdicts.names[number]}: decides on documents that the stage did not see")
    return read(table["text"], config)
