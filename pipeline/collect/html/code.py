"""The language of a piece of code, and columns of numbers beside one.

Source: the classes and attributes of Prism and CommonMark (`language-`, `lang-`), GitHub (`highlight-source-`), Sphinx
(`highlight-`), Jekyll and Hugo (`data-lang`), pandoc (`sourceCode`), SyntaxHighlighter (`brush:`), highlight.js (`hljs`), Hexo.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.collect.html import attributes
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned

MOST_LEVELS = 3
"""Elements above `pre`, and below it, whose attributes are looked at."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9+#._-]{0,29}")
IN_CLASS = re.compile(
    r"(?:^|\s)(?:lang(?:uage)?-|highlight-source-|highlight-text-|highlight-|sourceCode\s+|brush:\s*|hljs\s+(?:language-)?"
    r"|highlight\s+)([A-Za-z][\w+#.-]*)"
)
NO_LANGUAGE = frozenset(
    "default none text plain plaintext plain-text txt nohighlight no-highlight notranslate lines wrapper code block src undefined"
    " source highlight table hljs language auto unknown raw".split()  # noqa: SIM905 -- a list reads worse
)
NUMBERED = re.compile(r"lineno|linenum|line[-_]num|gutter|blob-num|\bln\b|\blnt\b")
NUMBERS = re.compile(r"\d{1,8}(?:\s+\d{1,8})*")


def language(page: npt.NDArray[np.uint8], found: Scanned, pre: int, first: int) -> str:
    """The name of the language of the code in `pre`, as the page writes it; empty if it says none.

    first: the innermost element around the first text of the code.
    """
    inner = []
    while first > pre and len(inner) < MOST_LEVELS:
        inner.append(first)
        first = int(found.elements[first, c.PARENT])
    outer = [pre]
    while outer[-1] and len(outer) <= MOST_LEVELS:
        outer.append(int(found.elements[outer[-1], c.PARENT]))
    for element in (*reversed(inner), *outer):
        named = _named(page, found, element, inside=element >= pre)
        if named:
            return named
    return ""


def _named(page: npt.NDArray[np.uint8], found: Scanned, element: int, *, inside: bool) -> str:
    candidates = [attributes.value(page, found, element, n.DATA_LANG) or ""]
    candidates += IN_CLASS.findall(attributes.value(page, found, element, n.CLASS) or "")
    if inside:
        candidates.append(attributes.value(page, found, element, n.LANG) or "")
    for name in candidates:
        if NAME.fullmatch(name) and name.lower() not in NO_LANGUAGE:
            return name.lower()
    return ""


def are_numbers(page: npt.NDArray[np.uint8], found: Scanned, text: str, cell: int, row: int, *, code: bool) -> bool:
    """Whether the text of a cell is the numbers of the lines of code in the next cell. code: whether it is preformatted."""
    if not cell or found.elements[row, c.ORDINAL] < 2 or not NUMBERS.fullmatch(text := text.strip()):
        return False
    numbers = [int(number) for number in text.split()]
    follow = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return follow and (code or NUMBERED.search(attributes.value(page, found, cell, n.CLASS) or "") is not None)
