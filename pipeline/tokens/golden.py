"""Golden ids: what a tokenizer makes of texts on which encoders tend to disagree, kept when the tokenizer is made.

Purpose: an encoder that changes, by a new version of a library or of Unicode, cannot give other ids in silence.
Guarantee: the texts never change, but for new ones at the end. Cost: 4,000 characters to encode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.tokens.encoder import Encoder

TEXTS = (
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
    # Letters since Unicode 17: a library with newer tables than its judge cuts here in other places.
    " \ua7ce\ua7cf\ua7d2's \ua7d4\ua7f1x're-\U00010940 \U00016ea0a",
)
"""White space, digits and letters of many scripts, controls, long runs, and letters that Unicode assigned of late."""


def digests(encoder: Encoder) -> tuple[str, ...]:
    """A hash of the ids of each text, 16 hex digits."""
    ids, counts = encoder.encode(pa.array(TEXTS, pa.large_string()))
    parts = np.split(ids.astype("<u4"), np.cumsum(counts)[:-1])
    return tuple(hashlib.blake2b(part.tobytes(), digest_size=8).hexdigest() for part in parts)


def changed(encoder: Encoder, known: Sequence[str]) -> list[str]:
    """The texts that have other ids now than those `known`."""
    return [text for text, now, then in zip(TEXTS, digests(encoder), known, strict=False) if now != then]
