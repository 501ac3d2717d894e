"""A page of HTML to its main text.

Source: resiliparse extracts the main content.
Guarantee: time is linear in the size of the page: `tags` refuses, or gives less work to, what the library takes longer for.
Cost: about 30 MB of HTML per second.
"""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text

from tokenmill.pipeline.collect import tags


def main_text(html: str) -> str:
    """The main content of a page as text. Raises RecordError (hostile_html) for tags made to stall the parser."""
    deepest = tags.check(html)
    text: str = extract_plain_text(html, main_content=deepest <= tags.DEEPEST)
    return text
