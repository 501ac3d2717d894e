"""A page of HTML to its main text, by the extractor that the settings name.

Source: blocks of ours, chosen by trees; or resiliparse, which extracts the main content.
Guarantee: time is linear in the size of the page: `tags` refuses, or gives less work to, what resiliparse takes longer for.
Cost: about 30 MB of HTML per second with resiliparse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resiliparse.extract.html2text import extract_plain_text

from tokenmill.pipeline.collect import tags
from tokenmill.pipeline.collect.records import EXTRACT

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config.sources import Extract


def main_text(html: str, extract: Extract = EXTRACT) -> str:
    """The main content of a page as text. Raises RecordError (hostile_html) for tags made to stall the parser."""
    if extract == "resiliparse":
        deepest = tags.check(html)
        text: str = extract_plain_text(html, main_content=deepest <= tags.DEEPEST)
        return text
    # Parsers that need no compiled code do without it.
    from tokenmill.pipeline.collect.html import choose

    return choose.text(html, everything=extract == "none")
