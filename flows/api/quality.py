"""Quality rules over a table of texts.

Guarantee: scores and reasons are those that a build stores. Cost: 40 to 200 MB of text a second, by recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.collect.memory import texts_of
from tokenmill.pipeline.config import given
from tokenmill.pipeline.stages.quality.settings import QualityConfig


def score(table: Any, recipe: str = "gopher@1", *, text: str = "text", settings: Mapping[str, Any] | None = None) -> pa.Table:
    """Judge each text by a recipe.

    Parameters
    ----------
    table
        Anything with an Arrow stream (pyarrow, polars, pandas, `datasets`), or a list of strings.
    recipe
        `gopher@1`, `c4@1`, `fineweb@1`, `dclm@1` or `docs@1`.
    text
        The column of the texts.
    settings
        Thresholds beside the recipe, as `{"min_words": 80}`.

    Returns
    -------
    pyarrow.Table
        `reason` (which rule fails first; "" passes) and the statistics that the rules compare, row by row.

    Raises
    ------
    ConfigError
        There is no such recipe or threshold; the nearest one is named.
    InputError
        The table has no such column of texts.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.quality.score(["Short"])["reason"].to_pylist()
    ['too_few_words']
    """
    from tokenmill.pipeline.stages.quality.stage import Quality

    stage = Quality(config=config_of(recipe, settings or {}))
    stage.prepare()
    batches = []
    for chunk in texts_of(table, text).chunks:
        scores = stage.score(pa.record_batch({"text": chunk}))
        reason = stage.decide(scores)["reason"].cast(pa.string())
        batches.append(scores.add_column(0, "reason", reason))
    schema = pa.schema([pa.field("reason", pa.string()), *stage.scores])
    return pa.Table.from_batches([batch.cast(schema) for batch in batches], schema)


def config_of(recipe: str, settings: Mapping[str, Any]) -> QualityConfig:
    """The section `quality` with a recipe and thresholds beside it. Raises ConfigError."""
    known = [name for name in QualityConfig.model_fields if name not in ("recipe", "models")]
    for name in settings:
        if name not in known:
            near = spelling.nearest(name, known)
            raise ConfigError(f"there is no threshold {name!r}" + (f"; did you mean {near}?" if near else ""))
    return given(QualityConfig, {**settings, "recipe": recipe}, "quality")
