"""The commands `tokenmill extract evaluate` and `tokenmill extract train`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.markup import escape

from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import AsJson, AtLeastZero, err, out

app = cyclopts.App(name="extract", help="Measure extractors of main text on pages, and train the one of tokenmill.")
Pages = Annotated[
    Path,
    Parameter(
        help="Parquet files with a page a row: `set`, `page_type`, `host`, `html` (bytes), `gold` (its main text as people see "
        "it) and, if main texts are Markdown, `gold_is_markdown`."
    ),
]


@app.command
def evaluate(
    *paths: Pages,
    extractor: Annotated[
        str,
        Parameter(
            help="Extractors, separated by commas. `blocks-hosts` is trained without the hosts, and `blocks-sets` without the "
            "whole set, of the pages that it is tested on. Those that are not installed are left out: trafilatura, "
            "readability, chromerag. Differences are to the first one."
        ),
    ] = "trafilatura,trafilatura-recall,resiliparse,readability,chromerag,blocks-hosts,blocks-sets",
    seed: Annotated[AtLeastZero, Parameter(help="Seed of the training.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure extractors of main text: F1, precision and recall of tokens, by set and by page type.

    A token is a word, or a character of Chinese or Japanese. The total is the mean over sets, so that a large set counts no
    more than a small one; sets of fewer than 50 pages are joined by source, the part of their name before the first hyphen.
    Intervals are those of 95 % from 1,000 draws of pages. The pages are parsed in this process: give pages that you trust as
    much as a browser of yours would.

    For example:

        tokenmill extract evaluate pages/*.parquet

        tokenmill extract evaluate mine.parquet --extractor trafilatura,blocks-hosts --json
    """
    from tokenmill.flows import extracting
    from tokenmill.flows.cli.draw import extraction

    names = tuple(name.strip() for name in extractor.split(",") if name.strip())
    terminal = draw.Terminal(err)
    found = extracting.evaluate(paths, names, seed=seed, progress=terminal)
    for name in found.missing:
        terminal.say(f"{name} is not installed and left out")
    if as_json:
        table = {name: {key: asdict(mean) for key, mean in means.items()} for name, means in found.table.items()}
        out.print(json.dumps({"extractors": table, "missing": found.missing}), markup=False)
    else:
        extraction.show(found.table, out)


@app.command
def train(
    *paths: Pages,
    out_file: Annotated[Path, Parameter(name="--out", help="The file to write the model to, for example `model.json`.")],
    note: Annotated[str, Parameter(help="What the model was trained on and under which licence; the file keeps it.")] = "",
    seed: Annotated[AtLeastZero, Parameter(help="Seed of the training.")] = 0,
) -> None:
    """Train the model that tells which blocks of a page are main text.

    The model is the mean of three, each of 60 boosted trees. Pages are also learnt from as they would be in languages
    without spaces. The same pages, seed and tokenmill give the same bytes. The command prints the mean
    F1 over sets on pages whose hosts were left out of the training; `tokenmill extract evaluate` has the details.

    For example:

        tokenmill extract train pages/*.parquet --out model.json --note "WCXB, CC BY 4.0"
    """
    from tokenmill.flows import extracting

    terminal = draw.Terminal(err)
    made = extracting.train(paths, out_file, note=note, seed=seed, progress=terminal)
    out.print(f"pages: {made.pages:,}, blocks: {made.blocks:,}, main text: {made.main:,}")
    out.print(f"macro F1 on hosts that were left out: {made.macro_f1:.3f}")
    out.print(f"model: {escape(str(out_file))} ({made.bytes:,} bytes)")
