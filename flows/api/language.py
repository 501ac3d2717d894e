"""Language identification of a table of texts.

Guarantee: the labels and scores are those that a build stores. Cost: about 200 MB of text a second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.collect.memory import texts_of
from tokenmill.pipeline.stages.language.settings import LanguageConfig


def identify(table: Any, *, text: str = "text", model: str | Path | None = None, sample_characters: int = 1_000) -> pa.Table:
    """The language of each text.

    Parameters
    ----------
    table
        Anything with an Arrow stream (pyarrow, polars, pandas, `datasets`), or a list of strings.
    text
        The column of the texts.
    model
        A fastText model (lid.176, OpenLID, GlotLID). Default: py3langid's, which comes with the package.
    sample_characters
        The model reads at most this many characters of a text, from five places; 0: all of it.

    Returns
    -------
    pyarrow.Table
        `language` and `language_score` (a probability), row by row. `und` is a text without letters.

    Raises
    ------
    InputError
        The table has no such column of texts, or the file is no model.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.language.identify(["Where is the station?", "Wo ist der Bahnhof?"])["language"].to_pylist()
    ['en', 'de']
    """
    from tokenmill.pipeline.stages.language.stage import Language

    stage = Language(config=LanguageConfig(model=None if model is None else str(model), sample_characters=sample_characters))
    stage.prepare()
    texts = texts_of(table, text)
    batches = [stage.score(pa.record_batch({"text": chunk})) for chunk in texts.chunks]
    return pa.Table.from_batches(batches, stage.scores).select(["language", "language_score"])
