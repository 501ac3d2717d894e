"""Encoders beside each other on a gigabyte or more: `python -m tests.bench.encoders --gigabytes 1 [--pattern cl100k]`.

The text is the bench text again and again, its documents in another seeded order each time, so that no cache of whole
documents helps. All pre-tokens have been seen after the first time, so its rate (cold) is printed apart from the others (warm).
One thread each, CPU time, 16 MB a batch, strings in and one array of ids out. Every document's ids are compared with those that
`tokenizers` gave the first time. `--hostile` compares made-up texts of many scripts instead, where tables of Unicode and
regular expressions differ. gigatoken is no dependency of ours: install it for this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import fastokens
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers

from tests.bench import texts
from tests.tokenizer.bpe_peers import learn
from tokenmill.pipeline.tokens import golden
from tokenmill.tokenizer import count, sums
from tokenmill.tokenizer.pretokenize import pattern
from tokenmill.tokenizer.step import tokenizer_json

Flat = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]
Encode = Callable[[list[str]], Flat]
BATCH_BYTES = 16_000_000
LATE = (0xA7C0, 0xA7F8)
"""A block in which Unicode 17 assigned letters."""
POOLS = [
    *(range(*ends) for ends in ((0x20, 0x7F), (0, 0x20), (0x80, 0x600), (0x600, 0x1200), (0x1F300, 0x1FA00), (0x4E00, 0x4F00))),
    *(range(*ends) for ends in ((0xAC00, 0xAC80), LATE, (0x10000, 0x12000), (0x1D400, 0x1D800), (0xE0001, 0xE0080))),
    *(
        [ord(one) for one in chosen]
        for chosen in ("'sStTrReEvVlLdDmM \n\r", " \n\r\t0123456789", "\x85\xa0\u2028\u3000\ufeff\ud7ff\ue000")
    ),
]


def encoders(data: bytes) -> dict[str, Encode]:
    """The libraries with one tokenizer, which has no special tokens, so that all of them take every text as text."""
    plain = json.dumps({**json.loads(data), "added_tokens": [], "decoder": None})
    judge, fast = tokenizers.Tokenizer.from_str(plain), fastokens.Tokenizer.from_json_str(plain)

    def slow(batch: list[str]) -> Flat:
        parts = [one.ids for one in judge.encode_batch_fast(batch, add_special_tokens=False)]
        ids = np.fromiter((number for part in parts for number in part), dtype=np.uint32)
        return ids, np.array([len(part) for part in parts], dtype=np.int64)

    def quick(batch: list[str]) -> Flat:
        ids, edges = fast.encode_batch_flat(batch, add_special_tokens=False, split_special_tokens=True)
        return np.frombuffer(ids, "<u4"), np.diff(np.frombuffer(edges, "<u8").astype(np.int64))

    found = {"tokenizers": slow, "fastokens": quick}
    try:
        import gigatoken
    except ImportError:
        sys.stderr.write("gigatoken is not installed, it is left out\n")
        return found
    giga = gigatoken.Tokenizer.from_json(plain)

    def other(batch: list[str]) -> Flat:
        layout = giga.encode_batch(batch, parallel=False).layout
        return np.asarray(layout.content.data), np.diff(np.asarray(layout.offsets))

    return {**found, "gigatoken": other}


def digests(flat: Flat) -> list[bytes]:
    """A hash of the ids of each text."""
    ids, counts = flat
    return [hashlib.blake2b(part.tobytes(), digest_size=8).digest() for part in np.split(ids, np.cumsum(counts)[:-1])]


def batches(column: pa.LargeStringArray, order: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    ends = np.cumsum(pc.binary_length(column.take(pa.array(order))).to_numpy())
    yield from np.split(order, np.searchsorted(ends, np.arange(BATCH_BYTES, ends[-1], BATCH_BYTES)))


def compare(column: pa.LargeStringArray, known: dict[str, Encode], gigabytes: float) -> None:
    """Print the rates, cold and warm, and how many documents get other ids than those of `tokenizers`."""
    size = pc.sum(pc.binary_length(column)).as_py()
    rng, wanted = np.random.default_rng(texts.SEED), np.empty(len(column), dtype="S8")
    rates: dict[str, list[float]] = {name: [] for name in known}
    wrong = dict.fromkeys(known, 0)
    for turn in range(max(2, round(gigabytes * 1e9 / size))):
        order = rng.permutation(len(column))
        for name in known if turn == 0 else [name for name in known if name != "tokenizers"]:
            seconds = 0.0
            for rows in batches(column, order):
                batch = column.take(pa.array(rows)).to_pylist()
                begun = time.process_time()
                flat = known[name](batch)
                seconds += time.process_time() - begun
                made = np.array(digests(flat), dtype="S8")
                if name == "tokenizers":
                    wanted[rows] = made
                wrong[name] += int((wanted[rows] != made).sum())
            rates[name].append(size / 1e6 / seconds)
    for name, found in rates.items():
        warm = f"{statistics.median(found[1:]):.0f}" if found[1:] else "-"
        print(
            f"{name}: cold {found[0]:.1f}, warm {warm} MB/s, {len(found) * size / 1e6:.0f} MB, {wrong[name]} documents differ"
        )


def hostile(known: dict[str, Encode], number: int) -> None:
    """Print how many made-up texts get other ids than those of `tokenizers`, and the first of them."""
    draw = random.Random(texts.SEED)

    def made() -> str:
        pools = draw.choices(POOLS, k=draw.randint(1, 3))
        return "".join(chr(draw.choice(draw.choice(pools))) for _ in range(draw.randint(0, 40)))

    batch = [*golden.TEXTS, *(made() for _ in range(number))]
    wanted = digests(known["tokenizers"](batch))
    for name in known:
        differ = [text for text, one, two in zip(batch, wanted, digests(known[name](batch)), strict=True) if one != two]
        print(f"{name}: {len(differ)} of {len(batch)} texts differ", *map(ascii, sorted(differ, key=len)[:3]), sep="\n  ")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.encoders")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--pattern", default="cl100k")
    parser.add_argument("--hostile", type=int, metavar="TEXTS", help="compare so many made-up texts instead")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    cut = pattern(options.pattern)
    column = texts.documents(texts.ROOT / "build" / "bench")["text"].combine_chunks()
    words = sums.ranked(next(count.count(column, cut, 1 << 40)))
    known = encoders(tokenizer_json(learn(words, vocabulary=32_768, special=("<|endoftext|>",)), cut))
    if options.hostile:
        hostile(known, options.hostile)
    else:
        compare(column, known, options.gigabytes)


if __name__ == "__main__":
    main()
