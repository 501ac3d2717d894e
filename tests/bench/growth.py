"""How the steps grow with the corpus: `python -m tests.bench.growth --shards 200 1000 5000` over a build of tiny shards
(`growth_shards`), and `--millions 1 4 16` for `band` and `resolve` over simulated signatures.

Score shards as the stage writes them, without texts: documents are those of `planted` by number, and a copy shares each band
of its original with probability s^rows, as signatures of similarity s do. Pairs get their simulated similarity in the place
of one computed from texts; reading the shards, sorting, pairing, deciding and making verdicts are what a build does.
Cost: 16 million documents take 3 GB of disk, and minutes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.bench import growth_shards, planted
from tests.bench.memory import watched
from tokenmill.pipeline.base import executor, schema, shards
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.stages.dedup import known, survivor
from tokenmill.pipeline.stages.dedup.candidates import band, pair
from tokenmill.pipeline.stages.dedup.collected import PLACE_BITS, ROWS, Scored, gather
from tokenmill.pipeline.stages.dedup.exact import distinct
from tokenmill.pipeline.stages.dedup.rounds import settle
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import score_schema
from tokenmill.pipeline.stages.dedup.verdicts import ShardVerdicts, verdicts
from tokenmill.pipeline.stages.dedup.verify import Compared, Comparer, New
from tokenmill.pipeline.stages.step import Work

CONFIG = DedupConfig()
SCHEME = CONFIG.scheme
DOCUMENTS_PER_SHARD = 50_000
SOURCE = "simulated"
NGRAMS = 500
"""Of each document, as a pair says it."""


@leaf
def _level(number: int, levels: npt.NDArray[np.float64]) -> float:
    """The similarity of a document to its original, which is 1 where it is its own."""
    if planted.original_of(number, 1) == number:
        return 1.0
    return levels[np.int64(mix64(np.uint64(number)) % np.uint64(len(levels)))]


@leaf
def _sign(
    first: int,
    rows: int,
    levels: npt.NDArray[np.float64],
    ids: npt.NDArray[np.uint64],
    exact: npt.NDArray[np.uint64],
    bands: npt.NDArray[np.uint64],
) -> None:
    """Signatures of the documents from `first` on; ids, exact: uint64 [documents, 2]; bands: [documents, bands]."""
    for at in range(len(ids)):
        number, original = first + at, planted.original_of(first + at, 1)
        level = _level(number, levels)
        text = original if level == 1.0 else number
        for half in range(2):
            ids[at, half] = mix64(np.uint64(4 * number + half))
            exact[at, half] = mix64(np.uint64(4 * text + 2 + half))
        for which in range(bands.shape[1]):
            draw = mix64(mix64(np.uint64(number)) + np.uint64(which))
            shared = (draw >> np.uint64(11)) * 2.0**-53 < level**rows
            bands[at, which] = mix64(mix64(np.uint64(original if shared else number)) ^ np.uint64(which << 8 | 255))


@leaf
def _similarities(
    lower: npt.NDArray[np.int64], higher: npt.NDArray[np.int64], levels: npt.NDArray[np.float64], out: npt.NDArray[np.float64]
) -> None:
    """Of documents of one original the product of their similarities to it, 0 of others."""
    for at in range(len(out)):
        same = planted.original_of(lower[at], 1) == planted.original_of(higher[at], 1)
        out[at] = _level(lower[at], levels) * _level(higher[at], levels) if same else 0.0


@dataclass(frozen=True, kw_only=True)
class _Task:
    root: Path
    first: int
    last: int


def _write(task: _Task) -> Scored:
    rows, split = task.last - task.first, f"{task.first // DOCUMENTS_PER_SHARD:06d}"
    ids, exact = np.zeros((2, rows, 2), dtype=np.uint64)
    bands = np.zeros((rows, SCHEME.bands), dtype=np.uint64)
    _sign(task.first, SCHEME.rows, np.array(planted.LEVELS), ids, exact, bands)
    doc_ids = _binary(ids, schema.DOC_ID.type)
    scored = pa.schema([schema.DOC_ID, *score_schema(CONFIG)])
    columns = [
        doc_ids,
        _binary(exact, scored.field("exact").type),
        pa.array(np.full(rows, 500, dtype=np.int32)),
        pa.array(np.full(rows, 3_000)),
        _binary(bands, scored.field("bands").type),
    ]
    scores, documents = f"dedup/scores/{SOURCE}/{split}.parquet", f"documents/{SOURCE}/{split}.parquet"
    named = (scores, shards.write(task.root, scores, pa.table(columns, schema=scored)))
    entry = shards.write(task.root, documents, pa.table({"doc_id": doc_ids}))
    return View(root=task.root, name=f"{SOURCE}/{split}", documents=(documents, entry)), named


def _binary(values: npt.NDArray[np.uint64], kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


@dataclass(frozen=True, kw_only=True)
class _Simulating:
    new: New
    path: Path


@dataclass(kw_only=True)
class Simulated:
    """A `rounds.Comparing` that knows the similarities."""

    comparer: Comparer

    def new(
        self, pairs: Sequence[Sequence[Run]], ranges: Sequence[Range], before: Sequence[Sequence[Run]], turn: int
    ) -> list[New]:
        return self.comparer.new(pairs, ranges, before, turn)

    def compare(self, new: Sequence[New], turn: int) -> list[Compared]:
        folder = self.comparer.means.folder
        tasks = [_Simulating(new=one, path=folder / f"{turn}-{number}") for number, one in enumerate(new)]
        return self.comparer.means.executor.map(_simulate, tasks)


def _simulate(task: _Simulating) -> Compared:
    higher, lower, *_ = task.new.run.columns()
    places, _, ranks = task.new.wanted.columns()
    numbers = (places >> np.uint64(PLACE_BITS)) * np.uint64(DOCUMENTS_PER_SHARD) + (places & np.uint64(ROWS))
    order = np.argsort(ranks)
    sides = (numbers[order[np.searchsorted(ranks, side, sorter=order)]].astype(np.int64) for side in (lower, higher))
    found = np.empty(len(higher))
    _similarities(*sides, np.array(planted.LEVELS), found)
    by_key = runs.write(task.path.with_suffix(".key"), *(np.empty(0, dtype=kind) for kind in known.KNOWN))
    sizes = np.full((2, len(found)), NGRAMS, dtype=np.uint32)
    return Compared(by_pair=runs.write(task.path, higher, lower, found, *sizes), by_key=by_key, now=len(found))


def measure(documents: int, workers: int, root: Path, memory_bytes: int) -> dict[str, float]:
    """Seconds of each step over so many documents, and what the highest memory was, in bytes."""
    firsts = range(0, documents, DOCUMENTS_PER_SHARD)
    tasks = [_Task(root=root, first=at, last=min(documents, at + DOCUMENTS_PER_SHARD)) for at in firsts]
    with executor.local(workers) as pool:
        _write(_Task(root=root / "warm-up", first=0, last=2))
        scored = pool.map(_write, tasks)
        work = Work(root=root, before=(), executor=pool, memory_bytes=memory_bytes)
        means = work.means(root / "work")
        views = [view for view, _ in scored]
        with watched() as peak:
            times = [time.perf_counter()]
            gathered = gather(scored, CONFIG, survivor.criteria(CONFIG.survivor, None, views, (SOURCE,), work), means)
            texts = distinct(gathered, means)
            times.append(time.perf_counter())
            bands = band(scored, gathered.alive, texts.leaders, SCHEME.bands, means)
            pairs = pair(bands, CONFIG.bucket_limit, means)
            runs.remove([*bands, *texts.leaders])
            times.append(time.perf_counter())
            comparer = Comparer(views=views, hashes=texts.hashes, known=[], scheme=SCHEME, folding=CONFIG.folding, means=means)
            settled = settle(
                pairs,
                Simulated(comparer=comparer),
                ranks=texts.documents,
                threshold=CONFIG.threshold,
                loses=CONFIG.loses,
                limit=CONFIG.bucket_limit,
                means=means,
            )
            found, _ = verdicts(settled.decision, texts, gathered.alive, CONFIG.compared, means)
            kept = sum(pool.map(_kept, found))
            times.append(time.perf_counter())
    return {
        **dict(zip(("collect", "band", "resolve"), np.diff(times), strict=True)),
        "cpu": peak.cpu_seconds,
        "driver": peak.driver,
        "worker": peak.worker,
        "pairs": pairs.total,
        "edges": settled.decision.edges,
        "kept": kept,
    }


def _kept(one: ShardVerdicts) -> int:
    return int(schema.alive(one.read()["reason"]).sum())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 4])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=float, default=512, help="MiB for each worker")
    parser.add_argument("--shards", type=int, nargs="+")
    parser.add_argument("--stages", nargs="*", default=growth_shards.STAGES)
    options = parser.parse_args()
    if options.shards:
        growth_shards.show(options.shards, options.stages)
        return
    names = ("documents", "collect s", "band s", "resolve s", "CPU s", "ns/n log2 n", "driver MiB", "worker MiB")
    print(*(f"{name:>11}" for name in (*names, "pairs", "edges", "kept")))
    for millions in options.millions:
        documents = int(millions * 1e6)
        with tempfile.TemporaryDirectory(prefix="tokenmill-growth-") as folder:
            found = measure(documents, options.workers, Path(folder), int(options.memory * 2**20))
        times = [f"{found[name]:.2f}" for name in ("collect", "band", "resolve", "cpu")]
        growth = f"{found['cpu'] / (documents * math.log2(documents)) * 1e9:.0f}"
        sizes = [f"{found[name] / 2**20:.0f}" for name in ("driver", "worker")]
        counts = [f"{found[name]:.0f}" for name in ("pairs", "edges", "kept")]
        print(*(f"{value:>11}" for value in (documents, *times, growth, *sizes, *counts)), flush=True)


if __name__ == "__main__":
    main()
