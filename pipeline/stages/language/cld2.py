"""A second opinion: CLD2, behind the signature of `models`.

Purpose: CLD2 looks at other features than py3langid (n-grams of 4 letters, and scripts), knows 46 other languages, and says
nothing where it is unsure.
Guarantee: no text makes it raise. CLD2 refuses 127 characters (controls and noncharacters) that are valid in UTF-8; they become
blanks. It is called on one text at a time, without hints and without its guesses for short texts (`bestEffort`), so a label
depends on the text alone. It is C++ that nobody has changed since 2015, in a package whose last release is of 2025: tests give
it every code point and hostile texts.
Cost: 35 to 60 ns per byte. Of texts above MOST_BYTES it reads the head.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.stages.language.models import Identified

MOST_BYTES = 1 << 20
NONCHARACTERS = "".join(
    map(chr, (*range(0xFDD0, 0xFDF0), *(0x10000 * plane + last for plane in range(17) for last in (0xFFFE, 0xFFFF))))
)
REFUSED = re.compile(f"[\0-\x08\x0b\x0e-\x1f\x7f-\x9f{NONCHARACTERS}]")
WITHDRAWN = {"iw": "he", "jw": "jv"}
NO_LANGUAGE = re.compile("un|xx-.*|zz.|tlh")
"""Codes that name no language: unknown, a script, jokes."""


@dataclass(frozen=True, kw_only=True)
class Cld2:
    """CLD2. A score is the share of the text that is in the language."""

    codes: tuple[str, ...]
    """The codes that CLD2 gives, by index of their label."""

    @property
    def labels(self) -> tuple[str, ...]:
        """See models.LanguageIdentifier."""
        return tuple(WITHDRAWN.get(code, code) for code in self.codes)

    def identify(self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Identified:
        """See models.LanguageIdentifier. No label where CLD2 calls its own answer unreliable."""
        labels, scores = np.full(len(starts), -1, dtype=np.int64), np.zeros(len(starts))
        index, cld2 = {code: at for at, code in enumerate(self.codes)}, library()
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            text = data[start : min(end, start + MOST_BYTES)].tobytes()
            try:
                found = cld2.detect(text, isPlainText=True)
            except cld2.error:
                found = cld2.detect(REFUSED.sub(" ", text.decode(errors="ignore")).encode(), isPlainText=True)
            reliable, _, ((_, code, percent, _), *_) = found
            if reliable and code in index:
                labels[row], scores[row] = index[code], percent / 100
        return Identified(labels, scores, np.full(len(labels), np.nan))


@functools.cache
def load() -> Cld2:
    """Raises ConfigError if pycld2 is not installed."""
    cld2 = library()
    detected = set(cld2.DETECTED_LANGUAGES)
    codes = dict.fromkeys(code for name, code in cld2.LANGUAGES if name in detected and not NO_LANGUAGE.fullmatch(code))
    return Cld2(codes=tuple(codes))


def identity() -> Mapping[str, str]:
    """The version of the package and of its tables. Raises ConfigError if pycld2 is not installed."""
    return {"cld2": f"{library().__version__} {library().VERSION}"}


def library() -> Any:
    """The module `pycld2`. Raises ConfigError if it is not installed."""
    try:
        import pycld2
    except ImportError as error:
        raise ConfigError("language.second = \"cld2\" needs pycld2: pip install 'tokenmill[cld2]'") from error
    return pycld2
