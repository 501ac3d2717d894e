"""Encode text to token ids, and decode ids to text.

Purpose: `fastokens` encodes (65 to 160 MB/s per thread); `tokenizers` judges it (3 MB/s).
Guarantee: the ids are those of `tokenizers`. Each process compares the two on a probe of hostile text before first use, and on
a sample of every batch. Where they differ, or where `fastokens` lacks a feature, `tokenizers` encodes, and the log says so. The
ids of a batch depend only on the tokenizer's file and the batch. A special token inside a text is encoded as text. Decoding
gives back the exact bytes (of the text's NFC form, if the tokenizer asks for it). WordPiece is encoded by `tokenizers` alone;
its ids decode to words with one space between them, and to `[UNK]` for words that have no ids.
Cost: loading takes 0.1 s for 16,000 tokens; the judge takes about 1 % of the encoding time. Time grows as n log n with the
longest pre-token, and a pre-token of n bytes takes up to 50 n bytes of memory (measured: 50 MB of letters without a space took
48 s and 1.9 GB). A text of more than 64 MiB is refused.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fastokens
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers

from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError
from tokenmill.pipeline.base.manifest import Manifest, facts
from tokenmill.pipeline.tokens import golden
from tokenmill.pipeline.tokens.facts import TokenizerFacts
from tokenmill.tokenizer.description import Description
from tokenmill.tokenizer.files import read
from tokenmill.tokenizer.formats import describe
from tokenmill.tokenizer.pretokenize import pattern as pattern_of
from tokenmill.tokenizer.refusals import giving_up, loading

Flat = tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]

FILE = "tokenizer/tokenizer.json"
"""The tokenizer of a corpus, relative to the corpus folder."""
LOG = logging.getLogger("tokenmill.tokenizer")
LONGEST_TEXT_BYTES = 64 << 20
JUDGED_TEXTS = 4
JUDGED_CHARACTERS = 1_000
SLOW_BATCH_TEXTS = 256
PROBE = golden.TEXTS


@dataclass(frozen=True, kw_only=True)
class FastEncoder:
    """A tokenizer's file and its main facts. The models are loaded at first use in each process. Picklable."""

    path: Path
    pattern: str | None = None
    """The user's pattern, for a file that does not say how text is cut, or that has a pattern unknown here."""
    fingerprint: str
    vocabulary: int
    end_of_text: int
    exact: bool = True
    """Whether ids decode to the bytes of the text that they were made of: not with WordPiece or NFC."""

    @property
    def engine(self) -> Literal["fastokens", "tokenizers"]:
        """Which library encodes: `tokenizers` if `fastokens` differs from it on the probe.

        The ids are the same. Loads the models.
        """
        return "fastokens" if self._models.agree else "tokenizers"

    @property
    def description(self) -> Description:
        """The checked contents of the file. Loads the models."""
        return self._models.description

    def encode(self, texts: pa.Array) -> Flat:
        """Encode `texts`, an array of strings without nulls.

        Returns the ids of all texts end to end, uint32 [ids], and the number of ids per text, int64 [texts]. Raises InputError
        for a text of more than 64 MiB, or when a user-defined pattern gives up on a text.
        """
        longest = pc.max(pc.binary_length(texts)).as_py() or 0
        if longest > LONGEST_TEXT_BYTES:
            raise InputError(
                f"a text of {longest:,} bytes is longer than can be encoded ({LONGEST_TEXT_BYTES:,}); "
                "split it, or lower collect.max_document_bytes"
            )
        return self._models.encode(texts.to_pylist())

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that `ids` stand for. Raises InputError at an id that the tokenizer does not have."""
        return self._models.description.decode_bytes(ids, where=str(self.path))

    def decode(self, ids: Iterable[int]) -> str:
        """The text that `ids` stand for, with U+FFFD in place of invalid UTF-8. Raises InputError."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def gives_ids_of(self, other: FastEncoder) -> bool:
        """Whether both give the same ids for every text, though their files may be written differently. Loads the models."""
        return self._models.canonical == other._models.canonical

    def spans(self, text: str) -> npt.NDArray[np.int64]:
        """The bytes of `text` that each of its ids stands for: [begin, end), int64 [ids, 2]. For inspection, not for speed."""
        return self._models.spans(text)

    @property
    def _models(self) -> Models:
        return _load_models(self.path, self.pattern, self.fingerprint)


def load(path: Path, pattern: str | None = None) -> FastEncoder:
    """The encoder of a file or folder that `tokenmill.tokenizer.files` can read. Raises NotBuilt, ConfigError."""
    description = describe(read(path, pattern), where=str(path), own_regex=_own(pattern))
    return FastEncoder(
        path=path,
        pattern=pattern,
        fingerprint=description.fingerprint,
        vocabulary=description.vocabulary,
        end_of_text=description.end_of_text,
        exact=description.unknown is None and not description.nfc,
    )


def of_corpus(root: Path, made: Manifest) -> FastEncoder:
    """The encoder of the corpus in `root` whose tokenizer's manifest is `made`, cut by a pattern of the user's own if so set.

    Raises NotBuilt, CorruptFile, ConfigError.
    """
    return load(root / FILE, facts(made, TokenizerFacts).own_pattern)


def _own(pattern: str | None) -> str | None:
    return None if pattern is None else pattern_of(pattern).regex


class Models:
    """Both implementations of one tokenizer.

    Raises ConfigError when `tokenizers` cannot load it or numbers its tokens differently.
    """

    def __init__(self, description: Description, where: str) -> None:
        self.description = description
        ignored = dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
        plain = json.dumps({"version": "1.0", **ignored, **description.encoding})
        with loading(f"{where}: cannot be used"):
            self._judge = tokenizers.Tokenizer.from_str(plain)
        if self._judge.get_vocab(with_added_tokens=True) != self.description.ids:
            raise ConfigError(f"{where}: its added tokens do not have the ids that follow its vocabulary; renumber them")
        self._judge.encode_special_tokens = True
        self.agree = self._agree(plain, where)

    @functools.cached_property
    def canonical(self) -> str:
        """What ids depend on, as `tokenizers` writes it."""
        return str(self._judge.to_str())

    def encode(self, texts: Sequence[str]) -> Flat:
        """Encode all texts: the ids end to end, and the number of ids per text. Raises InputError."""
        if not self.agree:
            return self._slow_flat(texts)
        places = sorted({place * len(texts) // JUDGED_TEXTS for place in range(JUDGED_TEXTS)} if texts else set())
        if not self._same([texts[place][:JUDGED_CHARACTERS] for place in places]):
            LOG.warning("fastokens and tokenizers differ on a batch of %d texts; tokenizers encodes it", len(texts))
            return self._slow_flat(texts)
        return self._fast_flat(texts)

    def spans(self, text: str) -> npt.NDArray[np.int64]:
        """See `FastEncoder.spans`. Raises InputError."""
        with giving_up():
            found = self._judge.encode(text, add_special_tokens=False).offsets
        sizes = [0, *(len(character.encode()) for character in text)]
        return np.cumsum(sizes)[np.array(found, dtype=np.int64).reshape(-1, 2)]

    def _agree(self, plain: str, where: str) -> bool:
        """Load `fastokens` and return whether it gives the same ids as `tokenizers`."""
        if self.description.unknown is not None:
            return False
        try:
            self._fast = fastokens.Tokenizer.from_json_str(plain)
        except ValueError as error:
            LOG.warning("%s: fastokens cannot use it (%.200s); tokenizers encodes, some 20 times slower", where, error)
            return False
        if self._same([*PROBE, *(f"a {token}{token} b" for token in self.description.special)]):
            return True
        LOG.warning("%s: fastokens and tokenizers differ on the probe; tokenizers encodes, some 20 times slower", where)
        return False

    def _same(self, texts: Sequence[str]) -> bool:
        (fast_ids, fast_counts), (slow_ids, slow_counts) = self._fast_flat(texts), self._slow_flat(texts)
        return np.array_equal(fast_ids, slow_ids) and np.array_equal(fast_counts, slow_counts)

    def _fast_flat(self, texts: Sequence[str]) -> Flat:
        try:
            ids, offsets = self._fast.encode_batch_flat(texts, add_special_tokens=False, split_special_tokens=True)
        except ValueError as error:
            raise InputError(
                f"the pattern of the tokenizer gives up on a text ({str(error)[:200]}); use another one"
            ) from error
        edges = np.frombuffer(offsets, dtype="<u8").astype(np.int64)
        return np.frombuffer(ids, dtype="<u4").astype(np.uint32, copy=False), edges[1:] - edges[:-1]

    def _slow_flat(self, texts: Sequence[str]) -> Flat:
        parts = [np.zeros(0, dtype=np.uint32)]
        for start in range(0, len(texts), SLOW_BATCH_TEXTS):
            with giving_up():
                batch = self._judge.encode_batch_fast(list(texts[start : start + SLOW_BATCH_TEXTS]), add_special_tokens=False)
            parts += [np.array(encoding.ids, dtype=np.uint32) for encoding in batch]
        return np.concatenate(parts), np.array([len(part) for part in parts[1:]], dtype=np.int64)


@functools.lru_cache(maxsize=4)
def _load_models(path: Path, pattern: str | None, fingerprint: str) -> Models:
    """Load the models of a file, once per process.

    Raises CorruptFile when the file is not the one the encoder was made from.
    """
    description = describe(read(path, pattern), where=str(path), own_regex=_own(pattern))
    if description.fingerprint != fingerprint:
        raise CorruptFile(
            f"{path}: holds the tokenizer {description.fingerprint}, {fingerprint=} is wanted; run the build again"
        )
    return Models(description, str(path))
