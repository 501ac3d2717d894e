"""fastText models as quality scores: the text a model is given, the score it returns, and the decision that follows.

Purpose: DCLM's way to judge a page (Li et al. 2024, arXiv 2406.11794, section 4.4): the probability that a fastText classifier
gives to one label, and a threshold. Toxicity is a second model with a maximum.
Guarantee: a score depends only on the text and the model's bytes. A model is identified by its file's SHA-256, never by its
path. The same documents pass for any number of workers and any order of shards: at a cut, ties go to the lower doc_id.
Cost: 25 to 35 MB/s per core for English, bigrams and 100 dimensions, 35 to 45 with a tenth of the 2 million buckets. Each
worker holds the whole model (2 million buckets: 0.8 GB and the words), and a batch's text twice.

Features are those of DCLM's published model: the text without white space at its ends, its lines joined by spaces, without
lower-casing and without splitting off punctuation. The last step is ours: see `features`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.stages import fasttext
from tokenmill.pipeline.stages.quality.settings import QualityModel, column

DECIMALS = 6
"""Decimals of a score: fastText computes in float32, and DCLM's threshold has six."""
SPACE = " \\n\\r\\t\\v\\f\\0"
CONTROL = re.compile(rf"(?<![^{SPACE}])(?:</s>(?![^{SPACE}])|__label__[^{SPACE}]*)")
"""Words with a meaning for fastText: the end of a line, and labels."""

WAYS = ("min", "max", "keep_fraction")

Floats = npt.NDArray[np.float64]


def features(text: str) -> str:
    """One line for fastText, from which it makes its word unigrams and bigrams.

    For fastText a word `</s>` ends the document, and a word that begins with `__label__` is its label. Both are removed.
    """
    line = " ".join(text.strip().splitlines())
    return CONTROL.sub("", line) if "</s>" in line or "__label__" in line else line


def names(models: Mapping[str, QualityModel]) -> list[str]:
    """The models in the order in which they judge: sorted by name, so that the order in the settings does not matter."""
    return sorted(models)


def check(models: Mapping[str, QualityModel]) -> None:
    """Check that every model can be used, without loading one. Raises ConfigError; InputError for a file that is not a
    model.
    """
    for name in names(models):
        model = models[name]
        fasttext.library()
        labels = fasttext.check(model.path)
        if model.label not in labels:
            near = spelling.nearest(model.label, labels, cutoff=0.0)
            raise ConfigError(f"quality.models.{name}: {model.path} has no label {model.label!r}; the nearest is {near!r}")


def scoring(models: Mapping[str, QualityModel]) -> dict[str, Any]:
    """The settings that scores depend on. Raises ConfigError if a file cannot be read."""
    return {
        name: {"sha256": fasttext.sha256(models[name].path), "label": models[name].label, "decimals": DECIMALS}
        for name in names(models)
    }


def deciding(models: Mapping[str, QualityModel]) -> dict[str, float]:
    """The settings that decisions depend on, named `min_<column>`, `max_<column>` or `keep_fraction_<column>`."""
    return {f"{way}_{column(name)}": threshold for name in names(models) for way, threshold in [_threshold(models[name])]}


def explanations(models: Mapping[str, QualityModel]) -> dict[str, tuple[str, str, float]]:
    """For each reason: the score's column, the setting, and its value."""
    return {
        column(name): (column(name), f"models.{name}.{way}", threshold)
        for name in names(models)
        for way, threshold in [_threshold(models[name])]
    }


def _threshold(model: QualityModel) -> tuple[str, float]:
    return next((way, value) for way in WAYS if (value := getattr(model, way)) is not None)


def fields(models: Mapping[str, QualityModel]) -> list[pa.Field]:
    """The score columns."""
    return [pa.field(column(name), pa.float64()) for name in names(models)]


def append(models: Mapping[str, QualityModel], scores: pa.RecordBatch, texts: Iterable[str]) -> pa.RecordBatch:
    """`scores` with one more column per model: the probability of its label for each text, rounded to 6 decimals.

    fastText adds 0.00001 to every probability. The value is kept as it is, but limited to 1. A text without a word or bigram
    that the model knows gets 0. Raises InputError if a model's result is not a number.
    """
    if not models:
        return scores
    lines = [features(text) for text in texts]
    judged = [pa.array(_probabilities(models[name], lines)) for name in names(models)]
    return pa.record_batch([*scores.columns, *judged], schema=pa.schema([*scores.schema, *fields(models)]))


def after(texts: pa.Array, edits: Sequence[Sequence[tuple[int, int, str]]]) -> Iterator[str]:
    """The texts with edits ((start, end, replacement) in bytes) applied: models judge the text that stays."""
    for text, spans in zip(texts, edits, strict=True):
        whole: str = text.as_py()
        yield apply(whole.encode(), [Edit(a, b, new.encode()) for a, b, new in spans]).decode() if spans else whole


def _probabilities(model: QualityModel, lines: Sequence[str]) -> Floats:
    loaded = _load(model.path, fasttext.sha256(model.path))
    found = np.zeros(len(lines), np.float64)
    for row, line in enumerate(lines):
        try:
            labels, probabilities = loaded.predict(line, k=-1)
        except RuntimeError as error:
            raise InputError(f"{model.path}: fastText cannot judge with this model ({error}); train it again") from error
        if model.label in labels:
            found[row] = probabilities[labels.index(model.label)]
    return np.asarray(np.round(np.clip(np.nan_to_num(found), 0.0, 1.0), DECIMALS), np.float64)


@functools.cache
def _load(path: str, _sha256: str) -> Any:
    """A model, loaded once per process and content of the file."""
    return fasttext.load(path)


def prepare(models: Mapping[str, QualityModel]) -> None:
    """Load the models into this process."""
    for name in names(models):
        _load(models[name].path, fasttext.sha256(models[name].path))


def first_failing(models: Mapping[str, QualityModel], scores: pa.RecordBatch) -> npt.NDArray[np.object_]:
    """For each row, the reason of the first model whose `min` or `max` it fails; "" if it fails none. [rows]

    A score equal to the threshold passes.
    """
    reason = np.full(scores.num_rows, KEPT, dtype=object)
    for name in reversed(names(models)):
        model, values = models[name], scores[column(name)].to_numpy()
        if model.min is not None:
            reason[values < model.min] = column(name)
        if model.max is not None:
            reason[values > model.max] = column(name)
    return reason


def kept_by_rank(values: Floats, doc_ids: pa.Array, fraction: float) -> npt.NDArray[np.bool_]:
    """Which rows belong to the share `fraction` with the highest values. bool [rows]

    Their number is rounded to the nearest integer, halves up. Among equal values, the lower doc_id comes first.
    """
    ids = np.frombuffer(b"".join(doc_ids.to_pylist()), ">u8").reshape(-1, 2)
    order = np.lexsort((ids[:, 1], ids[:, 0], -values))
    kept = np.zeros(len(values), dtype=np.bool_)
    kept[order[: int(fraction * len(values) + 0.5)]] = True
    return kept
