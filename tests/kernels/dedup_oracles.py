"""Plain Python twins of the kernels that deduplication is made of: slow, obvious, and written without them."""

from __future__ import annotations

import re
import string
import unicodedata

from hypothesis import strategies as st

MASK = 2**64 - 1
SEPARATORS = ".,\u060c\u066b\u2396\u2397\u2398"
NUMBER = re.compile(rf"\d+(?:[{SEPARATORS}]\d+)?")
UNSPACED_NAMES = (
    "CJK UNIFIED IDEOGRAPH",
    "CJK COMPATIBILITY IDEOGRAPH",
    "CJK RADICAL",
    "KANGXI RADICAL",
    "HANGZHOU NUMERAL",
    "HIRAGANA",
    "KATAKANA",
    "HALFWIDTH KATAKANA",
    "HENTAIGANA",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
)

HOSTILE = st.text(
    st.one_of(
        st.sampled_from(" \t\n\r\x00\x1c\x85\xa0\u2028\u3000\ufeff\u200b\u200d.,;-_'\"$+<=>|~^`!?%&@#"),
        st.sampled_from("abcXYZ\u0130\u0131\u03a3\u03c3\u03c2\u1e9e\u212a\u2126\u00e9\u1ec7\u0149\ufb01"),
        st.sampled_from("0129\u0661\u0663\u096a\U0001d7d8\u066b\u060c\u2396\u00b2\u2155\u4e09"),
        st.sampled_from("\u0301\u0327\u0308\u20dd\u302e\u3099\u093e\u0e33\u0eb3\U0001d165\ufe0f"),
        st.sampled_from(
            "\u65e5\u672c\u304b\u304c\u30d7\uff76\uff9e\uf900\ud55c\uae00\u0e44\u0e17\u0e22\u1780\u1000\u0ea5\U00020000"
        ),
        st.sampled_from("\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff\u07ff\u0800\x7f\x80"),
        st.sampled_from("\U0001f600\U0001f1e9\U0001f468\u200d\u2764\U0001d15e\u0958\u0ddd"),
        st.characters(exclude_categories=["Cs"]),
    )
)
"""Text full of what goes wrong: separators, marks alone, digits of many scripts, neighbours of surrogates, emoji."""


def is_mark(character: str) -> bool:
    return unicodedata.category(character) == "Mn"


def is_punctuation(character: str) -> bool:
    return (
        unicodedata.category(character)[0] == "P"
        or unicodedata.category(character) == "Cc"
        or character in string.punctuation + SEPARATORS
    )


def normalised(text: str, *, whole: bool = False) -> str:
    """The recipe, step by step. `whole`: lower-case and decompose the whole string, not character by character."""
    text = text.lower() if whole else "".join(character.lower() for character in text)
    text = NUMBER.sub("0", text.replace("\u03c2", "\u03c3"))
    text = "".join(" " if is_punctuation(character) and not character.isspace() else character for character in text)
    text = re.sub(r"\s+", " ", text)
    parts = [unicodedata.normalize("NFD", text)] if whole else [unicodedata.normalize("NFD", character) for character in text]
    return "".join(character for part in parts for character in part if not is_mark(character)).strip()


def is_unspaced(character: str) -> bool:
    """By the name of the character; the ideographic and vertical marks are named for no script."""
    if character in "\u3005\u3006\u3007\u3031\u3032\u3033\u3034\u3035\u303b\u303c":
        return True
    return unicodedata.category(character)[0] in "LMNS" and unicodedata.name(character, "").startswith(UNSPACED_NAMES)


def words_of(text: str) -> list[str]:
    """The words of a normalised text."""
    words: list[str] = []
    for run in text.split(" "):
        word = ""
        for character in run:
            if is_unspaced(character):
                words += [word, character]
                word = ""
            else:
                word += character
        words.append(word)
    return [word for word in words if word]


def mix64(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & MASK
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 33


def hash_word(word: bytes) -> int:
    state = 0
    for at in range(0, len(word), 8):
        state = mix64(state ^ int.from_bytes(word[at : at + 8], "little"))
    return state


def hash_ngram(words: list[int]) -> int:
    value = 0
    for word in words:
        value = (value * 0x9E3779B97F4A7C15 + word) & MASK
    return mix64(value)


def units(text: str, shingle: str = "words") -> list[str]:
    """What n-grams of a text are made of."""
    return list(normalised(text)) if shingle == "characters" else words_of(normalised(text))


def ngrams(text: str, n: int, shingle: str = "words") -> list[int]:
    """Hashes of the n-grams of a text, in order."""
    hashes = [hash_word(unit.encode()) for unit in units(text, shingle)]
    return [hash_ngram(hashes[at : at + n]) for at in range(len(hashes) - n + 1)]


def jaccard(a: str, b: str, n: int, shingle: str = "words") -> float:
    """True similarity of two texts by tuples of words or characters: no hash at all."""
    one, other = ({*zip(*(found[at:] for at in range(n)), strict=False)} for found in (units(a, shingle), units(b, shingle)))
    return len(one & other) / len(one | other) if one | other else 0.0


def bands(grams: list[int], multipliers: list[int], increments: list[int], rows: int) -> list[int]:
    """The band hashes of a set of n-grams."""
    pairs = zip(multipliers, increments, strict=True)
    signature = [min(((a * (x >> 32) + b) % 2**32 for x in grams), default=2**32 - 1) for a, b in pairs]
    found = []
    for begin in range(0, len(signature), rows):
        state = rows
        for row in range(rows):
            state = (mix64(state ^ signature[begin + row]) + row + 1) & MASK
        found.append(state)
    return found


def siphash128(data: bytes, key: bytes) -> bytes:
    """SipHash-2-4 with a digest of 128 bits, after the reference code."""

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> 64 - bits) & MASK

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = v[0] + v[1] & MASK
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = v[2] + v[3] & MASK
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & MASK
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & MASK
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    k = [int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")]
    v = [k[at % 2] ^ int.from_bytes(b"somepseudorandomlygeneratedbytes"[8 * at : 8 * at + 8], "big") for at in range(4)]
    v[1] ^= 0xEE
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(4)
    first = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    rounds(4)
    return first.to_bytes(8, "little") + (v[0] ^ v[1] ^ v[2] ^ v[3]).to_bytes(8, "little")
