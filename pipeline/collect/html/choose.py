"""The text of the blocks of a page that trees call main text, or of all blocks.

Guarantee: the same page gives the same text on every processor. After `prepare` nothing is loaded any more, as parsers need it.
"""

from __future__ import annotations

import functools

import numpy as np

from tokenmill.pipeline import kernels
from tokenmill.pipeline.collect.extract import model
from tokenmill.pipeline.collect.extract.model import BlockModel
from tokenmill.pipeline.collect.html import recall, render
from tokenmill.pipeline.collect.html.blocks import Blocks, blocks_of
from tokenmill.pipeline.collect.html.candidates import Candidates
from tokenmill.pipeline.collect.html.extraction import MODEL, Extraction
from tokenmill.pipeline.collect.html.whole import Bools, whole

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
    text(blocks, candidates(blocks), Extraction())
    text(blocks, None, Extraction(extract="none", extract_format="markdown"))
    text(blocks, None, Extraction(extract="none"))
    render.characters(blocks.page, blocks.found)


def candidates(blocks: Blocks) -> Candidates:
    """The blocks of a page with their scores. Raises RecordError (hostile_html)."""
    rows = blocks.features
    sizes = model.sizes(rows, blocks.names).astype(np.int32)
    return Candidates(found=blocks.found, scores=shipped().scores(rows), sizes=sizes)


def kept(page: Candidates, bias: float) -> Bools:
    """Which blocks are main text; bool [blocks]. bias: `extract_bias`, log odds that the score of each block gets."""
    return whole(page.found, model.kept(page.scores, page.sizes.astype(np.float64), round(bias * model.UNITS)))


def text(blocks: Blocks, page: Candidates | None, how: Extraction) -> str:
    """The main text of a page, or all its visible text where `page` is None."""
    chosen = None if page is None else kept(page, how.extract_bias)
    return blocks.text(chosen, markdown=how.extract_format == "markdown")
