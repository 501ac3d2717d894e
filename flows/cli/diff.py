"""The command `diff`: two corpora side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tokenmill.flows.cli.options import AsJson, AtLeastZero, Corpus, out
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, DiskFull


def diff(
    a: Corpus,
    b: Corpus,
    /,
    *,
    samples: AtLeastZero = 3,
    seed: AtLeastZero = 0,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, Parameter(help="Also write the comparison as one HTML page to this file, which must lie in no corpus.")
    ] = None,
) -> None:
    """Show two corpora side by side: A as it is, and what is different in B.

    The command shows the settings that differ, the funnel and the reasons of both, the documents that changed sides with what
    was measured of them, and the shares of sources, languages and tokens. It writes nothing to either corpus.

    A document of A and one of B are the same if they have the same id; where ids differ, if they have the same text.
    "Changed sides" means kept in one corpus and not in the other. A document that was forgotten counts as dropped, and its
    text is not shown. A corpus that is being built again is compared as it was published; of one that was never finished,
    the finished steps are compared. An older version that a reader still holds is `corpora/docs/.versions/NUMBER`.

    For example:

        tokenmill diff corpora/docs corpora/trial

        tokenmill diff corpora/docs corpora/trial --samples 10 --html diff.html

        tokenmill diff corpora/docs corpora/trial --json | jq .documents.kept

    Parameters
    ----------
    a
        The folder of a corpus.
    b
        The folder of the corpus to compare it with.
    samples
        Number of example documents for each group; 0 shows none.
    seed
        Seed of the choice of these examples.
    """
    from tokenmill.flows.cli.draw.diff import show
    from tokenmill.pipeline.ask.diff import diff as compare
    from tokenmill.pipeline.ask.diff import opened
    from tokenmill.questions import shown

    if html is not None:
        _check(html)
    answer = compare(opened(a), opened(b), samples=samples, seed=seed, progress=shown(True))
    if html is not None:
        from tokenmill.pipeline.report.comparison import render

        _write(html, render(answer))
    if as_json:
        out.out(json.dumps(answer))
        return
    show(answer, out)
    if html is not None:
        out.print(f"\npage: {html}", markup=False)


def _check(html: Path) -> None:
    """Check before any work that the page can be written. Raises ConfigError."""
    inside = files.root_of(html.resolve())
    if inside is not None:
        raise ConfigError(f"--html {html}: lies in the corpus {inside}, which holds only what builds make; name another folder")
    if html.is_dir():
        raise ConfigError(f"--html {html}: is a folder; name the file to write, such as {html / 'diff.html'}")
    if html.is_symlink() or (html.exists() and not html.is_file()):
        raise ConfigError(f"--html {html}: is a link or a device, which the page would replace; name a plain file")


def _write(html: Path, page: str) -> None:
    """Raises DiskFull, ConfigError."""
    try:
        files.write_bytes(html, page.encode())
    except DiskFull:
        raise
    except OSError as error:
        raise ConfigError(f"--html {html}: cannot be written ({error.strerror}); name another file") from error
