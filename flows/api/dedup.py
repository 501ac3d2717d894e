"""Duplicates in a table of texts.

Guarantee: the verdicts are those that a build gives the same texts in the same order: a near duplicate is removed only when its
true Jaccard similarity to a kept text reaches the threshold.
Cost: about 60 MB of text a second; texts and signatures stand in a temporary folder meanwhile.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import executor, shards
from tokenmill.pipeline.collect.memory import texts_of
from tokenmill.pipeline.config import given
from tokenmill.pipeline.stages.dedup.settings import DedupConfig

EVIDENCE = ("jaccard", "contained", "contains", "lost_ngrams")
"""Columns of verdicts that a caller gets as they are."""


def duplicates(
    table: Any,
    *,
    threshold: float = 0.8,
    text: str = "text",
    preset: str | None = None,
    exact: str = "bytes",
    normalise: str | None = None,
    recall: float | None = None,
    loses: float = 1.0,
    workers: int = 1,
) -> pa.Table:
    """Find exact and near duplicates. Of a group the longest text is kept, of equally long ones the first.

    Parameters
    ----------
    table
        Anything with an Arrow stream (pyarrow, polars, pandas, `datasets`), or a list of strings.
    threshold
        The Jaccard similarity of n-gram sets from which two texts are duplicates. Bands and rows follow from it.
    text
        The column of the texts.
    preset
        Normalisation, n-grams and bands of a published corpus: `fineweb`, `dolma3` or `nemo`. Default: `plain@1`, 5-grams of
        words, and the bands that `threshold` needs.
    exact
        When two texts are exact duplicates: `bytes`, `white_space` (equal but for white space) or `off`.
    normalise
        What is made equal before n-grams are compared, as in `dedup.normalise`: `plain@1` keeps digits, case, marks and
        operators. Default: that of the preset, else `plain@1`.
    recall
        The least probability with which a pair at the threshold is found. Default: 0.975.
    loses
        The largest share of its n-grams that a removed text may have alone (0 to 1). 1: no limit.
    workers
        Processes.

    Returns
    -------
    pyarrow.Table
        Row by row: `reason` ("" is kept, else `exact_duplicate` or `near_duplicate`), `kept_row` (int64, the row of the
        kept text that stands in for it, null for kept ones), `jaccard`, their similarity, `contained`, the share of its
        n-grams that stand in the kept text, `contains`, the share of the n-grams of the kept text that stand in it,
        `lost_ngrams`, its n-grams that the kept text lacks, and `compared`, what was compared, with the normalisation.

    Raises
    ------
    ConfigError
        A setting is out of bounds.
    InputError
        The table has no such column of texts.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.dedup.duplicates(["the same text", "another text", "the same text"])["kept_row"].to_pylist()
    [None, None, 0]
    """
    from tokenmill.pipeline.collect.memory import SOURCE, collected
    from tokenmill.pipeline.stages.dedup.stage import Dedup
    from tokenmill.pipeline.stages.dedup.verdicts import VERDICT
    from tokenmill.pipeline.stages.stage import name_of
    from tokenmill.pipeline.stages.step import StageStep, Work, perform

    texts = texts_of(table, text)
    chosen = {"threshold": threshold, "preset": preset, "exact": exact, "normalise": normalise}
    config = given(DedupConfig, {**chosen, "recall": recall, "loses": loses, "survivor": ["length", "doc_id"]}, "dedup")
    with tempfile.TemporaryDirectory(prefix="tokenmill-") as folder, executor.local(workers) as pool:
        root = Path(folder)
        work = Work(root=root, before=(collected(root, texts),), executor=pool)
        made = perform(StageStep(Dedup(config=config, sources=(SOURCE,))), work, downstream=()).manifest
        names = [(shard, name_of(made.stage, "verdicts", shard.name)) for shard in made.shards]
        parts = [shards.read(root, (name, shard.files[name])) for shard, name in names]
    if not parts:
        return pa.table(
            {
                "reason": pa.array([], pa.string()),
                "kept_row": pa.array([], pa.int64()),
                **{name: pa.array([], VERDICT.field(name).type) for name in EVIDENCE},
                "compared": pa.array([], pa.string()),
            }
        )
    found = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    kept = found["kept_doc_id"].combine_chunks()
    # An id is the number of its row, as 16 bytes.
    joined = kept.fill_null(bytes(16))
    rows = np.frombuffer(b"".join(joined.to_pylist()), dtype=">u8").reshape(-1, 2)[:, 1].astype(np.int64)
    return pa.table(
        {
            "reason": found["reason"].cast(pa.string()),
            "kept_row": pa.array(rows, mask=kept.is_null().to_numpy(zero_copy_only=False)),
            **{name: found[name] for name in EVIDENCE},
            "compared": found["compared"].cast(pa.string()),
        }
    )
