"""The language of a piece of code, and columns of numbers beside one.

Source: the classes and attributes of Prism and CommonMark (`language-`, `lang-`), GitHub (`highlight-source-`), Sphinx
(`highlight-`), Jekyll and Hugo (`data-lang`), pandoc (`sourceCode`), SyntaxHighlighter (`brush:`), highlight.js (`hljs`), Hexo.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html import attributes
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

MOST_INSIDE, MOST_OUTSIDE = 3, 6
"""Elements below and above `pre` whose attributes are looked at."""
WRAPPERS = frozenset(n.ids("div figure table tbody tr td span"))
"""Elements around `pre` that belong to the code."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9+#._-]{0,29}")
PREFIX = re.compile(r"(?:lang(?:uage)?|highlight-source|highlight-text|highlight)-|brush:")
BEFORE_NAME = frozenset(("sourceCode", "hljs", "highlight", "brush:"))
"""Classes that the name of the language follows."""
NO_LANGUAGE = re.compile(
    r"default|none|text|plain|plain-?text|txt|raw|auto|unknown|undefined|no-?highlight|notranslate|language|source|src|code|block"
    r"|lines|wrapper|table|hljs|highlight"
)
NUMBERED = re.compile(r"lineno|linenum|line[-_]num|gutter|blob-num|\bln\b|\blnt\b")
NUMBERS = re.compile(r"\d{1,8}(?:\s+\d{1,8})*")


def language(page: npt.NDArray[np.uint8], found: Scanned, pre: int, first: int) -> str:
    """The name of the language of the code in `pre`, as the page writes it; empty if it says none.

    first: the innermost element around the first text of the code.
    """
    elements = found.elements
    near: list[int] = []
    while first > pre and len(near) < MOST_INSIDE:
        near.append(first)
        first = int(elements[first, c.PARENT])
    near = [*reversed(near), pre]
    around = int(elements[pre, c.PARENT])
    while elements[around, c.TAG] in WRAPPERS and len(near) < MOST_INSIDE + MOST_OUTSIDE:
        near.append(around)
        around = int(elements[around, c.PARENT])
    return next((name for element in near for name in _names(page, found, element, inside=element >= pre)), "")


def _names(page: npt.NDArray[np.uint8], found: Scanned, element: int, *, inside: bool) -> Iterator[str]:
    """What may be the language, by the attributes of one element. inside: whether it is `pre`, or in it."""
    words = (attributes.value(page, found, element, n.CLASS) or "").replace(";", " ").split()
    candidates = [attributes.value(page, found, element, n.DATA_LANG) or ""]
    candidates += [word[prefix.end() :] for word in words if (prefix := PREFIX.match(word))]
    candidates += [after for word, after in itertools.pairwise(words) if word in BEFORE_NAME and not PREFIX.match(after)]
    if inside:
        candidates.append(attributes.value(page, found, element, n.LANG) or "")
    for name in candidates:
        if NAME.fullmatch(name) and not NO_LANGUAGE.fullmatch(name.lower()):
            yield name.lower()


def are_numbers(page: npt.NDArray[np.uint8], found: Scanned, text: str, cell: int, row: int, *, code: bool) -> bool:
    """Whether the text of a cell is the numbers of the lines of code in the next cell. code: whether it is preformatted."""
    if not cell or found.elements[row, c.ORDINAL] < 2 or not NUMBERS.fullmatch(text := text.strip()):
        return False
    numbers = [int(number) for number in text.split()]
    follow = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return follow and (code or NUMBERED.search(attributes.value(page, found, cell, n.CLASS) or "") is not None)
