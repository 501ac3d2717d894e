"""What tokenmill accepts as a tokenizer: the `tokenizer.json` of a byte-level BPE, checked before anything relies on it.

Purpose: describe a tokenizer from the bytes of its file, for encoding, decoding and packing. Files of WordPiece, which is not
exact, are checked by `tokenmill.tokenizer.wordpiece`.
Guarantee: an accepted BPE encodes every text (all 256 bytes are tokens), decodes to the exact text (or to its NFC form, if the
file asks for that), and has a token that ends documents. It cuts text by patterns that are known here or that the user
wrote, because a regular expression from a file could run for ever. Nothing in the file is executed, and a bad file is refused
within seconds.
Cost: one parse of the file (0.3 s for 100,000 tokens).

Sources of the patterns: the `tokenizer.json` of the models named beside them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.tokenizer import wordpiece
from tokenmill.tokenizer.description import BYTE_LEVEL, ENDS, LARGEST_FILE_BYTES, LARGEST_VOCABULARY, Description
from tokenmill.tokenizer.pretokenize import NAMES, PATTERNS, pattern

_REST = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
STEPS = {
    r"[0-9][0-9][0-9]": "three digits",  # Falcon
    r"\p{N}{1,3}": "1 to 3 digits",  # DeepSeek
    r"\p{N}": "digits",
    "[一-龥぀-ゟ゠-ヿ]+": "Chinese and Japanese",  # DeepSeek
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "deepseek",
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}|{_REST}": "tekken",
    r" ?[^(\s|[.,!?…。，、।۔،])]+": "bloom",
}
"""Regular expressions, besides the `PATTERNS` of training, that a file may use as one of several steps. All are linear."""


def byte_alphabet() -> dict[str, int]:
    """Map each character of a byte-level vocabulary to the byte it stands for, as in GPT-2's encoder (bytes_to_unicode).

    Printable Latin-1 characters stand for themselves. The other bytes, in ascending order, are U+0100 and up.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted({*range(256)}.difference(printable))
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


@functools.lru_cache(maxsize=2)
def describe(data: bytes, *, where: str, own_regex: str | None = None) -> Description:
    """Parse and check the bytes of a `tokenizer.json`. Raises ConfigError; its message begins with `where`.

    `own_regex`: the regular expression by which, as the user says, the file cuts text. It need not be known here, but the file
    must contain it.
    """
    if len(data) > LARGEST_FILE_BYTES:
        raise ConfigError(f"{where}: has {len(data):,} bytes; a tokenizer has at most {LARGEST_FILE_BYTES:,}")
    try:
        plain = json.loads(data, object_pairs_hook=_object)
        model, added = plain["model"], plain["added_tokens"]
        if model["type"] == "WordPiece":
            return wordpiece.describe(data, plain, where=where)
        vocab: dict[str, Any] = dict(model["vocab"])
        special = tuple(str(token["content"]) for token in added if token["special"])
        contents: dict[Any, str] = {token["id"]: str(token["content"]) for token in added}
        cuts = _cuts(plain["pre_tokenizer"], own_regex)
        nfc = _nfc(plain.get("normalizer"))
        faults = [*_faults(model, added), *_vocabulary_faults(vocab, contents, len(added))]
        faults += _merge_faults(vocab, model["merges"])
    except ConfigError:
        # It is a ValueError too, but says already what is wrong.
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise ConfigError(f"{where}: is no tokenizer.json of a byte-level BPE or of WordPiece ({reason})") from error
    end = next((name for name in ENDS if name in special), None)
    if end is None:
        faults.append(f"it has no special token that ends a document ({', '.join(ENDS)})")
    if cuts is None:
        faults.append(f"its pre-tokenizer is not made of known patterns ({', '.join([*NAMES, *STEPS.values()])}) and ByteLevel")
        if own_regex is not None:
            faults.append(f"or it does not cut by the pattern that you named, {_shown(own_regex)}")
        else:
            faults.append("if you know and trust the regular expression that it cuts by, name it as the pattern (--pattern)")
    if nfc is None:
        faults.append("it has a normalizer other than NFC")
    if faults or cuts is None or nfc is None or end is None:
        raise ConfigError(f"{where}: {'; '.join(faults)}; tokenmill uses byte-level BPE tokenizers that give text back exactly")
    return Description(
        fingerprint=hashlib.sha256(data).hexdigest(),
        pattern=" + ".join(cuts),
        nfc=nfc,
        end_of_text=next(number for number, content in contents.items() if content == end),
        ids=vocab | {content: number for number, content in contents.items()},
        tokens=_tokens(vocab, contents),
        special=special,
        encoding={
            **{name: plain.get(name) for name in ("normalizer", "pre_tokenizer", "added_tokens")},
            # Every byte is a token, so none is ever unknown.
            "model": {**model, "unk_token": None, "fuse_unk": False, "byte_fallback": False},
        },
        decoder=BYTE_LEVEL,
    )


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError when a key is repeated."""
    made = dict(pairs)
    if len(made) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"{_shown(twice)} appears twice")
    return made


def _shown(value: object) -> str:
    """A value for an error message, shortened because the file may be hostile."""
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:77]}..."


def _faults(model: Mapping[str, Any], added: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings with which ids would not decode to the exact bytes of a text, or would differ from run to run."""
    faults = []
    if model["type"] != "BPE":
        faults.append(f"its model is {_shown(model['type'])}")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            faults.append(f"its model has {key}={_shown(model[key])}")
    if any(token.get(key) for token in added if not token["special"] for key in ("lstrip", "rstrip", "single_word")):
        faults.append("its added tokens strip what is around them")
    return faults


def _vocabulary_faults(vocab: dict[str, Any], contents: Mapping[Any, str], added: int) -> list[str]:
    ids = [*vocab.values(), *contents]
    if not all(type(number) is int and 0 <= number < LARGEST_VOCABULARY for number in ids):
        return [f"its ids are not integers from 0 to {LARGEST_VOCABULARY - 1}"]
    named = vocab | {content: number for number, content in contents.items()}
    clash = next((token for token, number in vocab.items() if contents.get(number, token) != token), None)
    if clash is not None or len(contents) < added or len(set(named.values())) < len(named) or vocab.items() - named.items():
        return ["an id stands for two tokens, or a token for two ids" + (f": {_shown(clash)}" if clash is not None else "")]
    alphabet = byte_alphabet()
    faults = []
    missing = [character for character in alphabet if character not in vocab]
    if missing:
        faults.append(f"{len(missing)} of the 256 bytes are not in its vocabulary")
    # All tokens at once, because a look at each takes longer than the rest of the checks.
    if set().union(*vocab) - alphabet.keys() and (
        strange := next(
            (token for token, number in vocab.items() if number not in contents and set(token) - alphabet.keys()), ""
        )
    ):
        faults.append(f"its token {_shown(strange)} is not made of bytes")
    if "" in named:
        faults.append("it has an empty token, so merges could go on for ever")
    return faults


def _merge_faults(vocab: Mapping[str, Any], merges: Iterable[Any]) -> list[str]:
    """Merges whose parts or result are not in the vocabulary, or that appear twice. Raises ValueError for a malformed merge."""
    seen = set()
    for merge in merges:
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        if first not in vocab or second not in vocab or first + second not in vocab:
            return [f"its merge {_shown(merge)} uses or makes a token that it does not have"]
        if (first, second) in seen:
            return [f"its merge {_shown(merge)} appears twice"]
        seen.add((first, second))
    return []


def _tokens(vocab: Mapping[str, int], contents: Mapping[int, str]) -> tuple[bytes | None, ...]:
    table = {ord(character): byte for character, byte in byte_alphabet().items()}
    tokens: list[bytes | None] = [None] * (max(*vocab.values(), *contents) + 1)
    for token, number in vocab.items():
        tokens[number] = token.encode() if number in contents else token.translate(table).encode("latin-1")
    for number, content in contents.items():
        tokens[number] = content.encode()
    return tuple(tokens)


def _nfc(normalizer: Mapping[str, Any] | None) -> bool | None:
    """Whether text is normalized to NFC; None if the file changes text in another way."""
    steps = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer]
    kinds = {step["type"] for step in steps if step is not None}
    return None if kinds - {"NFC"} else bool(kinds)


def _cuts(pre: Mapping[str, Any], own_regex: str | None) -> list[str] | None:
    """The names of the patterns that cut text one after another; None if one of them is unknown or loses text."""
    steps = pre["pretokenizers"] if pre["type"] == "Sequence" else [pre]
    known = ({own_regex: "own"} if own_regex is not None else {}) | PATTERNS | STEPS
    names: list[str] = []
    levels = 0
    own = own_regex is None
    for step in steps:
        name: str | None = None
        if step["type"] == "ByteLevel":
            levels += 1
            if step.get("add_prefix_space", True):
                return None
            if not step.get("use_regex", True):
                continue
            name, regex = "gpt2", pattern("gpt2").regex
        elif step["type"] == "Digits":
            name, regex = "digits", r"\p{N}"
        elif step["type"] == "Punctuation" and step.get("behavior", "Isolated") != "Removed":
            name, regex = "punctuation", ""
        elif step["type"] == "Split":
            # Some files hold raw line breaks where others hold escapes; inside a class of characters both mean the same.
            regex = str(step["pattern"].get("Regex")).replace("\r", r"\r").replace("\n", r"\n")
            lossless = step["behavior"] != "Removed" or (step["invert"] and regex in PATTERNS)
            name = known.get(regex) if lossless else None
        if name is None:
            return None
        own = own or regex == own_regex
        names.append(name)
    return names if names and levels == 1 and own else None
