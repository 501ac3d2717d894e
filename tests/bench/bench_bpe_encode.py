"""Encoding with a vocabulary of 32,768 learned from the text: our interface beside four libraries.

Each is given the column and returns all ids. The libraries take strings, so making these is part of their work, as of ours.
"""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import fastokens
import pyarrow as pa
import tokenizers

from tests.bench import texts
from tests.tokenizer.bpe_peers import learn, ranks_of
from tokenmill.tokenizer import count, sums
from tokenmill.tokenizer.encode import FastEncoder, load
from tokenmill.tokenizer.files import read
from tokenmill.tokenizer.pretokenize import pattern
from tokenmill.tokenizer.step import tokenizer_json

STAGE = "bpe_encode"
PEER_BYTES = {"tokenizers": 16_000_000, "tiktoken": 48_000_000}
CUT = pattern("gpt2")


def ours(batch: pa.RecordBatch) -> object:
    return _encoder().encode(batch["text"])


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    encoder = _encoder()
    data = read(encoder.path)
    fast = fastokens.Tokenizer.from_json_str(data.decode())
    slow = tokenizers.Tokenizer.from_str(data.decode())
    return {
        "fastokens": lambda batch: fast.encode_batch_flat(batch["text"].to_pylist(), split_special_tokens=True),
        "tokenizers": lambda batch: slow.encode_batch_fast(batch["text"].to_pylist(), add_special_tokens=False),
        "gigatoken": _gigatoken(data) if find_spec("gigatoken") else None,
        "tiktoken": _tiktoken(encoder) if find_spec("tiktoken") else None,
    }


def _gigatoken(data: bytes) -> Callable[[pa.RecordBatch], object]:
    import gigatoken

    # It has no switch for special tokens inside texts, so it gets none. See `encoders` for its ids.
    model = gigatoken.Tokenizer.from_json(json.dumps({**json.loads(data), "added_tokens": []}))
    return lambda batch: model.encode_batch(batch["text"].to_pylist(), parallel=False)


def _tiktoken(encoder: FastEncoder) -> Callable[[pa.RecordBatch], object]:
    import tiktoken

    ranks = ranks_of(encoder.description)
    model = tiktoken.Encoding("bench", pat_str=CUT.regex, mergeable_ranks=ranks, special_tokens={})
    return lambda batch: [model.encode_ordinary(text) for text in batch["text"].to_pylist()]


@functools.cache
def _encoder() -> FastEncoder:
    table = texts.documents(texts.ROOT / "build" / "bench", english=False)
    words = sums.ranked(next(count.count(table["text"].combine_chunks(), CUT)))
    path = Path(tempfile.mkdtemp(prefix="tokenmill-bench-"), "tokenizer.json")
    path.write_bytes(tokenizer_json(learn(words, vocabulary=32_768, special=("<|endoftext|>",)), CUT))
    return load(path)
