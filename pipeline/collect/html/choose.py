"""The text of the blocks of a page that trees call main text, or of all blocks.

Guarantee: the same page gives the same text on every processor. After `prepare` nothing is loaded any more, as parsers need it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from tokenmill.pipeline import kernels
from tokenmill.pipeline.collect.extract import model
from tokenmill.pipeline.collect.extract.model import BlockModel
from tokenmill.pipeline.collect.html import recall
from tokenmill.pipeline.collect.html.blocks import Blocks, blocks_of
from tokenmill.pipeline.collect.html.extraction import Extraction

if TYPE_CHECKING:
    from tokenmill.pipeline.config.sources import Extract

MODEL = Path(__file__).with_name("blocks.json")


@functools.cache
def shipped() -> BlockModel:
    """The model that comes with tokenmill. Raises InputError if its file is damaged."""
    return model.load(MODEL, blocks_of("").names)


def is_compiled() -> bool:
    """Whether `prepare` finds machine code. It may take a minute otherwise."""
    return kernels.compiled("scan.scan")


@functools.cache
def prepare() -> None:
    """Load the model, and the compiled code of everything that `text` calls."""
    blocks = blocks_of("<h1>A page</h1><p>with <a href=x>two</a> blocks &amp; a reference")
    extracts: tuple[Extract, ...] = ("blocks", "none")
    for extract in extracts:
        text(blocks, Extraction(extract=extract, extract_format="markdown"))
    recall.visible(blocks.found)


def text(blocks: Blocks, how: Extraction) -> str:
    """The main text of a page, or all its visible text. Raises RecordError (hostile_html)."""
    if not len(blocks):
        return ""
    kept = None if how.extract == "none" else shipped().kept(blocks.features, how.extract_bias)
    return blocks.text(kept, markdown=how.extract_format == "markdown")
