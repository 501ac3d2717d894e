"""Named normalisations: what of two texts is made equal before their n-grams are compared.

Purpose: a similarity means nothing without the normalisation it was computed under. So each has a name with a version, and the
settings, the scores, the verdicts and every answer say it. What a name stands for never changes; a change gets a new version.
Guarantee: none of them decides what an exact duplicate is. Cost: none.

    plain@1     White space, the punctuation of prose, and the case of the first letter of words such as `This` are folded.
                Digits, all other case, marks and operators are kept.
    fineweb@1   `simplify_text` of datatrove 0.10.1 with its default TextNormConfig, which FineWeb's MinhashConfig uses: case,
                numbers, PUNCTUATION and marks are folded. Words are ours: datatrove splits them with spaCy.
    dolma3@1    `clean_text` of AI2's minhash-rs, which duplodocus took over: lower case, ASCII punctuation deleted, white
                space collapsed. Words are ours: their n-grams are over tokens of a BPE tokenizer. Not confirmed: the options
                that Dolma 3 was made with; the code is public, the run is not.
    nemo@1      NeMo Curator hashes the characters of the text as it comes (cuDF's `minhash`), white space too. Not confirmed:
                whether corpora made with it were cleaned before; blanks at the end of a text do not count with us.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from tokenmill.pipeline.kernels.text.unicode import KEPT, Folding

Normalisation = Literal["plain@1", "fineweb@1", "dolma3@1", "nemo@1"]

NORMALISATIONS: Mapping[Normalisation, Folding] = MappingProxyType(
    {
        "plain@1": KEPT,
        "fineweb@1": Folding(case=True, digits=True, marks=True, operators=True, what="datatrove"),
        "dolma3@1": Folding(case=True, operators=True, what="ascii"),
        "nemo@1": Folding(case=False, punctuation=False, white_space=False),
    }
)

FOLDS = ("digits", "case", "marks", "operators", "punctuation")
"""What can be folded or kept one by one."""


def said(name: Normalisation, folding: Folding) -> str:
    """The normalisation in words: its name, and where it differs from what the name stands for."""
    named = NORMALISATIONS[name]
    words = {True: "folded", False: "kept", "initial": "folded in first letters"}
    changed = [f"{what} {words[getattr(folding, what)]}" for what in FOLDS if getattr(folding, what) != getattr(named, what)]
    return ", ".join([name, *changed])
