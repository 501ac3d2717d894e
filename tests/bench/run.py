"""Runs each stage beside what people use today, on the same documents, and says how many times faster it is.

Purpose: one table of medians and ratios, and one JSON line per row. A module `bench_<name>` here is a bench:

    STAGE: str                                             the row's `stage`
    ours(batch) -> object                                  a batch with the column `text` (large_string), as stages get it
    peers() -> dict[str, Callable[[batch], object] | None] the same of others; None: its package is not installed
    PEER_BYTES: dict[str, int] = {}                        peers that need minutes get a sample of about so much text
    ENGLISH: bool = False                                  only English documents
    UNSPACED: bool = False                                 only Chinese and Japanese documents
    WHOLE: bool = False                                    one batch of all documents, not one per shard
    BY_NAME: bool = False                                  only when it is named: it takes minutes

or, where a stage does not go batch by batch,

    measure(folder, *, rounds, clock) -> (rows, peers that are not installed)

Guarantee: reading the column is part of every measurement, compiling and loading models of none. Both sides of a row read
the same documents, in turn, on one thread (`__main__` pins the process).
Cost: `--rounds` (3) times what the peers take; 10 minutes at most for all of it on an idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from tests.bench import texts
from tests.bench.texts import Sample
from tokenmill.pipeline.base import files

Run = Callable[[pa.RecordBatch], object]
WARM_UP_DOCUMENTS = 64


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage beside one peer, or alone. Rates are medians, in MB (10^6 bytes) of text per second."""

    stage: str
    ours_mb_s: float
    peer: str | None = None
    peer_mb_s: float | None = None
    ratio: float | None = None
    threads: int = 1


def stages() -> list[str]:
    """The names of the benches, from the modules here."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def measure(
    bench: Any, table: pa.Table, folder: Path, *, rounds: int, clock: Callable[[], float]
) -> tuple[list[Row], list[str]]:
    """The rows of one bench over the documents of `table`, and the peers that are not installed.

    `folder`: for samples. `clock`: seconds, of the wall or of this process's CPU time.
    """
    found: dict[str, Run | None] = bench.peers()
    peers = {name: run for name, run in found.items() if run is not None}
    wanted = {name: getattr(bench, "PEER_BYTES", {}).get(name) for name in peers}
    samples = {size: texts.sample(table, folder, size) for size in dict.fromkeys(wanted.values())}
    small = table.slice(0, WARM_UP_DOCUMENTS).combine_chunks().to_batches()[0]
    for run in (bench.ours, *peers.values()):
        run(small)
    whole = getattr(bench, "WHOLE", False)
    ours: dict[int | None, list[float]] = {size: [] for size in samples}
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(rounds):
        for size, sample in samples.items():
            ours[size].append(_seconds(bench.ours, sample, clock, whole=whole))
        for name, run in peers.items():
            theirs[name].append(_seconds(run, samples[wanted[name]], clock, whole=whole))
    rows = []
    for name, size in wanted.items():
        mine, their = statistics.median(ours[size]), statistics.median(theirs[name])
        mb = samples[size].text_bytes / 1e6
        rates = {"ours_mb_s": significant(mb / mine), "peer_mb_s": significant(mb / their)}
        rows.append(Row(stage=bench.STAGE, peer=name, ratio=significant(their / mine), **rates))
    return rows, [name for name in found if name not in peers]


def _seconds(run: Run, sample: Sample, clock: Callable[[], float], *, whole: bool) -> float:
    """The time of reading and running every shard, or all of them at once, without collecting others' garbage."""
    gc.collect()
    begun = clock()
    batches = map(texts.read, sample.shards)
    for batch in [pa.concat_batches(batches)] if whole else batches:
        run(batch)
    return clock() - begun


def significant(value: float) -> float:
    """The value with three digits that count."""
    return float(f"{value:.3g}")


def table_of(rows: Sequence[Row]) -> Table:
    """The rows as people read them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("stage", "ours MB/s", "peer", "peer MB/s", "ratio"):
        table.add_column(heading, justify="left" if heading in ("stage", "peer") else "right")
    for row in rows:
        beside = (row.peer, f"{row.peer_mb_s:g}", f"{row.ratio:g} x") if row.peer else ()
        table.add_row(row.stage, f"{row.ours_mb_s:g}", *beside)
    return table


def write(rows: Sequence[Row], path: Path) -> None:
    """One JSON line per row."""
    files.write_bytes(path, b"".join(json.dumps(dataclasses.asdict(row)).encode() + b"\n" for row in rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Each stage beside its peers.")
    parser.add_argument("--only", nargs="*", choices=stages(), help="these stages (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--cpu", action="store_true", help="measure CPU time: for a machine that others use too")
    parser.add_argument("--out", type=Path, default=texts.ROOT / "build" / "bench.jsonl", help="default: build/bench.jsonl")
    options = parser.parse_args(arguments)
    clock = time.process_time if options.cpu else time.perf_counter
    rows: list[Row] = []
    console = Console()
    with tempfile.TemporaryDirectory(prefix="tokenmill-bench-") as folder:
        for name in options.only or stages():
            bench = importlib.import_module(f"tests.bench.bench_{name}")
            if not options.only and getattr(bench, "BY_NAME", False):
                continue
            sys.stderr.write(f"{name} ...\n")
            if hasattr(bench, "measure"):
                more, missing = bench.measure(Path(folder, name), rounds=options.rounds, clock=clock)
            else:
                chosen = {kind.lower(): getattr(bench, kind, False) for kind in ("ENGLISH", "UNSPACED")}
                table = texts.documents(options.out.parent / "bench", **chosen)
                more, missing = measure(bench, table, Path(folder, name), rounds=options.rounds, clock=clock)
            rows += more
            for peer in missing:
                sys.stderr.write(f"{name}: {peer} is not installed, its row is left out\n")
    write(rows, options.out)
    console.print(table_of(rows))
    timed = "CPU time of the process" if options.cpu else "wall clock"
    console.print(f"\nMedians of {options.rounds} rounds, {timed}, one thread. Rows: {options.out}")
