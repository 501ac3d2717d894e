"""An accepted tokenizer, as encoding, decoding, packing and reports use it.

Guarantee: a Description that exists was checked, by `tokenmill.tokenizer.formats` or `tokenmill.tokenizer.wordpiece`.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenmill.pipeline.base.errors import InputError

END_OF_TEXT = "<|endoftext|>"
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<｜end▁of▁sentence｜>")
"""Names of the token that ends a document; the first one that a file has is used.

The other names come from Llama 3, RoBERTa and DeepSeek.
"""
LARGEST_VOCABULARY = 2**24
"""Ids in a file must be lower, because a table of all ids is allocated. The largest vocabularies in use have 300,000."""
LARGEST_FILE_BYTES = 64 << 20
"""Larger files are refused. The largest files in use have 35 MB."""

BYTE_LEVEL: Mapping[str, Any] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
"""The decoder of a byte-level BPE, as in a `tokenizer.json`."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """An accepted tokenizer. `tokens[i]` are the bytes of id i, or None if the file has no id i.

    Of WordPiece, the bytes of a token that begins a word open with the space that decoding puts before it.
    """

    fingerprint: str
    pattern: str
    """The name of the pattern. The names of several steps are joined by `+`."""
    nfc: bool = False
    """Whether text is first normalized to Unicode's form NFC. Decoding then gives back the normalized text."""
    end_of_text: int
    unknown: int | None = None
    """WordPiece's id for a word that it cannot spell; None for a tokenizer that has ids for every text."""
    ids: Mapping[str, int] = field(repr=False)
    """The id of every token, spelled as in the file."""
    tokens: tuple[bytes | None, ...] = field(repr=False)
    special: tuple[str, ...]
    """The texts of all special tokens. Inside a document they are encoded as ordinary text."""
    encoding: Mapping[str, Any] = field(repr=False)
    """The parts of the file that ids depend on: normalizer, pre_tokenizer, model, added_tokens."""
    decoder: Mapping[str, Any] = field(repr=False)
    """The part of the file that turns ids into text."""

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        return len(self.tokens)

    def decode_bytes(self, ids: Iterable[int], *, where: str) -> bytes:
        """The bytes that `ids` stand for. Raises InputError, naming `where`, at an id that the tokenizer does not have."""
        parts = []
        for number in ids:
            token = self.tokens[number] if 0 <= number < len(self.tokens) else None
            if token is None:
                raise InputError(f"id {number} is not in the vocabulary of {where} ({len(self.tokens)} ids)")
            parts.append(token)
        joined = b"".join(parts)
        # The space before a word of WordPiece parts it from the word before it, so the first one has none.
        return joined if self.unknown is None else joined.removeprefix(b" ")
