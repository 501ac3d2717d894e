"""The text of the blocks of a page that trees call main text, or of all blocks.

Guarantee: the same page gives the same text on every processor. After `prepare` nothing is loaded any more, as parsers need it.
"""

from __future__ import annotations

import functools

from tokenmill.pipeline import kernels
from tokenmill.pipeline.collect.extract import model
from tokenmill.pipeline.collect.extract.model import BlockModel
from tokenmill.pipeline.collect.html import recall
from tokenmill.pipeline.collect.html.blocks import Blocks, blocks_of
from tokenmill.pipeline.collect.html.extraction import MODEL, Extraction
from tokenmill.pipeline.collect.html.whole import whole

EVERYTHING = """<h1 class=title>A page</h1><p>with <a href=x>links</a> &amp; a <b>reference</b>,<br>x<sub>2</sub>
<ol start=3><li value=4>one<ul><li>two</ul></ol><blockquote>a quote</blockquote><ruby>a<rt>b</ruby><img class=math alt=x>
<table><tr><th colspan=2>a<tr><td rowspan=2>1<td>2<tr><td>3</table><dl><dt>a<dd>b</dl><select><option>a</select>
<div class=highlight-python><pre><code class=language-python data-lang=python>x = 1\n  y</code></pre></div>
<math><semantics><mi>x</mi><annotation encoding="application/x-tex">x</annotation></semantics></math>"""
"""A page with all that has kernels of its own."""


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
    blocks = blocks_of(EVERYTHING)
    recall.visible(blocks.found)
    text(blocks, Extraction())
    text(blocks, Extraction(extract="none"))
    text(blocks, Extraction(extract="none", extract_format="markdown"))


def text(blocks: Blocks, how: Extraction) -> str:
    """The main text of a page, or all its visible text. Raises RecordError (hostile_html)."""
    if not len(blocks):
        return ""
    kept = None if how.extract == "none" else whole(blocks.found, shipped().kept(blocks.features, how.extract_bias))
    return blocks.text(kept, markdown=how.extract_format == "markdown")
