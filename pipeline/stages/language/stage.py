"""Language identification: a label and a score for every document, from a sample of its text or from all of it.

Purpose: keep the requested languages, and detect documents that mix several. The model is py3langid's, which comes with the
package, or a fastText model named by its path.
Guarantee: every document gets a label. A document whose sample holds no letter gets `und` (ISO 639-2: undetermined) with score
0. Samples and judged lines are pure functions of the text. A model is identified by the SHA-256 of its file, never by its
path.
Cost: py3langid's model takes 15 to 30 us for a sample of 1,000 characters, 10 to 17 ns per byte of whole texts, and 35 ns per
byte of judged lines; fastText models take 200 ns per byte. Memory in addition to the batch: its samples, or the longest
rewritten text.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema, spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.kernels.language import scripts
from tokenmill.pipeline.kernels.language.langtext import PIECES, characters, take_lines, take_samples
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.stages.language import codes, doubts, models
from tokenmill.pipeline.stages.language.doubts import NO_LANGUAGE, SCRIPT, SECOND, SILENT
from tokenmill.pipeline.stages.language.models import UNDETERMINED, LanguageIdentifier
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.limits import Limit

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

SCORES = pa.schema(
    [
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("language_fit", pa.float64()),
        pa.field("script", pa.string()),
        pa.field("second_language", pa.string()),
        pa.field("second_score", pa.float64()),
        pa.field("second_beyond", pa.bool_()),
        pa.field("other_language", pa.string()),
        pa.field("other_share", pa.float64()),
    ]
)
"""`language_fit`: how typical of its language the text is, in standard deviations; null: the model does not say.
`script`: of most letters, by ISO 15924; `Zyyy`: no letters, `Zzzz`: a rare script.
`second_language`: what the second model says, `und` where it names no language; null: no second opinion was asked.
`second_score`: the probability of that label, of CLD2 the share of the text; 0 with `und`.
`second_beyond`: whether that is a language that the first model does not have.
`other_language`: among the lines in another language than the document's, the language with the most bytes; null: no such
line.
`other_share`: bytes of these lines per byte of judged lines, 0 to 1; null: no line was judged."""

SCORE_DECIMALS = 4
LINE_BYTES = (70, 150)
"""Shorter lines are joined with the next one, longer lines are cut. On 300 texts of two languages with 10 to 30 % of the
second, the measured share was off by 0.014 on average when all lines were judged, by 0.065 with 2,000 bytes, by 0.033 with
4,000. With longer lines, of which fewer fit into the same bytes, it was off by 0.126 with 2,000."""
LINE_SCORE = 0.7
"""A line counts as another language if the model gives at least this score; else it counts as the document's language. Over 66
texts in one language the measured share was 0.001 on average, against 0.005 with a score of 0.5; on texts of two languages it
made no difference."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """The stage `language`. If `keep` is empty, all languages are kept; the thresholds apply in either case."""

    config: LanguageConfig
    name: ClassVar[str] = "language"
    version: ClassVar[int] = 4
    scores: ClassVar[pa.Schema] = SCORES

    @property
    def scoring(self) -> Mapping[str, Any]:
        """Raises ConfigError if the model's file cannot be read."""
        return {
            "model": models.identity(self.config.model),
            "sample_characters": self.config.sample_characters,
            "pieces": PIECES,
            "second": None if self.config.second is None else models.identity(self.config.second),
            "judged_bytes": self.config.judged_bytes,
        }

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {
            "keep": sorted(set(self.config.keep)),
            "threshold": self.config.threshold,
            "thresholds": dict(self.config.thresholds),
            "max_other_share": self.config.max_other_share,
            "check_script": self.config.check_script,
            "second_threshold": self.config.second_threshold,
            "min_fit": self.config.min_fit,
            "close": [list(group) for group in self.config.close],
        }

    def prepare(self) -> None:
        """Load the models. Raises ConfigError for a label that neither has, InputError for a file that is not a model."""
        model = models.load(self.config.model)
        second = () if self.config.second is None else models.load(self.config.second).labels
        for labels, known in (
            ((*self.config.keep, *self.config.thresholds), model.labels),
            (tuple(itertools.chain(*self.config.close)), (*model.labels, *second)),
        ):
            for label in labels:
                if label not in known and label != UNDETERMINED:
                    near = spelling.nearest(label, sorted(set(known)), cutoff=0.0)
                    name = self.config.model or "py3langid"
                    raise ConfigError(f"language: {name} has no label {label!r}; the nearest is {near!r}")
        self.score(pa.record_batch({"text": pa.array(["", "A"], pa.large_string())}))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Labels, probabilities and fits, rounded to 4 decimals so that the last bits of exp and log do not matter."""
        model = models.load(self.config.model)
        data, offsets = utf8(batch["text"])
        read, bounds = data, offsets
        if self.config.sample_characters:
            read, bounds = take_samples(data, offsets, self.config.sample_characters, characters())
        spans = bounds[:-1], bounds[1:]
        labels, scores, fits = model.identify(read, *spans)
        others, shares = _others(model, data, offsets, labels, self.config.judged_bytes)
        names = pa.array([*model.labels, UNDETERMINED], pa.string())
        columns = [
            names.take(pa.array(np.where(labels < 0, len(model.labels), labels))),
            np.round(scores, SCORE_DECIMALS),
            pa.array(np.round(fits, SCORE_DECIMALS), mask=np.isnan(fits)),
            scripts_of(read, *spans),
            *self._second(model, read, *spans),
            names.take(pa.array(others, mask=others < 0)),
            pa.array(np.round(shares, SCORE_DECIMALS), mask=np.isnan(shares)),
        ]
        return pa.record_batch(columns, schema=self.scores)

    def _second(self, first: LanguageIdentifier, data: Bytes, starts: Places, ends: Places) -> tuple[pa.Array, ...]:
        """The labels of the second opinion, their scores, and whether `first` lacks them; null where none was asked."""
        if self.config.second is None:
            return pa.nulls(len(starts), pa.string()), pa.nulls(len(starts), pa.float64()), pa.nulls(len(starts), pa.bool_())
        model = models.load(self.config.second)
        labels, scores, _ = model.identify(data, starts, ends)
        names = (*model.labels, UNDETERMINED)
        beyond = np.array([name not in SILENT and not codes.any_same(name, first.labels) for name in names])
        at = np.where(labels < 0, len(model.labels), labels)
        return pa.array(names, pa.string()).take(pa.array(at)), pa.array(np.round(scores, SCORE_DECIMALS)), pa.array(beyond[at])

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """Reasons: `language` (not a language to keep), `language_score` (below its language's threshold), `script` and
        `second_language` (the label is doubted, and `und` is not to keep), `other_share`.

        A reason is the name of the column that is judged. Beside it, `language` is the label in the end, and `doubt` says why
        it is `und` ("": it is not doubted).
        """
        deciding, keep = self.deciding, frozenset(self.config.keep)
        doubt, unsure = doubts.doubts(scores, deciding), doubts.unsure(scores, deciding)
        labels = doubts.final(scores, doubt, deciding)
        kept = frozenset(member for label in keep for member in doubts.group_of(label, self.config.close))
        named = np.array([not keep or label in kept for label in scores["language"].to_pylist()], dtype=np.bool_)
        wanted = np.where(doubt == "", named, not keep or UNDETERMINED in keep)
        mixed = scores["other_share"].fill_null(0.0).to_numpy() > self.config.max_other_share
        doubted = ~wanted & (doubt != "")
        reasons = np.select(
            [~wanted & ~named, unsure, doubted & (doubt == SCRIPT), doubted, mixed],
            ["language", "language_score", SCRIPT, SECOND, "other_share"],
            default=schema.KEPT,
        )
        explained = {"language": pa.array(labels, pa.string()), "doubt": pa.array(doubt.tolist(), pa.string())}
        return pa.record_batch({"reason": schema.reasons(reasons.astype(object)), **explained})

    def limits(self, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
        """The threshold of each language that has one of its own, that of all others, and the share of other languages."""
        own = tuple(sorted(self.config.thresholds))
        score: dict[str, Any] = {"column": "language_score", "label_column": "language"}
        others = Limit(**score, setting="threshold", threshold=self.config.threshold, labels=own, others=True)
        named = [
            Limit(**score, setting=f"thresholds.{label}", threshold=self.config.thresholds[label], labels=(label,))
            for label in own
        ]
        mixed = Limit(column="other_share", setting="max_other_share", threshold=self.config.max_other_share)
        return [*(("language_score", limit) for limit in (others, *named)), ("other_share", mixed)]


def scripts_of(data: Bytes, starts: Places, ends: Places) -> pa.Array:
    """The script of each text, by its code."""
    found = np.zeros(len(starts), dtype=np.int64)
    data, starts, ends = data.view(), starts.view(), ends.view()
    # Read-only views: writable arrays would make numba compile the kernel once more.
    data.flags.writeable = starts.flags.writeable = ends.flags.writeable = False
    scripts.dominant(data, starts, ends, scripts.letters(), found)
    return pa.array(scripts.CODES, pa.string()).take(pa.array(found))


def _others(
    model: LanguageIdentifier, data: Bytes, offsets: Places, labels: npt.NDArray[np.int64], judged_bytes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Each document's other language (-1: none), and its share of the judged lines' bytes (NaN: no line was judged)."""
    documents = len(offsets) - 1
    others, shares = np.full(documents, -1, dtype=np.int64), np.full(documents, np.nan)
    if not judged_bytes:
        return others, shares
    rows, starts, ends = take_lines(data, offsets, judged_bytes, *LINE_BYTES)
    found, scores, _ = model.identify(data, starts, ends)
    mute = np.flatnonzero(np.array(model.labels) == NO_LANGUAGE)
    judged = (found >= 0) & ~np.isin(found, mute) & (labels[rows] >= 0)
    other = judged & (found != labels[rows]) & (scores >= LINE_SCORE)
    sizes = (ends - starts).astype(np.float64)
    whole = np.bincount(rows, sizes * judged, minlength=documents)
    foreign = np.bincount(rows, sizes * other, minlength=documents)
    np.divide(foreign, whole, out=shares, where=whole > 0)

    pairs, inverse = np.unique(rows[other] * len(model.labels) + found[other], return_inverse=True)
    order = np.argsort(-np.bincount(inverse, sizes[other], minlength=len(pairs)), kind="stable")
    row, first = np.unique(pairs[order] // len(model.labels), return_index=True)
    others[row] = pairs[order][first] % len(model.labels)
    return others, shares
