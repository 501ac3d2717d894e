"""Extractors by name: ours, and those of others that are installed.

Purpose: all are called alike, a page in, its main text out, so that one table and one bench compare them.
Cost: that of the extractor; the libraries are imported when one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from tokenmill.pipeline.base.errors import RecordError

Extract = Callable[[str], str]
"""From a decoded page to its main text; "" if it finds none."""


def _setting(name: Literal["blocks", "resiliparse", "none"]) -> Callable[[], Extract]:
    """What the setting `collect.extract` says."""

    def make() -> Extract:
        from tokenmill.pipeline.collect.html import main
        from tokenmill.pipeline.collect.html.extraction import Extraction

        how = Extraction(extract=name)

        def extract(html: str) -> str:
            try:
                return main.of_library(html, name) if name == "resiliparse" else main.main_text(html, how).text
            except RecordError:  # a page that a build quarantines gives no text
                return ""

        return extract

    return make


def _trafilatura() -> Extract:
    import trafilatura

    return lambda html: trafilatura.extract(html) or ""


def _trafilatura_recall() -> Extract:
    import trafilatura

    return lambda html: trafilatura.extract(html, favor_recall=True) or ""


def _readability() -> Extract:
    import readability
    from resiliparse.extract.html2text import extract_plain_text

    def extract(html: str) -> str:
        try:
            summary = readability.Document(html).summary()
        except (readability.readability.Unparseable, ValueError):  # it refuses pages without elements
            return ""
        return str(extract_plain_text(summary))

    return extract


def _chromerag() -> Extract:
    from chromerag import ChromeRAG

    from tokenmill.pipeline.collect.extract.overlap import without_markdown

    extractor = ChromeRAG()

    def extract(html: str) -> str:
        found = extractor.extract(html)
        # Before the text stands what the page says of itself, as front matter between two lines of dashes.
        text = found.markdown.split("\n---\n", 1)[-1] if found.front_matter else found.markdown
        return without_markdown(text)

    return extract


EXTRACTORS: Mapping[str, Callable[[], Extract]] = MappingProxyType(
    {
        "blocks": _setting("blocks"),
        "resiliparse": _setting("resiliparse"),
        "none": _setting("none"),
        "trafilatura": _trafilatura,
        "trafilatura-recall": _trafilatura_recall,
        "readability": _readability,
        "chromerag": _chromerag,
    }
)
"""What makes each extractor. Raises ImportError where its library is not installed."""


def installed(names: tuple[str, ...]) -> tuple[dict[str, Extract], tuple[str, ...]]:
    """The extractors of `names` that can run here, and the names of those whose library is not installed."""
    found, missing = {}, []
    for name in names:
        try:
            found[name] = EXTRACTORS[name]()
        except ImportError:
            missing.append(name)
    return found, tuple(missing)
