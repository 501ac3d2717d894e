"""What tokenmill accepts as WordPiece, BERT's tokenizer: its `tokenizer.json`, checked before anything relies on it.

Purpose: describe a WordPiece tokenizer from its file. It cuts text into words at white space and punctuation, and spells a word
by the longest pieces of its vocabulary, from the left; `##` marks a piece that continues a word.
Guarantee: the ids are those of `tokenizers`. WordPiece is not exact: white space becomes one space, a word that has an unknown
character or too many characters becomes the one id of `[UNK]`, and text may be lower-cased. So `Description.unknown` is set;
the size of a document stays that of its text, and what is lost is counted (`tokenizer.train_wordpiece`, `tokenizer.evaluate`).
Cost: one parse of the file.

Sources: Devlin et al. 2019 (BERT); the `BertNormalizer`, `BertPreTokenizer`, `WordPiece` of the library `tokenizers`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tokenizers import decoders

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.tokenizer.description import END_OF_TEXT, ENDS, LARGEST_VOCABULARY, Description

CONTINUES = "##"
"""The mark of a piece that continues a word."""
UNKNOWN, SEPARATOR = "[UNK]", "[SEP]"
SPECIAL = ("[PAD]", UNKNOWN, "[CLS]", SEPARATOR, "[MASK]", END_OF_TEXT)
"""The special tokens of a vocabulary that is learned here, with their ids from 0: BERT's, and the one that ends a document."""
LONGEST_WORD = 100
"""A word of more characters is unknown, as in BERT."""
MOST_CHARACTERS = 1_000
"""Files of others may know words of so many characters."""
DECODER: Mapping[str, Any] = {"type": "WordPiece", "prefix": CONTINUES, "cleanup": True}
PATTERN = "bert"
"""The name of the way in which BERT cuts text."""


def describe(data: bytes, plain: Mapping[str, Any], *, where: str) -> Description:
    """Check a file of WordPiece, whose values are `plain`. A document ends with one of `ENDS`, or else with `[SEP]`.

    Raises ConfigError; its message begins with `where`. Raises ValueError, KeyError, TypeError, AttributeError for a file of
    another shape.
    """
    model, added = plain["model"], plain["added_tokens"]
    vocab: dict[str, Any] = dict(model["vocab"])
    contents: dict[str, Any] = {str(token["content"]): token["id"] for token in added}
    special = tuple(str(token["content"]) for token in added if token["special"])
    ids = vocab | contents
    unknown, end = str(model["unk_token"]), next((name for name in (*ENDS, SEPARATOR) if name in special), None)
    faults = []
    if model["continuing_subword_prefix"] != CONTINUES:
        faults.append(f"pieces that continue a word are not marked by {CONTINUES}")
    if not all(type(number) is int and 0 <= number < LARGEST_VOCABULARY for number in ids.values()):
        faults.append(f"its ids are not integers from 0 to {LARGEST_VOCABULARY - 1}")
    elif len(set(ids.values())) < len(ids) or "" in ids or vocab.items() - ids.items():
        faults.append("an id stands for two tokens, a token for two ids, or a token is empty")
    if unknown not in vocab or unknown not in special:
        faults.append("its token of unknown words is not a special token of its vocabulary")
    if (plain["normalizer"] or {}).get("type", "BertNormalizer") != "BertNormalizer":
        faults.append("it has a normalizer other than BertNormalizer")
    if plain["pre_tokenizer"]["type"] != "BertPreTokenizer":
        faults.append("its pre-tokenizer is not BertPreTokenizer")
    if not 1 <= int(model["max_input_chars_per_word"]) <= MOST_CHARACTERS:
        # The time to spell a word grows with the square of its length.
        faults.append(f"the longest word that it knows has not 1 to {MOST_CHARACTERS:,} characters")
    if len(special) < len(added):
        faults.append("it has added tokens that are not special")
    if end is None:
        faults.append(f"it has no special token that ends a document ({', '.join([*ENDS, SEPARATOR])})")
    if faults or end is None:
        raise ConfigError(f"{where}: {'; '.join(faults)}; tokenmill uses WordPiece tokenizers in the form of BERT's")
    return Description(
        fingerprint=hashlib.sha256(data).hexdigest(),
        pattern=PATTERN,
        end_of_text=ids[end],
        unknown=ids[unknown],
        ids=ids,
        tokens=_tokens(ids),
        special=special,
        encoding={name: plain.get(name) for name in ("normalizer", "pre_tokenizer", "added_tokens", "model")},
        decoder=DECODER,
    )


def _tokens(ids: Mapping[str, int]) -> tuple[bytes | None, ...]:
    """What each id adds to the text when another one stands before it, by the library's own rules for spaces."""
    decoder = decoders.WordPiece(prefix=CONTINUES, cleanup=True)
    tokens: list[bytes | None] = [None] * (max(ids.values()) + 1)
    for token, number in ids.items():
        tokens[number] = decoder.decode(["x", token]).removeprefix("x").encode()
    return tuple(tokens)
