"""All steps of deduplication over documents with planted near duplicates, beside what others deduplicate with.

`make bench` measures DOCUMENTS on one thread, and the steps one by one; `python -m tests.bench.bench_dedup --documents
1000000 --workers 2` a corpus of any size, with the memory of all processes. datatrove signs, sorts buckets, clusters and
filters through files as its users run it, with our bands and rows; datasketch signs and asks its index of earlier documents, in
memory. Neither looks at a pair before it drops one, so they do less.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from tests.bench import planted
from tests.bench.bench_minhash_signatures import SCHEME, word_ngrams
from tests.bench.datatrove_peers import installed, regex_splitter
from tests.bench.memory import watched
from tests.bench.run import Row, significant
from tokenmill.pipeline.base import executor, files
from tokenmill.pipeline.base.executor import Executor, InProcess
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

STAGE = "dedup"
DOCUMENTS = 50_000
PEER_DOCUMENTS = {"datatrove": 2_500, "datatrove_regex": 10_000, "datasketch": 10_000}
STEPS = {
    "sign": ("score_shard",),
    "band": ("_gather", "_rank", "_group", "_write_bands", "_pair"),
    "verify": ("_unite", "_join", "_by_range", "_find", "_write_sets", "_compare", "_merge"),
    "publish": ("_publish",),
}
"""The parts of the stage by what runs in workers; `resolve` is what is left."""

Task = TypeVar("Task")
Answer = TypeVar("Answer")
Clock = Callable[[], float]


def _nothing(_: int) -> None: ...


@dataclass
class Timed:
    """An executor that adds up the time of each function."""

    inner: Executor
    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def workers(self) -> int:
        return self.inner.workers

    def map(
        self, function: Callable[[Task], Answer], tasks: Sequence[Task], *, done: Callable[[int], None] = _nothing
    ) -> list[Answer]:
        begun = self.clock()
        answers = self.inner.map(function, tasks, done=done)
        self.seconds[function.__name__] = self.seconds.get(function.__name__, 0.0) + self.clock() - begun
        return answers


def dedup(work: Work, clock: Clock = time.perf_counter) -> tuple[Done, dict[str, float]]:
    """Deduplicate from nothing; the seconds of each step, and of `all`."""
    for folder in (".state", "dedup"):
        for path in sorted((work.root / folder).rglob("*")):
            if path.is_file():
                files.remove(path)
    timed = Timed(work.executor, clock)
    step = StageStep(Dedup(config=DedupConfig(), sources=(planted.SOURCE,)))
    step.stage.prepare()
    begun = clock()
    done = perform(step, Work(root=work.root, before=work.before, executor=timed), downstream=())
    seconds = {"all": clock() - begun}
    for name, functions in STEPS.items():
        seconds[name] = sum(timed.seconds[function] for function in functions)
    seconds["resolve"] = 2 * seconds["all"] - sum(seconds.values())
    return done, seconds


def measure(folder: Path, *, rounds: int, clock: Clock) -> tuple[list[Row], list[str]]:
    """The rows of this bench, and the peers that are not installed."""
    found = peers()
    there = {name: run for name, run in found.items() if run is not None}
    sizes = {DOCUMENTS, *(PEER_DOCUMENTS[name] for name in there)}
    corpora = {size: planted.corpus(folder / str(size), size, InProcess()) for size in sorted(sizes)}
    ours: dict[int, list[dict[str, float]]] = {size: [] for size in corpora}
    theirs: dict[str, list[float]] = {name: [] for name in there}
    for run in there.values():
        run(planted.texts(0, 100), folder / "warm-up")
    for turn in range(rounds):
        for size, work in corpora.items():
            ours[size].append(dedup(work, clock)[1])
        for name, run in there.items():
            begun = clock()
            run(_texts(corpora[PEER_DOCUMENTS[name]]), folder / f"{name}-{turn}")
            theirs[name].append(clock() - begun)

    def rate(size: int, seconds: Sequence[float]) -> float:
        return significant(corpora[size].before[0].counts.bytes_in / 1e6 / statistics.median(seconds))

    rows = []
    for name in there:
        size = PEER_DOCUMENTS[name]
        mine = [one["all"] for one in ours[size]]
        ratio = significant(statistics.median(theirs[name]) / statistics.median(mine))
        rates = {"ours_mb_s": rate(size, mine), "peer_mb_s": rate(size, theirs[name])}
        rows.append(Row(stage=STAGE, peer=name, ratio=ratio, **rates))
    for step in ours[DOCUMENTS][0]:
        name = STAGE if step == "all" else f"{STAGE}_{step}"
        rows.append(Row(stage=name, ours_mb_s=rate(DOCUMENTS, [one[step] for one in ours[DOCUMENTS]])))
    return rows, [name for name in found if name not in there]


def _texts(work: Work) -> pa.ChunkedArray:
    return pa.chunked_array([view.read(["text"]).table["text"].combine_chunks() for view in views(work.root, work.before)])


def peers() -> dict[str, Callable[[pa.ChunkedArray, Path], object] | None]:
    datatrove = installed("datatrove", "spacy")
    return {
        "datatrove": _datatrove(regex=False) if datatrove else None,
        "datatrove_regex": _datatrove(regex=True) if datatrove else None,
        "datasketch": _datasketch if installed("datasketch") else None,
    }


def _datatrove(*, regex: bool) -> Callable[[pa.ChunkedArray, Path], object]:
    import xxhash
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    bands = MinhashConfig(num_buckets=SCHEME.bands, hashes_per_bucket=SCHEME.rows)

    def run(texts: pa.ChunkedArray, folder: Path) -> int:
        sign = MinhashDedupSignature(output_folder=str(folder / "signatures"), config=bands)
        # datatrove 0.10.1 gives xxhash a string, which xxhash refuses since its version 4.
        sign._hash_func = lambda text: xxhash.xxh64_intdigest(text.encode())
        if regex:
            sign.word_tokenizer = regex_splitter()
        buckets = MinhashDedupBuckets(
            input_folder=str(folder / "signatures"), output_folder=str(folder / "buckets"), config=bands
        )
        cluster = MinhashDedupCluster(input_folder=str(folder / "buckets"), output_folder=str(folder / "removed"), config=bands)
        keep = MinhashDedupFilter(input_folder=str(folder / "removed"))

        def documents() -> Iterator[Any]:
            return (Document(text=text.as_py(), id=str(row)) for row, text in enumerate(texts))

        sign.run(documents())
        for bucket in range(SCHEME.bands):
            buckets.run(rank=bucket, world_size=SCHEME.bands)
        cluster.run()
        return sum(1 for _ in keep.run(documents()))

    return run


def _datasketch(texts: pa.ChunkedArray, _: Path) -> int:
    from datasketch import MinHash, MinHashLSH

    encoded = ([ngram.encode() for ngram in ngrams] for ngrams in word_ngrams(texts.to_pylist()))
    index = MinHashLSH(num_perm=SCHEME.bands * SCHEME.rows, params=(SCHEME.bands, SCHEME.rows))
    kept = 0
    for row, signature in enumerate(MinHash.generator(encoded, num_perm=SCHEME.bands * SCHEME.rows, seed=1)):
        if not index.query(signature):
            index.insert(row, signature, check_duplication=False)
            kept += 1
    return kept


def main() -> None:
    """A corpus of any size: seconds of the wall clock by step, and the peak of memory."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_dedup", description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the corpus is, or is made (default: a temporary folder)")
    options = parser.parse_args()
    place: AbstractContextManager[Any] = (
        nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory(prefix="tokenmill-bench-")
    )
    with place as folder, executor.local(options.workers) as pool:
        work = planted.corpus(Path(folder), options.documents, pool)
        with watched() as peak:
            done, seconds = dedup(work)
    size = work.before[0].counts.bytes_in / 1e6
    print(f"{options.documents} documents, {size:.0f} MB of text, {options.workers} workers")
    for name, took in seconds.items():
        print(f"{name:>10} {took:8.2f} s {size / took:8.0f} MB/s")
    print(f"CPU time of all processes: {peak.cpu_seconds:.1f} s")
    print(
        f"memory of all processes: {peak.resident / 2**20:.0f} MiB resident, {peak.proportional / 2**20:.0f} MiB proportional"
    )
    print(dict(done.manifest.facts), dict(done.manifest.counts.dropped))


if __name__ == "__main__":
    main()
