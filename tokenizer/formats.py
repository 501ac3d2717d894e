"""What tokenmill accepts as a tokenizer: `tokenizer.json` of a byte-level BPE, checked before anything trusts it.

Purpose: one description of a tokenizer, for encoding, decoding and packing, from the bytes of its file.
Guarantee: what is accepted encodes every text (all 256 bytes are tokens), gives the text back exactly (no normaliser, no
added space), ends documents with <|endoftext|>, and splits text by a pattern that is known here: a regular expression
from a file could run for ever. Cost: one parse of the file (0.1 s for 100,000 tokens).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import ConfigError

END_OF_TEXT = "<|endoftext|>"
LARGEST_VOCABULARY = 2**24
"""A file may not name higher ids, since a table of all ids is made. The largest vocabularies in use have 300,000."""

_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
    _LLAMA3: "llama3",
    _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"): "qwen2",
}
"""The pre-token patterns in use, all linear in the text, and all fast in fastokens."""


def byte_alphabet() -> dict[str, int]:
    """The character that stands for each byte in a byte-level vocabulary, after GPT-2's encoder (bytes_to_unicode).

    Printable Latin-1 stands for itself; the other bytes, in their order, are U+0100 and on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


@dataclass(frozen=True, kw_only=True)
class Description:
    """A tokenizer that was accepted. `tokens[i]` is what id i stands for, None where the file has no such id."""

    fingerprint: str
    pattern: str
    end_of_text: int
    ids: Mapping[str, int] = field(repr=False)
    """Every token, spelled as in the file, and its id."""
    tokens: tuple[bytes | None, ...] = field(repr=False)
    special: tuple[str, ...]
    """The texts of all special tokens. Inside a document they are text."""

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        return len(self.tokens)


def describe(data: bytes, *, where: str) -> Description:
    """What the bytes of a `tokenizer.json` say. Raises ConfigError, which begins with `where`."""
    try:
        plain = json.loads(data)
        model, added = plain["model"], plain["added_tokens"]
        vocab: dict[str, Any] = dict(model["vocab"])
        special = tuple(str(token["content"]) for token in added if token["special"])
        contents: dict[Any, bytes] = {token["id"]: str(token["content"]).encode() for token in added}
        pattern = _pattern(plain["pre_tokenizer"])
        faults = _faults(plain, model, added)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{where}: is no tokenizer.json of a byte-level BPE ({type(error).__name__}: {error})") from error
    if pattern is None:
        faults.append(f"its pre-tokenizer is not one of {', '.join(PATTERNS.values())} followed by ByteLevel")
    if END_OF_TEXT not in special:
        faults.append(f"it has no special token {END_OF_TEXT}")
    ids = [*vocab.values(), *contents]
    if not all(isinstance(number, int) and 0 <= number < LARGEST_VOCABULARY for number in ids):
        faults.append(f"its ids are not integers from 0 to {LARGEST_VOCABULARY - 1}")
    alphabet = byte_alphabet()
    missing = [character for character in alphabet if character not in vocab]
    if missing:
        faults.append(f"{len(missing)} of the 256 bytes are not in its vocabulary")
    strange = next((token for token, number in vocab.items() if number not in contents and set(token) - alphabet.keys()), None)
    if strange is not None:
        faults.append(f"its token {strange!r} is not made of bytes")
    if faults or pattern is None:
        raise ConfigError(f"{where}: {'; '.join(faults)}; tokenmill uses byte-level BPE tokenizers that give text back exactly")
    tokens: list[bytes | None] = [None] * (max(ids) + 1)
    for token, number in vocab.items():
        tokens[number] = contents.get(number) or bytes(alphabet[character] for character in token)
    for number, content in contents.items():
        tokens[number] = content
    return Description(
        fingerprint=hashlib.sha256(data).hexdigest(),
        pattern=pattern,
        end_of_text=next(int(token["id"]) for token in added if token["content"] == END_OF_TEXT),
        ids=vocab | {str(token["content"]): token["id"] for token in added},
        tokens=tuple(tokens),
        special=special,
    )


def _faults(plain: Mapping[str, Any], model: Mapping[str, Any], added: list[Mapping[str, Any]]) -> list[str]:
    """Settings under which ids would not lead back to the bytes of a text, or not always be the same."""
    faults = []
    if model["type"] != "BPE":
        faults.append(f"its model is {model['type']}")
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            faults.append(f"its model has {key}={model[key]!r}")
    if plain.get("normalizer") is not None:
        faults.append("it has a normalizer")
    if any(token.get(key) for token in added for key in ("lstrip", "rstrip", "single_word")):
        faults.append("its added tokens strip what is around them")
    return faults


def _pattern(pre: Mapping[str, Any]) -> str | None:
    """The name of the pattern by which a pre-tokenizer splits text, None where it is not known."""
    steps = pre["pretokenizers"] if pre["type"] == "Sequence" else [pre]
    *splits, last = steps
    if last["type"] != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if last.get("use_regex", True):
        return None if splits else "gpt2"
    if len(splits) != 1 or splits[0]["type"] != "Split":
        return None
    split = splits[0]
    regular = split["behavior"] == "Isolated" and not split["invert"]
    return PATTERNS.get(split["pattern"].get("Regex")) if regular else None
