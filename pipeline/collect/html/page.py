"""A page of HTML as a document: its text, and what its metadata say.

Cost: that of the main text, and 160 us for what a page of 17 kB says about itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from tokenmill.pipeline.collect.html import embedded
from tokenmill.pipeline.collect.html.about import about
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.html.main import MainText, main_text


@dataclass(frozen=True, kw_only=True)
class PageDocument:
    """The text of a page, and its metadata by name. `text_from` there says where the text stood, if not in elements."""

    main: MainText
    about: Mapping[str, str | float | None]
    scores: bytes = b""
    """What is stored of its blocks; empty if nothing is."""


def read(html: str, how: Extraction, url: str | None = None) -> PageDocument:
    """The document of a page that was read from `url`. Raises RecordError (hostile_html); see `main.main_text`."""
    # First of all: it refuses hostile pages.
    main = main_text(html, how)
    known = about(html, url)
    as_text = everything(how)
    if found := embedded.instead(html, main.text, as_text):
        main = main.replaced(found.text)
        known["text_from"] = found.source
    scores = main.scores
    if scores is not None:
        scores = dataclasses.replace(scores, rival=embedded.rival(html, as_text))
    return PageDocument(main=main, about={**main.about, **known}, scores=scores.packed() if scores else b"")


def everything(how: Extraction) -> embedded.AsText:
    """What gives the text of HTML with every block kept, in the format of `how`."""
    every = dataclasses.replace(how, extract="none", extract_scores=False)
    return lambda html: main_text(html, every).text
