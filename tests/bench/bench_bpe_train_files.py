"""BPE training from a file of 64 MB of lines to 32,768 tokens, by GPT-2's pattern, beside gigabpe, which has no other.

Both read the file, and give vocabulary and merges. These are compared: gigabpe has a few more, because its vocabulary lacks the
bytes that do not occur. One thread.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.bench import texts
from tests.bench.run import Row, significant
from tests.tokenizer.bpe_peers import Named, learn, named
from tokenmill.tokenizer import count, sums
from tokenmill.tokenizer.pretokenize import pattern

STAGE = "bpe_train_files"
FILE_BYTES = 64_000_000
VOCABULARY = 32_768
CUT = pattern("gpt2")


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """The row of 64 MB."""
    return compared(STAGE, FILE_BYTES, folder, rounds=rounds, clock=clock)


def compared(
    stage: str, file_bytes: int, folder: Path, *, rounds: int, clock: Callable[[], float]
) -> tuple[list[Row], list[str]]:
    """The row of a file of about so many bytes: the bench text, again in other orders of its documents where it ends."""
    path = _written(folder / "lines.txt", file_bytes)
    peer = partial(_gigabpe, path) if find_spec("gigabpe") else None
    ours: list[float] = []
    theirs: list[float] = []
    _ours(_written(folder / "few.txt", 1_000_000))
    for _ in range(rounds):
        seconds, mine = _timed(partial(_ours, path), clock)
        ours.append(seconds)
        if peer is not None:
            seconds, other = _timed(peer, clock)
            theirs.append(seconds)
            assert mine[1] == other[1][: len(mine[1])], "the same merges"
    mb = path.stat().st_size / 1e6
    rate = significant(mb / statistics.median(ours))
    if peer is None:
        return [Row(stage=stage, ours_mb_s=rate)], ["gigabpe"]
    beside = statistics.median(theirs)
    ratio = significant(beside / statistics.median(ours))
    return [Row(stage=stage, ours_mb_s=rate, peer="gigabpe", peer_mb_s=significant(mb / beside), ratio=ratio)], []


def _timed(run: Callable[[], Named], clock: Callable[[], float]) -> tuple[float, Named]:
    gc.collect()
    begun = clock()
    found = run()
    return clock() - begun, found


def _ours(path: Path) -> Named:
    data = np.fromfile(path, dtype=np.uint8)
    # Each line is a text of its own, as a file of lines is read by `tokenizers`.
    ends = np.flatnonzero(data == ord("\n")) + 1
    offsets = np.append(np.int64(0), ends)
    lines = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))
    (table,) = count.count(lines, CUT, budget_bytes=1 << 40)
    return named(learn(sums.ranked(table), vocabulary=VOCABULARY))


def _gigabpe(path: Path) -> Named:
    import gigabpe

    vocab, merges = gigabpe.train_bpe([str(path)], VOCABULARY, pretokenizer="bytelevel", threads=1)
    return vocab, merges


def _written(path: Path, file_bytes: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = texts.documents(texts.ROOT / "build" / "bench")["text"].combine_chunks()
    rng, size = np.random.default_rng(texts.SEED), 0
    with path.open("wb") as out:
        while True:
            for row in rng.permutation(len(column)).tolist():
                size += out.write(column[row].as_py().encode().rstrip(b"\n") + b"\n")
                if size >= file_bytes:
                    return path
