r"""Cut text into pre-tokens, the pieces that no merge joins, by the patterns of the tokenizers in use.

Purpose: cut columns of text into pre-tokens without copying the text.
Guarantee: the pieces are those of `tokenizers` with the same pattern (Unicode 16.0), and joined they are the text.
Cost: 350 to 400 MB/s per thread for the patterns named here. Any other pattern goes through `tokenizers`, at about 1 MB/s.

Sources: GPT-2's encoder (`encoder.py`); tiktoken's cl100k_base and o200k_base; the `tokenizer.json` of Llama 3 and Qwen2.
cl100k is the pattern that GPT-4's tokenizer was published with and that Llama 3 adopted. Newer versions of tiktoken add `\s++$`
to it, which keeps newlines and spaces at the end of a text together; nothing else differs.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Regex, pre_tokenizers

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.kernels.bpe import pretokens
from tokenmill.pipeline.kernels.bpe.pretoken_classes import tables
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.tokenizer.refusals import giving_up, loading

BLOCK = 1 << 14
"""Pre-tokens cut per call: few enough that their ends stay in the cache."""

_REST = r"\s+(?!\S)|\s+"
_CONTRACTIONS = r"'s|'t|'re|'ve|'m|'ll|'d"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:" + _CONTRACTIONS + ")?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:" + _CONTRACTIONS + ")?"
)
_FORMS = (
    _CONTRACTIONS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|" + _REST,
    "(?i:" + _CONTRACTIONS + r")|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|" + _REST,
    _CASED + r"|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|" + _REST,
)
"""The patterns by kind (GPT2, CL100K, O200K). DIGITS stands for the limit on the digits in one piece."""
_NAMED = {
    "gpt2": (pretokens.GPT2, None),
    "cl100k": (pretokens.CL100K, 3),
    "llama3": (pretokens.CL100K, 3),
    "qwen2": (pretokens.CL100K, 1),
    "o200k": (pretokens.O200K, 3),
}
NAMES = tuple(_NAMED)
WORDS = -1
_EDGES = np.zeros(256, dtype=np.bool_)
_EDGES[list(b" \t\n\r" + string.punctuation.encode())] = True
"""Bytes that stand alone: white space, and the punctuation that ASCII has."""
_HAN = (0xE5, 0xE9)
"""First and last of the bytes with which U+5000 to U+9FFF begin in UTF-8: Chinese characters, of 3 bytes each."""
_NAME = re.compile(r"[A-Za-z0-9_@-]+")
"""What is meant as a name of a pattern."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """How text is cut. `regex` is the form that a `tokenizer.json` contains."""

    regex: str
    kind: int | None = None
    """The scanner for the pattern, one of `tokenmill.pipeline.kernels.bpe.pretokens`. None: there is no scanner."""
    digits: int = 0
    """The largest number of digits in one piece, if the scanner limits it."""


def pattern(choice: str, digits: int | None = None) -> Pattern:
    """The pattern named `choice`; for any other `choice`, that regular expression, in the dialect of `tokenizers` (Oniguruma).

    `digits` (1 to 3) replaces the named pattern's own limit. Raises ConfigError.
    """
    if choice not in _NAMED:
        if _NAME.fullmatch(choice):
            raise ConfigError(
                f"there is no pattern {choice!r}; {spelling.hint(choice, NAMES)} As a regular expression it would find only "
                r"itself; one of your own looks like '\p{L}+|\p{N}+|\s+|[^\p{L}\p{N}\s]+'"
            )
        if digits is not None:
            raise ConfigError(
                f"{digits=} goes with {', '.join(NAMES[1:])}, not with a pattern of your own; write the limit into the pattern"
            )
        with loading(f"pattern {choice[:80]!r} is none of {', '.join(NAMES)}, and no regular expression"):
            Regex(choice)
        return Pattern(regex=choice)
    kind, own = _NAMED[choice]
    if own is None:
        if digits is not None:
            raise ConfigError(f"{digits=}: the pattern of {choice} does not limit digits; choose another one for that")
        return Pattern(regex=_FORMS[kind], kind=kind)
    most = own if digits is None else digits
    return Pattern(regex=_FORMS[kind].replace("DIGITS", "" if most == 1 else f"{{1,{most}}}"), kind=kind, digits=most)


WHITESPACE_AND_PUNCTUATION = Pattern(regex="white space, punctuation, Chinese", kind=WORDS)
"""Cuts where BERT cuts too, but not everywhere where BERT does: its normalizer and its own cut go over the pieces."""
PATTERNS = {
    **{pattern(form, digits).regex: f"{form} with {digits} digits" for form in ("cl100k", "o200k") for digits in (1, 2)},
    **{pattern(name).regex: name for name in reversed(NAMES)},
}
"""The names of the regular expressions known here. Where two names share one, the first name counts. All run in linear time."""


def blocks(texts: pa.LargeStringArray, pattern: Pattern) -> Iterator[tuple[npt.NDArray[np.uint8], int, npt.NDArray[np.int64]]]:
    """Cut all texts into pre-tokens.

    Yields, per block, the data, the start of the first pre-token, and the end of each pre-token, int64 [pre-tokens]. Each
    pre-token begins where the one before it ends. The next block overwrites the array of ends. Raises InputError when a
    user-defined pattern gives up on a text.
    """
    data, offsets = utf8(texts)
    ends = np.empty(BLOCK, dtype=np.int64)
    begin = at = int(offsets[0])
    if pattern.kind is None:
        split = pre_tokenizers.Split(Regex(pattern.regex), behavior="isolated")
        for text in texts.to_pylist():
            with giving_up():
                found = split.pre_tokenize_str(text)
            pieces = np.array([len(piece.encode()) for piece, _ in found], dtype=np.int64)
            if len(pieces):
                yield data, begin, begin + np.cumsum(pieces)
                begin += int(pieces.sum())
        return
    if pattern.kind == WORDS:
        if at < offsets[-1]:
            yield data, begin, _word_ends(data, offsets)
        return
    classes, row = tables(), 0
    while row < len(offsets) - 1:
        count, row, at = pretokens.scan(data, offsets, row, at, classes, pattern.kind, pattern.digits, ends)
        if count:
            yield data, begin, ends[:count]
            begin = at


def _word_ends(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The ends of the pieces of `WHITESPACE_AND_PUNCTUATION`."""
    begin, end = int(offsets[0]), int(offsets[-1])
    text = data[begin:end]
    edges = np.zeros(len(text) + 3, dtype=np.bool_)
    edges[offsets - begin] = True
    for alone, size in ((_EDGES[text], 1), ((text >= _HAN[0]) & (text <= _HAN[1]), 3)):
        at = np.flatnonzero(alone)
        edges[at] = edges[at + size] = True
    return begin + 1 + np.flatnonzero(edges[1 : len(text) + 1])


def split(text: str, pattern: Pattern) -> list[str]:
    """The pre-tokens of one text as strings. For inspection, not for speed."""
    content, found = text.encode(), []
    for _, begin, ends in blocks(pa.array([text], pa.large_string()), pattern):
        edges = [begin, *ends.tolist()]
        found += [content[start:end].decode() for start, end in pairwise(edges)]
    return found
