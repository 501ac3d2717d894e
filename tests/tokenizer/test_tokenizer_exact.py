"""Ids equal to those of `tokenizers` and `tiktoken`, and text that comes back, on real and on generated text.

A seeded part of it in every run; all of it, every document and a million strings, among the soak tests.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from tests.tokenizer.bpe_peers import learn, ranks_of
from tokenmill.tokenizer import count, sums
from tokenmill.tokenizer.encode import FastEncoder, load
from tokenmill.tokenizer.files import read
from tokenmill.tokenizer.pretokenize import pattern
from tokenmill.tokenizer.step import tokenizer_json

SEED = 7
VOCABULARY = 8_000
BATCH_BYTES = 4_000_000
PATTERNS = ("gpt2", "cl100k", "o200k", "qwen2")


def real_texts(data: Path) -> Iterator[str]:
    """Every document of the running text, the languages and the strings in the real data."""
    for batch in pq.ParquetFile(data / "text/bench_text.parquet").iter_batches(columns=["text"], batch_size=500):
        yield from batch["text"].to_pylist()
    for name in ("text/books_en.jsonl.gz", "text/eltec_novels.jsonl.gz", "lid/udhr.jsonl.gz"):
        with gzip.open(data / name, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines)
    for path in sorted((data / "text/aozora_cp932").glob("*.txt")):
        yield path.read_bytes().decode("cp932", errors="replace")
    for name in ("wikitext2_test.txt", "wikitext2_valid.txt", "tinyshakespeare.txt"):
        yield (data / "text" / name).read_text(encoding="utf-8")
    yield from json.loads((data / "malformed/blns/blns.json").read_text(encoding="utf-8"))
    yield (data / "malformed/blns/blns.txt").read_text(encoding="utf-8")
    for path in sorted((data / "tok/llama_cpp").glob("*.inp")):
        yield from path.read_bytes().decode().split("\n__ggml_vocab_test__\n")
    for path in ("kuhn/UTF-8-test.txt", "utf8tests/utf8tests.bin"):
        yield (data / "malformed" / path).read_bytes().decode("utf-8", errors="replace")


def generated_texts(number: int) -> Iterator[str]:
    """Strings of 0 to 40 characters: of all planes, of single scripts, of white space and punctuation, of repeats."""
    rng = np.random.default_rng(SEED)
    ranges = np.array(
        [(0, 0x80), (0, 0x80), (9, 0x21), (0x80, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x2000, 0x2070),
         (0x3040, 0x3100), (0x4E00, 0x9FA6), (0xAC00, 0xD7A4), (0xE000, 0x10000), (0x1F300, 0x1F650), (0x10000, 0x110000)]
    )  # fmt: skip
    pieces = ["'s", "'LL", " ", "  ", "\n", "\r\n", "\u0301", "<|endoftext|>", "\u200d", "don't", "x" * 9, "123", "ß", "中"]
    for _ in range(number):
        size = int(rng.integers(0, 40))
        first, last = ranges[rng.integers(len(ranges))]
        points = rng.integers(first, last, size)
        points = points[(points < 0xD800) | (points > 0xDFFF)]
        text = "".join(map(chr, points.tolist()))
        if rng.random() < 0.5:
            cut = int(rng.integers(0, len(text) + 1))
            text = text[:cut] + "".join(pieces[place] for place in rng.integers(len(pieces), size=4).tolist()) + text[cut:]
        yield text


def batches(texts: Iterator[str], part: float = 1.0) -> Iterator[list[str]]:
    """Texts in batches of some megabytes; with `part`, a seeded choice of them and of each its first 3,000 characters."""
    rng = np.random.default_rng(SEED)
    batch: list[str] = []
    size = 0
    for text in texts:
        if part < 1:
            if rng.random() >= part:
                continue
            text = text[:3_000]
        batch.append(text)
        size += len(text)
        if size > BATCH_BYTES or len(batch) == 50_000:
            yield batch
            batch, size = [], 0
    yield batch


class Peers:
    """A tokenizer in `tokenizers` and in `tiktoken`, where that is installed."""

    def __init__(self, encoder: FastEncoder, regex: str) -> None:
        tiktoken = pytest.importorskip("tiktoken")
        self.encoder = encoder
        self.judge = tokenizers.Tokenizer.from_str(read(encoder.path, encoder.pattern).decode())
        self.judge.encode_special_tokens = True
        self.tiktoken = tiktoken.Encoding(
            "peer", pat_str=regex, mergeable_ranks=ranks_of(encoder.description), special_tokens={}
        )

    def agree(self, texts: list[str]) -> None:
        ids, counts = self.encoder.encode(pa.array(texts, pa.large_string()))
        assert self.encoder.end_of_text not in ids
        assert self.encoder.decode_bytes(ids.tolist()) == "".join(texts).encode()
        for start in range(0, len(texts), 1000):
            many = texts[start : start + 1000]
            edges = np.cumsum(counts)[start : start + 1000].tolist()
            first = edges[0] - int(counts[start]) if edges else 0
            judged = self.judge.encode_batch_fast(many, add_special_tokens=False)
            others = self.tiktoken.encode_ordinary_batch(many, num_threads=2)
            for text, (begin, end), slow, other in zip(many, itertools.pairwise([first, *edges]), judged, others, strict=True):
                found = ids[begin:end].tolist()
                assert found == slow.ids, text[:200]
                assert found == other, text[:200]


@pytest.fixture(scope="session")
def every_text(shared_data: Path) -> list[str]:
    """The first 3,000 characters of each: reading all of the real data takes a second."""
    return [text[:3_000] for text in real_texts(shared_data)]


@pytest.fixture(scope="session")
def trained(every_text: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Peers]:
    """A tokenizer learned here from real text in many languages, by the name of its pattern."""
    texts = next(batches(iter(every_text), 0.05))
    texts += [text for text in every_text if "\u3042" in text][:50]
    column = pa.array(texts, pa.large_string())

    def make(name: str) -> Peers:
        cut = pattern(name)
        learned = learn(sums.ranked(next(count.count(column, cut))), vocabulary=VOCABULARY, special=("<|endoftext|>",))
        path = tmp_path_factory.mktemp(name) / "tokenizer.json"
        path.write_bytes(tokenizer_json(learned, cut))
        encoder = load(path)
        assert encoder.engine == "fastokens"
        return Peers(encoder, cut.regex)

    return make


@pytest.fixture(scope="session")
def gpt2(gpt2_encoder: FastEncoder) -> Peers:
    return Peers(gpt2_encoder, pattern("gpt2").regex)


def peers_of(name: str, request: Any) -> Peers:
    if name == "GPT-2":
        return request.getfixturevalue("gpt2")
    return request.getfixturevalue("trained")(name)


@pytest.mark.parametrize("name", ["GPT-2", "cl100k"])
def test_a_part(every_text: list[str], name: str, request: pytest.FixtureRequest) -> None:
    peers = peers_of(name, request)
    for texts in batches(iter(every_text), 0.015):
        peers.agree(texts)
    peers.agree(list(generated_texts(3_000)))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", ["GPT-2", *PATTERNS])
def test_every_document(shared_data: Path, name: str, request: pytest.FixtureRequest) -> None:
    peers = peers_of(name, request)
    for texts in batches(real_texts(shared_data)):
        peers.agree(texts)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", ["GPT-2", *PATTERNS])
def test_a_million_strings(name: str, request: pytest.FixtureRequest) -> None:
    peers = peers_of(name, request)
    for texts in batches(generated_texts(1_000_000)):
        peers.agree(texts)
