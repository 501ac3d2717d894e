"""Checks that the evidence of a finished `repeats` stage is true. `tokenmill verify` runs it in addition to hashes.

Guarantee: every removed unit is listed in `units.parquet` and occurs in at least as many documents as needed. The counts there
equal those of all scores and verdicts, counted anew. For a seeded sample of the shards, the text before and after the edits is
split anew, and exactly the units that the verdicts name are gone.
Cost: one read of scores and verdicts; two reads of the sample's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.stages.repeats import scores
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.repeats.stage import UNITS
from tokenmill.pipeline.stages.stage import name_of, one_batch

NUMBERS = ("documents", "occurrences", "removed", "removed_bytes")


def problems(
    root: Path, made: Manifest, before: Sequence[View], after: Sequence[View], *, sample: int = 8, seed: int = 0
) -> Iterator[str]:
    """What is wrong, one line per problem, beginning with the file's path.

    `before`: the shards as the stage saw them. `after`: the shards as the next stage sees them. Raises what reading raises.
    """
    table = shards.read(root, (UNITS, made.files[UNITS]))
    sources = table["source"].cast(pa.string())
    scoring = made.config["scoring"]
    config = RepeatsConfig(unit=scoring["unit"], min_characters=scoring["min_characters"])
    chosen = set(np.random.default_rng(seed).permutation(len(before))[:sample].tolist())
    known: dict[str, pa.Table] = {}
    counted: dict[str, npt.NDArray[np.int64]] = {}
    for number, (view, seen) in enumerate(zip(before, after, strict=True)):
        source = view.source
        if source not in known:
            known[source] = table.filter(pc.equal(sources, source)).sort_by("hash")
            counted[source] = np.zeros((len(NUMBERS), known[source].num_rows), dtype=np.int64)
        name = name_of(made.stage, "verdicts", view.name)
        units, goes = _decided(view, seen, made)
        hashes = known[source]["hash"].to_numpy()
        unknown = int((~np.isin(units.hashes[goes], hashes)).sum())
        if unknown:
            yield f"{root / name}: {unknown} units went that {UNITS} does not hold"
            continue
        _add(counted[source], hashes, units, goes)
        if number in chosen:
            yield from _compare(root / name, units, goes, view, seen, config)
    for source, rows in known.items():
        told = np.stack([rows[column].to_numpy() for column in NUMBERS])
        wrong = np.flatnonzero((told != counted[source]).any(axis=0) | (told[0] < made.facts[source]["needed_documents"]))
        if len(wrong):
            first = rows["hash"][int(wrong[0])].as_py()
            yield f"{root / UNITS}: {len(wrong)} units of {source} have other counts, the first: hash {first}"


def _decided(view: View, seen: View, made: Manifest) -> tuple[scores.Units, npt.NDArray[np.bool_]]:
    """The units of the rows alive, and which of them are removed."""
    alive = view.read(["doc_id"])
    name = name_of(made.stage, "scores", view.name)
    entries = {name: entry for shard in made.shards if shard.name == view.name for name, entry in shard.files.items()}
    units = scores.units_of(scores.read(view, (name, entries[name]), alive)["units"])
    if seen.verdicts is None:
        raise CorruptFile(f"{made.stage}: its manifest names no verdicts of {seen.name}; run the build again")
    removed = one_batch(shards.read(view.root, seen.verdicts).take(pa.array(alive.rows)))["removed"]
    places = np.repeat(units.bounds[:-1], removed.value_lengths().to_numpy()) + removed.flatten().to_numpy()
    goes = np.zeros(len(units.hashes), dtype=np.bool_)
    goes[places] = True
    return units, goes


def _add(
    counted: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], units: scores.Units, goes: npt.NDArray[np.bool_]
) -> None:
    """Add a shard's counts to those of the units `hashes`, which are in ascending order."""
    groups = units.grouped()
    mine = np.isin(groups.hashes, hashes)
    place = np.searchsorted(hashes, groups.hashes[mine])
    counted[0, place] += groups.documents[mine]
    counted[1, place] += groups.occurrences[mine]
    place = np.searchsorted(hashes, units.hashes[goes])
    np.add.at(counted[2], place, 1)
    np.add.at(counted[3], place, (units.ends - units.starts)[goes])


def _compare(
    path: Path, units: scores.Units, goes: npt.NDArray[np.bool_], view: View, seen: View, config: RepeatsConfig
) -> Iterator[str]:
    """Split the text before and after the edits, and compare both with what is stored."""
    texts, left = view.read(), seen.read()
    then = scores.units_of(scores.split(one_batch(texts.table)["text"], config)["units"])
    if not np.array_equal(then.hashes, units.hashes) or not np.array_equal(then.bounds, units.bounds):
        yield f"{path}: the units of the texts are not those of the scores"
        return
    now = scores.units_of(scores.split(one_batch(left.table)["text"], config)["units"])
    stays = ~goes & np.isin(texts.rows, left.rows)[units.rows]
    if not np.array_equal(now.hashes, units.hashes[stays]):
        yield f"{path}: what is left of the texts is not what the verdicts leave"
