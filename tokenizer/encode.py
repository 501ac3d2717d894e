"""Text to ids and back.

Purpose: `fastokens` encodes (65 to 160 MB/s a thread), `tokenizers` is its judge (3 MB/s).
Guarantee: ids are those of `tokenizers`: before first use in a process the two are compared on a probe of hostile text,
and in every batch on a sample of it; where they differ, `tokenizers` does the work. What a batch gives depends on the file
and the batch alone. A special token inside a text is text. Ids give back the exact bytes.
Cost: loading, 0.1 s for 16,000 tokens; the judge, about 1 % of encoding.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fastokens
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tokenizers

from pipeline.errors import ConfigError, CorruptFile, InputError, NotBuilt
from tokenizer.formats import Description, describe

Flat = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]

LOG = logging.getLogger("tokenmill.tokenizer")
JUDGED_TEXTS = 4
JUDGED_CHARACTERS = 2_000
SLOW_BATCH_TEXTS = 256

PROBE = (
    "",
    " ",
    "Hello, world! It's 2024; we'll see, they'VE said: 3.14159e-10.",
    "\x00\x01\x1f\x7f\x80\x9f\ufeff\u200b\u200d\ufffd\uffff",
    "\ud7ff\ue000\U0010ffff\U000e0001\ufdd0",
    "e\u0301 \u00e9 a\u0300\u0316\u035c n\u0303o\u0308 \u0338",
    "\u0915\u094d\u0937\u093f \u0ba8\u0bbf \u0e01\u0e33 \u1100\u1161\u11a8 \uac01",
    "中文分词，日本語のテキスト。한국어 텍스트",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u200f\u202eabc\u202c",
    "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪",
    "١٢٣ ４５６ ½ ² Ⅷ ௧ 𝟘",
    "ﬁ ß ẞ ſ İ ı ǅ Σς",
    "a\r\nb\n\n\nc\r\r\n \n  \n\td",
    "\t\x0b\x0c\x85\xa0\u1680\u2000\u2028\u2029\u202f\u205f\u3000x",
    "  two   three    four     ",
    "don’t can't CAN'T 'tis ''s 's'S 'Re",
    "def f(x):\n    return {'a': [1, 2], \"b\": x**2 != 0}  # ok\n",
    "x" * 500 + "=" * 500 + "0" * 500 + " " * 500,
    "".join(map(chr, range(0x20, 0x530))),
)
"""Text on which tokenizers tend to disagree: white space, digits and letters of many scripts, controls, long runs."""


@dataclass(frozen=True, kw_only=True)
class FastEncoder:
    """A tokenizer's file and what it says; the models are loaded at first use in each process. Picklable."""

    path: Path
    fingerprint: str
    vocabulary: int
    end_of_text: int

    @property
    def engine(self) -> Literal["fastokens", "tokenizers"]:
        """Who encodes: `tokenizers` where `fastokens` differs from it on the probe. The ids are the same. Loads the models."""
        return "fastokens" if self._models.agree else "tokenizers"

    def encode(self, texts: pa.Array) -> Flat:
        """Ids of all `texts` (an array of strings without nulls) end to end, and the number of ids of each text [texts]."""
        return self._models.encode(texts.to_pylist())

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for. Raises InputError at an id that the tokenizer does not have."""
        tokens = self._models.description.tokens
        parts = []
        for number in ids:
            token = tokens[number] if 0 <= number < len(tokens) else None
            if token is None:
                raise InputError(f"id {number} is not in the vocabulary of {self.path} ({len(tokens)} ids)")
            parts.append(token)
        return b"".join(parts)

    def decode(self, ids: Iterable[int]) -> str:
        """The text that `ids` stand for, with U+FFFD for bytes that are no UTF-8. Raises InputError."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    @property
    def _models(self) -> _Models:
        return _load_models(self.path, self.fingerprint)


def load(path: Path) -> FastEncoder:
    """The encoder of a `tokenizer.json`. Raises NotBuilt when there is no such file, ConfigError when it is of no use."""
    description = describe(_read(path), where=str(path))
    return FastEncoder(
        path=path,
        fingerprint=description.fingerprint,
        vocabulary=description.vocabulary,
        end_of_text=description.end_of_text,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotBuilt(f"{path}: the tokenizer cannot be read ({error.strerror}); build it first") from error


class _Models:
    """Both implementations of one tokenizer."""

    def __init__(self, data: bytes, where: str) -> None:
        self.description: Description = describe(data, where=where)
        try:
            self._fast = fastokens.Tokenizer.from_json_str(data.decode())
        except ValueError as error:
            raise ConfigError(f"{where}: cannot be used ({error})") from error
        self._judge = tokenizers.Tokenizer.from_str(data.decode())
        if self._judge.get_vocab(with_added_tokens=True) != self.description.ids:
            raise ConfigError(f"{where}: its added tokens do not have the ids that follow its vocabulary; number them so")
        self._judge.encode_special_tokens = True
        for model in (self._fast, self._judge):
            model.no_truncation()
            model.no_padding()
        probe = [*PROBE, *(f"a {token}{token} b" for token in self.description.special)]
        self.agree = self._same(probe)

    def encode(self, texts: Sequence[str]) -> Flat:
        if not self.agree:
            return self._slow_flat(texts)
        places = sorted({place * len(texts) // JUDGED_TEXTS for place in range(JUDGED_TEXTS)} if texts else set())
        if not self._same([texts[place][:JUDGED_CHARACTERS] for place in places]):
            LOG.warning("fastokens and tokenizers differ on a batch of %d texts; tokenizers encodes it", len(texts))
            return self._slow_flat(texts)
        return self._fast_flat(texts)

    def _same(self, texts: Sequence[str]) -> bool:
        (fast_ids, fast_counts), (slow_ids, slow_counts) = self._fast_flat(texts), self._slow_flat(texts)
        return np.array_equal(fast_ids, slow_ids) and np.array_equal(fast_counts, slow_counts)

    def _fast_flat(self, texts: Sequence[str]) -> Flat:
        ids, offsets = self._fast.encode_batch_flat(texts, add_special_tokens=False, split_special_tokens=True)
        edges = np.frombuffer(offsets, dtype="<u8").astype(np.int64)
        return np.frombuffer(ids, dtype="<u4").astype(np.uint32, copy=False), edges[1:] - edges[:-1]

    def _slow_flat(self, texts: Sequence[str]) -> Flat:
        parts = [np.zeros(0, dtype=np.uint32)]
        for start in range(0, len(texts), SLOW_BATCH_TEXTS):
            batch = self._judge.encode_batch_fast(list(texts[start : start + SLOW_BATCH_TEXTS]), add_special_tokens=False)
            parts += [np.array(encoding.ids, dtype=np.uint32) for encoding in batch]
        return np.concatenate(parts), np.array([len(part) for part in parts[1:]], dtype=np.int64)


@functools.lru_cache(maxsize=4)
def _load_models(path: Path, fingerprint: str) -> _Models:
    """The models of a file, once per process. Raises CorruptFile when it is not the file that the encoder was made of."""
    models = _Models(_read(path), str(path))
    if models.description.fingerprint != fingerprint:
        raise CorruptFile(
            f"{path}: holds the tokenizer {models.description.fingerprint}, {fingerprint=} is wanted; run the build again"
        )
    return models
