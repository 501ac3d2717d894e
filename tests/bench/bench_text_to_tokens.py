"""The whole way from text to tokens, as typed: `tokenmill build` beside the same steps of datatrove, each on 1 and 2 workers.

English text in JSON lines or Parquet -> language, Gopher's repetition and quality, C4, FineWeb's rules, MinHash (14 x 8),
tokens with a vocabulary of 32,768. A rate is the bytes of text by the seconds beyond those of a build of one document, so that
imports, the loading of models and the report, which do not grow with the text, are left out on both sides; standard error says
both. datatrove gets a sample of PEER_BYTES. Two texts: documentation, of which the rules drop most, and books, of which they
keep most. With `--cpu`, seconds are those of all processes: two workers then say what they cost together, not how fast they
are.
"""

from __future__ import annotations

import ctypes
import functools
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from tests.bench import texts
from tests.bench.bench_bpe_encode import _encoder
from tests.bench.datatrove_peers import installed
from tests.bench.run import Row, significant
from tokenmill.pipeline.tokens.store import TokenStore

STAGE = "text_to_tokens"
PEER_BYTES = 2_000_000
WORKERS = (1, 2)
BOOKS = texts.BENCH_TEXT.with_name("books_en.jsonl.gz")
CHAPTER_CHARACTERS = 5_000
CONFIG = """
stages = ["language", "quality", "dedup"]
[collect]
paths = [{source}]
[language]
keep = ["en"]
threshold = 0.65
[quality]
recipe = "fineweb@1"
[dedup]
bands = 14
rows = 8
[tokenizer]
path = {tokenizer}
"""
ADOPTS_ORPHANS = 36
"""PR_SET_CHILD_SUBREAPER of Linux: the processes of a command that ended are waited for here, and their CPU time counts."""

Run = Callable[[Path, Path, int], object]


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """The rows of this bench, and the peers that are not installed."""
    timed = functools.partial(_seconds, cpu=clock is time.process_time)
    table = texts.documents(texts.ROOT / "build" / "bench", english=True)
    folder.mkdir(parents=True)
    tokenizer = _encoder().path
    inputs = {STAGE: (table, "parquet"), f"{STAGE}_jsonl": (table, "jsonl")}
    if BOOKS.is_file():
        inputs[f"{STAGE}_books"] = (pa.table({"text": pa.array(_chapters(), pa.large_string())}), "jsonl")
    one = table.slice(0, 1)
    there = installed("datatrove", "spacy", "orjson")
    ours, peer = functools.partial(_ours, tokenizer=tokenizer), functools.partial(_datatrove, tokenizer=tokenizer)
    rows = []
    for workers in WORKERS:
        empty = {kind: texts.write_halves(folder / f"empty-{kind}", one, kind) for kind in ("parquet", "jsonl")}
        none = {kind: _median(timed, ours, source, workers, rounds) for kind, source in empty.items()}
        none_theirs = timed(peer, empty["jsonl"], workers) if there else 0.0
        for stage, (documents, kind) in inputs.items():
            whole = texts.write_halves(folder / stage, documents, kind)
            seconds = _median(timed, ours, whole, workers, rounds)
            size = texts.bytes_of(documents)
            mine = size / 1e6 / (seconds - none[kind])
            _say(f"{stage}, {workers} workers: {size:,} bytes in {seconds:.2f} s, a document in {none[kind]:.2f} s")
            beside = {}
            # JSON lines and Parquet cost datatrove the same beside its filters.
            if there and kind != "parquet":
                sample = documents.slice(0, texts.rows_of(documents, PEER_BYTES))
                theirs = timed(peer, texts.write_halves(folder / f"{stage}-sample", sample, kind), workers)
                size = texts.bytes_of(sample)
                _say(f"datatrove: {size:,} bytes in {theirs:.2f} s, a document in {none_theirs:.2f} s")
                rate = size / 1e6 / (theirs - none_theirs)
                beside = {"peer": "datatrove", "peer_mb_s": significant(rate), "ratio": significant(mine / rate)}
            rows.append(Row(stage=stage, ours_mb_s=significant(mine), threads=workers, **beside))
    return rows, [] if there else ["datatrove"]


def _ours(source: Path, out: Path, workers: int, *, tokenizer: Path) -> None:
    config = out.with_suffix(".toml")
    config.write_text(CONFIG.format(source=json.dumps(str(source)), tokenizer=json.dumps(str(tokenizer))))
    command = [str(Path(sys.executable).with_name("tokenmill")), "build", str(config), "--no-prefect"]
    subprocess.run([*command, "--out", str(out), "--workers", str(workers)], check=True, capture_output=True)
    store = TokenStore.open(out)
    _say(f"{source.name}: {sum(store.split(name).tokens for name in ('train', 'val')):,} tokens")


def _datatrove(source: Path, out: Path, workers: int, *, tokenizer: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.datatrove_whole", str(source), str(out), str(tokenizer), str(workers)]
    subprocess.run(command, check=True, capture_output=True, cwd=texts.ROOT)


def _seconds(run: Run, source: Path, workers: int, *, cpu: bool) -> float:
    """What a command takes by the wall clock, or the CPU time of all its processes."""
    out = source.with_name(f"{source.name}-out")
    shutil.rmtree(out, ignore_errors=True)
    _reap()
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run(source, out, workers)
    took = time.perf_counter() - begun
    if not cpu:
        return took
    _reap()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _reap() -> None:
    """Wait for all processes of the commands before."""
    ctypes.CDLL(None).prctl(ADOPTS_ORPHANS, 1, 0, 0, 0)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _median(timed: Callable[[Run, Path, int], float], run: Run, source: Path, workers: int, rounds: int) -> float:
    return statistics.median(timed(run, source, workers) for _ in range(rounds))


def _chapters() -> Iterator[str]:
    """Books, cut between paragraphs into pieces of about CHAPTER_CHARACTERS."""
    with gzip.open(BOOKS, "rt", encoding="utf-8") as lines:
        for line in lines:
            held: list[str] = []
            for paragraph in json.loads(line)["text"].split("\n\n"):
                held.append(paragraph)
                if sum(map(len, held)) >= CHAPTER_CHARACTERS:
                    yield "\n\n".join(held)
                    held = []


def _say(line: str) -> None:
    sys.stderr.write(f"  {line}\n")
