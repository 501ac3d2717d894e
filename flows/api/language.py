"""Language identification of a table of texts.

Guarantee: the labels and scores are those that a build stores. Cost: about 200 MB of text a second; see the stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.collect.memory import texts_of
from tokenmill.pipeline.config import given
from tokenmill.pipeline.stages.language.settings import LanguageConfig

COLUMNS = ("language", "language_score", "language_fit", "script", "second_language", "second_score")


def identify(
    table: Any,
    *,
    text: str = "text",
    model: str | Path | None = None,
    sample_characters: int = 1_000,
    second: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pa.Table:
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
        The models read at most this many characters of a text, from five places; 0: all of it.
    second
        A second opinion: "cld2" (`pip install 'tokenmill[cld2]'`), or a fastText model.
    settings
        Other settings of the section `language`, as `{"min_fit": 0}`. `tokenmill config explain language` describes them.

    Returns
    -------
    pyarrow.Table
        Row by row: `language` and `language_score` (a probability); `language_fit` (how typical of the language the text is,
        in standard deviations; null with a fastText model); `script` (ISO 15924); `second_language` and `second_score` (null
        without `second`); and `label`: the language, or `und` where a build would doubt it. `und` is also a text without
        letters.

    Raises
    ------
    InputError
        The table has no such column of texts, or the file is no model.
    ConfigError
        There is no such setting, or pycld2 is not installed.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.language.identify(["Where is the station?", "Wo ist der Bahnhof?"])["language"].to_pylist()
    ['en', 'de']
    """
    from tokenmill.pipeline.stages.language.stage import Language

    paths = {name: None if path is None else str(path) for name, path in (("model", model), ("second", second))}
    given_settings = {"threshold": 0.0, **(settings or {}), **paths, "sample_characters": sample_characters}
    stage = Language(config=given(LanguageConfig, given_settings, "language"))
    stage.prepare()
    texts = texts_of(table, text)
    scores = [stage.score(pa.record_batch({"text": chunk})) for chunk in texts.chunks]
    labels = pa.chunked_array([stage.decide(batch)["language"] for batch in scores], pa.string())
    return pa.Table.from_batches(scores, stage.scores).select(COLUMNS).append_column("label", labels)
