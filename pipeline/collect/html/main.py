"""A page of HTML to its main text, by the extractor that the settings name.

Source: blocks of ours, chosen by trees; or resiliparse or trafilatura, which have an own parser of HTML.
Guarantee: time is linear in the size of the page with blocks and resiliparse: `tags` refuses, or gives less work to, what
resiliparse takes longer for. trafilatura has quadratic cases beside these, which the deadline of a parser ends.
Cost: about 100 MB of HTML per second with blocks, 35 with resiliparse, 4.5 with trafilatura.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resiliparse.extract.html2text import extract_plain_text

from tokenmill.pipeline.collect import tags
from tokenmill.pipeline.collect.html.extraction import Extraction

if TYPE_CHECKING:
    from tokenmill.pipeline.collect.html.candidates import PageScores
    from tokenmill.pipeline.config.sources import Extract

DEFAULT = Extraction()
FEW = 200
"""Characters of prose that a page may lose whatever their share: notes on cookies, a request to turn on scripts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MainText:
    """The main text of a page, and how much of its visible text that is.

    characters: of the text. prose, visible: of the page, see `recall.visible`. All are without white space. scores: of its
    blocks, if they are to be stored.
    """

    text: str
    characters: int
    prose: int
    visible: int
    scores: PageScores | None = None

    @property
    def about(self) -> dict[str, float | None]:
        """What the metadata of the document hold: the share of the visible prose that came out, in thousandths."""
        if not self.prose:
            return {"extract_recall": None}
        return {"extract_recall": min(1000, 1000 * self.characters // self.prose) / 1000}

    def replaced(self, text: str) -> MainText:
        """Another text in place of the main text of the same page."""
        size = _characters(text)
        scores = None if self.scores is None else dataclasses.replace(self.scores, embedded=size)
        return dataclasses.replace(self, text=text, characters=size, scores=scores)

    def lost(self, least: float) -> tuple[str, str] | None:
        """Why the text is of no use, and a message: it has less than the share `least` of the visible prose."""
        if self.visible and not self.characters:
            return "extract_recall", f"no text came out of a page with {self.visible} visible characters"
        if self.prose > FEW and self.characters < least * self.prose:
            return (
                "extract_recall",
                f"{self.characters} characters came out of a page with {self.prose} characters of visible prose, less than "
                f"the share {least:g} (collect.extract_recall)",
            )
        return None


def main_text(html: str, how: Extraction = DEFAULT) -> MainText:
    """The main text of a page. Raises RecordError (hostile_html) for tags made to stall the parser."""
    # Parsers of other files do without compiled code.
    from tokenmill.pipeline.collect.html import candidates, choose, recall, render
    from tokenmill.pipeline.collect.html.blocks import blocks_of

    scores = None
    if how.extract in ("blocks", "none"):
        blocks = blocks_of(html)
        page = choose.candidates(blocks) if how.extract == "blocks" and len(blocks) else None
        text = choose.text(blocks, page, how)
        visible, prose = recall.visible(blocks.found)
        if how.extract_scores and page is not None:
            shown = render.characters(blocks.page, blocks.found)
            scores = candidates.PageScores.of(page, shown, prose=prose, visible=visible)
    else:
        text = of_library(html, how.extract)
        visible, prose = recall.of_page(html)
    return MainText(text=text, characters=_characters(text), prose=prose, visible=visible, scores=scores)


def _characters(text: str) -> int:
    return len("".join(text.split()))


def of_library(html: str, extract: Extract) -> str:
    """What resiliparse or trafilatura take for the main text. Raises RecordError (hostile_html)."""
    deepest = tags.check(html)
    if extract == "resiliparse":
        plain: str = extract_plain_text(html, main_content=deepest <= tags.DEEPEST)
        return plain
    import trafilatura

    found: str | None = trafilatura.extract(html)
    return found or ""
