"""The text of the blocks of a page that trees call main text, or of all blocks.

Guarantee: the same page gives the same text on every processor. After `prepare` nothing is loaded any more, as parsers need it.
"""

from __future__ import annotations

import functools
from pathlib import Path

from tokenmill.pipeline.collect.extract import model
from tokenmill.pipeline.collect.extract.model import BlockModel
from tokenmill.pipeline.collect.html.blocks import blocks_of

MODEL = Path(__file__).with_name("blocks.json")


@functools.cache
def shipped() -> BlockModel:
    """The model that comes with tokenmill. Raises InputError if its file is damaged."""
    return model.load(MODEL, blocks_of("").names)


@functools.cache
def prepare() -> None:
    """Load the model, and the compiled code of everything that `text` calls. What was never compiled takes half a minute."""
    for everything in (False, True):
        text("<h1>A page</h1><p>with <a href=x>two</a> blocks &amp; a reference", everything=everything)


def text(html: str, *, everything: bool) -> str:
    """The main text of a page, or all its visible text. Raises RecordError (hostile_html)."""
    blocks = blocks_of(html)
    if not len(blocks):
        return ""
    return blocks.text(None if everything else shipped().kept(blocks.features))
