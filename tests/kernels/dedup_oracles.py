"""Plain Python twins of the kernels that deduplication is made of: slow, obvious, and written without them."""

from __future__ import annotations

import functools
import re
import string
import unicodedata

from hypothesis import strategies as st

from tokenmill.pipeline.kernels.text.unicode import DATATROVE, KEPT, Folding

MASK = 2**64 - 1
OPERATORS = "+-*/%=<>&|^~!@"
SEPARATORS = ".,\u060c\u066b\u2396\u2397\u2398"
ADDRESS = re.compile(rf"(?<=:)//[{re.escape(OPERATORS)}]*[^\x00-\x20<>\"`\x7f-\U0010ffff]*")
"""What goes on behind the whole run of operators that begins it, also where that holds "<"."""
USAGE_BAR, USAGE_HYPHEN = re.compile(r"\|-"), re.compile(r"[\w\"'\x80-\U0010ffff]*\|-")
WORD_BEFORE, WORD_AFTER = re.compile(r"[\w\x80-\U0010ffff]*$"), re.compile(r"[\w\x80-\U0010ffff]*")
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


@functools.lru_cache(maxsize=4096)
def is_mark(character: str) -> bool:
    return unicodedata.category(character) == "Mn"


@functools.lru_cache(maxsize=4096)
def is_punctuation(character: str, what: str = "unicode") -> bool:
    if what == "datatrove":
        return character in DATATROVE
    if what == "ascii":
        return character in string.punctuation
    return (
        unicodedata.category(character)[0] == "P"
        or unicodedata.category(character) == "Cc"
        or character in string.punctuation + SEPARATORS
    )


def is_operator(text: str, at: int, end: int) -> bool:
    """Whether the run of operator characters text[at:end] stands as an operator: the rule, on characters."""
    left, right, run = text[:at], text[end:], text[at:end]
    follows = is_operand(left[-1:])
    if USAGE_BAR.match(run) if follows else run == "-" and USAGE_HYPHEN.match(right):
        return False
    if not right or "0" <= right[0] <= "9":
        return bool(right)
    before, after = left.rstrip(" \t"), right.lstrip(" \t\r\n")
    if not before or not after:
        return False
    spaced = (before != left, after != right)
    begins = is_operand(after[0]) or after[0] in "([{$\\."
    if begins and not spaced[1] and before[-1] in "(" + OPERATORS:
        return True
    if spaced[0] != spaced[1] or not (is_operand(before[-1]) or before[-1] in ")]}"):
        return False
    if spaced[0]:
        return begins or after[0] in OPERATORS
    if run in ("-", "/", "|"):
        counts = [sum(map(is_letter, word)) for word in (WORD_BEFORE.search(left)[0], WORD_AFTER.match(right)[0])]
        several = max(counts) > 1 and (run != "/" or min(counts) > 0)
        return begins and after[0] not in "{." and not several
    return begins and after[0] not in "{." and text[end - 1] != "-"


def is_letter(character: str) -> bool:
    return character > "\x7f" or character.isalpha()


def is_operand(character: str) -> bool:
    return character > "\x7f" or (character.isalnum() or (character != "" and character in "_\"'"))


def decomposed(text: str, folding: Folding) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not (folding.marks and is_mark(c)))


def is_small(text: str, folding: Folding) -> bool:
    """Whether a text begins, after marks, with what goes on a word like the `h` of `This`."""
    for character in text:
        if is_mark(character) and not is_unspaced(character) and len(decomposed(character, folding)) <= 1:
            continue
        if character <= "\x7f":
            return character.isalpha() and character.islower()
        if character.isspace() or is_punctuation(character, folding.what) or is_unspaced(character):
            return False
        if folding.digits and (character.isdecimal() or character in SEPARATORS):
            return False
        return character.lower() == character
    return False


def parts(text: str, folding: Folding = KEPT) -> list[tuple[str, str]]:
    """What a text is read as: ("in", part of a word), ("own", a word of its own), ("gap", "")."""
    if not folding.white_space:
        return [("in", character) for character in text]
    numbers = {found.start(): found.end() for found in NUMBER.finditer(text)} if folding.digits else {}
    addresses = [range(*one.span()) for one in ADDRESS.finditer(text)]
    found: list[tuple[str, str]] = []
    at, in_word = 0, False
    while at < len(text):
        character, next_at = text[at], at + 1
        if at in numbers:
            new, next_at = [("in", "0")], numbers[at]
        elif character.isspace():
            new = [("gap", "")]
        elif is_punctuation(character, folding.what):
            if folding.what == "ascii" and folding.punctuation:
                at = next_at
                continue
            kept = not (folding.operators if character in OPERATORS else folding.punctuation)
            new = [("own", character) if kept else ("gap", "")]
            if kept and folding.punctuation:
                while next_at < len(text) and text[next_at] in OPERATORS:
                    next_at += 1
                stands = not any(at in one for one in addresses) and is_operator(text, at, next_at)
                new = [("own", text[at:next_at]) if stands else ("gap", "")]
        elif folding.digits and character in SEPARATORS:
            new = [("own", character)]
        else:
            if folding.case is True or (folding.case == "initial" and not in_word and is_small(text[next_at:], folding)):
                character = character.lower()
            if folding.case is True:
                character = character.replace("\u03c2", "\u03c3")
            spelled = decomposed(character, folding)
            new = [("own", part) for part in spelled] if spelled and is_unspaced(text[at]) else [("in", spelled)]
        found += new
        in_word = new[-1][0] == "in" and (in_word or new[-1][1] != "")
        at = next_at
    return found


def normalised(text: str, folding: Folding = KEPT) -> str:
    """The normalised text, as it is read for n-grams of characters."""
    out, spaced = "", False
    for what, spelled in parts(text, folding):
        if what == "gap":
            out += "" if spaced or not out else " "
        else:
            out += spelled
        spaced = what == "gap"
    return out.rstrip(" ")


def words(text: str, folding: Folding = KEPT) -> list[str]:
    """The words of a text, as they are read for n-grams of words."""
    found = [""]
    for what, spelled in parts(text, folding):
        if what == "in":
            found[-1] += spelled
        else:
            found += [spelled, ""]
    return [word for word in found if word]


def whole(text: str) -> str:
    """What datatrove's recipe gives for a whole string: lower-cased and decomposed at once. One sigma, as ours."""
    text = NUMBER.sub("0", text.lower().replace("\u03c2", "\u03c3"))
    text = "".join(" " if character in DATATROVE else character for character in text)
    text = unicodedata.normalize("NFD", re.sub(r"\s+", " ", text.strip()))
    return "".join(character for character in text if not is_mark(character)).strip()


@functools.lru_cache(maxsize=4096)
def is_unspaced(character: str) -> bool:
    """By the name of the character; the ideographic and vertical marks are named for no script."""
    if character in "\u3099\u309a\u3005\u3006\u3007\u3031\u3032\u3033\u3034\u3035\u303b\u303c":
        return True
    return unicodedata.category(character)[0] in "LMNS" and unicodedata.name(character, "").startswith(UNSPACED_NAMES)


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


def units(text: str, shingle: str = "words", folding: Folding = KEPT) -> list[str]:
    """What n-grams of a text are made of."""
    return list(normalised(text, folding)) if shingle == "characters" else words(text, folding)


def ngrams(text: str, n: int, shingle: str = "words", folding: Folding = KEPT) -> list[int]:
    """Hashes of the n-grams of a text, in order."""
    hashes = [hash_word(unit.encode()) for unit in units(text, shingle, folding)]
    return [hash_ngram(hashes[at : at + n]) for at in range(len(hashes) - n + 1)]


def jaccard(a: str, b: str, n: int, shingle: str = "words", folding: Folding = KEPT) -> float:
    """True similarity of two texts by tuples of words or characters: no hash at all."""
    one, other = (
        {*zip(*(found[at:] for at in range(n)), strict=False)}
        for found in (units(a, shingle, folding), units(b, shingle, folding))
    )
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
