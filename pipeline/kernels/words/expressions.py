"""Fixed expressions that the word splitter knows: abbreviations, contractions, units, and the stop words of the rules.

Purpose: kernels find an expression by the hash of its bytes, which they compute for every word anyway.
Guarantee: the table holds abbreviations in lower case, in capitals, with a first capital and with a capital in each part;
contractions in lower case and with a first capital, with either apostrophe, and most also without one; all other expressions
as written.
Cost: about 1,000 expressions in 64 kB.

Source: the English exceptions of spaCy (`spacy/lang/en/tokenizer_exceptions.py`) and its units (`char_classes.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, hash_word

SLOTS = 1 << 12
MOST_BYTES = 11
"""The longest expression, in bytes."""

WHOLE = 1
"""Role: a word from which no more marks come off."""
UNIT = 2
"""Role: comes off the end of a word behind a digit."""
FIRST_SHIFT = 8
"""Role of a contraction: the 8 bits from here hold the size in bytes of its first word; 0 for other expressions."""
STOP_WORD_SHIFT = 16
"""Role of a stop word: the 8 bits from here hold 1 + its index in `STOP_WORDS`; 0 for other expressions."""
SIZE_SHIFT = 24
"""The 8 bits from here hold the size in bytes of the expression."""

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

_ABBREVIATIONS = (
    "a.m p.m adm bros co corp d.c dr e.g gen gov i.e inc jr ltd md messrs mr mrs ms mt ph.d prof rep rev sen st v.s vs"
    " jan feb mar apr jun jul aug sep sept oct nov dec"
    " ak ala ariz ark calif colo conn del fla ga ia ill ind kan kans ky la mass mich minn miss mo mont neb nebr nev okla ore pa"
    " tenn va wash wis n.c n.d n.h n.j n.m n.y s.c"
)
_KEPT_WHOLE = "and/or w/o 's 'S ‘s 're 'em 'll o'clock ma'am"
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft g kg mg µg t lb oz m/s km/h kmh mph Pa hPa mbar"
    " mb mB kb kB gb gB tb tB Mb MB Kb KB Gb GB Tb TB T G M K %"
)
_NOT = (
    "ai are ca could dare did do does had has have is may might must need ought sha should was were wo would",
    ("n't", "n’t", "nt"),
)
_PARTS = (
    ("i", "m ll d ve"),
    ("you we they", "ll d ve re"),
    ("he she it", "ll d s"),
    ("who what when where why how there that this", "s ll d"),
    ("could might must should would", "ve"),
    ("let", "s"),
)
_ONLY_WITH_APOSTROPHE = ("who what when where why how there that this", "re ve")
_JOINED = (("can", "not"), ("gon", "na"), ("got", "ta"))
_NO_CONTRACTIONS = frozenset(("ill", "its", "hell", "shell", "shed", "were", "well", "whore"))


def table() -> npt.NDArray[np.uint64]:
    """uint64 [2 * SLOTS]: each expression's hash and role, in the slot of the hash or in the next free slot."""
    found: dict[str, int] = {}
    for expression, role in _expressions():
        found[expression] = found.get(expression, 0) | role
    slots = np.zeros((SLOTS, 2), dtype=np.uint64)
    for expression, role in found.items():
        content = expression.encode()
        key = hash_word(np.frombuffer(content + bytes(PADDING_BYTES), dtype=np.uint8), 0, len(content))
        slot = int(key) % SLOTS
        while slots[slot, 0]:
            slot = (slot + 1) % SLOTS
        slots[slot] = key, role | len(content) << SIZE_SHIFT
    return slots.reshape(-1)


def _expressions() -> Iterator[tuple[str, int]]:
    for abbreviation in _ABBREVIATIONS.split():
        for form in (abbreviation, abbreviation.upper(), abbreviation.capitalize(), abbreviation.title()):
            yield form + ".", WHOLE
    for expression in _KEPT_WHOLE.split():
        yield expression, WHOLE
    for unit in _UNITS.split():
        yield unit, UNIT
    for index, word in enumerate(STOP_WORDS):
        yield word, 1 + index << STOP_WORD_SHIFT
    for first, second in _contractions():
        if first + second not in _NO_CONTRACTIONS:
            yield first + second, len(first) << FIRST_SHIFT
            yield first.capitalize() + second, len(first) << FIRST_SHIFT


def _contractions() -> Iterator[tuple[str, str]]:
    """Yield the two words of each contraction, in lower case."""
    for first in _NOT[0].split():
        for second in _NOT[1]:
            yield first, second
    for firsts, seconds in _PARTS:
        for first in firsts.split():
            for second in seconds.split():
                yield from ((first, apostrophe + second) for apostrophe in ("'", "’", ""))
    for first in _ONLY_WITH_APOSTROPHE[0].split():
        for second in _ONLY_WITH_APOSTROPHE[1].split():
            yield from ((first, apostrophe + second) for apostrophe in "'’")
    yield from _JOINED
