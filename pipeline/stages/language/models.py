"""Language models behind one signature: from spans of UTF-8 text to labels and probabilities.

Guarantee: a fastText file is checked before the library reads it (see `pipeline.stages.fasttext`). py3langid reads its own
model, from arrays and not from pickles.
Cost: loading py3langid's model takes about 0.7 s and 70 MB once per process; a fastText model takes the size of its file.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.kernels import kept
from tokenmill.pipeline.kernels.language import langid
from tokenmill.pipeline.kernels.language.langtext import REWRITE, characters
from tokenmill.pipeline.stages import fasttext
from tokenmill.pipeline.stages.fasttext import LABEL_PREFIX

UNDETERMINED = "und"
CLD2 = "cld2"
"""The second opinion of this name is CLD2; any other is a path."""
BATCH_BYTES = 1 << 20
"""Bytes of text per call of fastText (approximate)."""


class Identified(NamedTuple):
    """What a model says of texts."""

    labels: npt.NDArray[np.int64]
    """int64 [texts]: the index of the label; -1 if the text holds no letter, or if the model gives no label."""
    scores: npt.NDArray[np.float64]
    """float64 [texts]: the label's probability; 0 where there is no label."""
    fits: npt.NDArray[np.float64]
    """float64 [texts]: how typical of the language the text is, in standard deviations; NaN where the model does not say."""


class LanguageIdentifier(Protocol):
    """A model that identifies languages."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels by index. If a label occurs twice, `identify` gives its first index."""
        ...

    def identify(self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Identified:
        """The labels of the texts `data[starts[i]:ends[i]]` in UTF-8."""
        ...


def load(path: str | None) -> LanguageIdentifier:
    """The model at `path`, CLD2, or py3langid's. Loaded once per process and file content. Raises ConfigError, InputError."""
    if path == CLD2:
        from tokenmill.pipeline.stages.language import cld2

        return cld2.load()
    return _load_py3langid() if path is None else _load_fasttext(path, fasttext.sha256(path))


def identity(path: str | None) -> Mapping[str, str]:
    """What distinguishes the model from others: the SHA-256 of its file. Raises ConfigError if the file cannot be read."""
    if path == CLD2:
        from tokenmill.pipeline.stages.language import cld2

        return cld2.identity()
    return _py3langid_identity() if path is None else {"fasttext_sha256": fasttext.sha256(path)}


@dataclass(frozen=True, kw_only=True)
class Py3langid:
    """py3langid's model, evaluated by our kernel."""

    labels: tuple[str, ...]
    tables: langid.NaiveBayesTables

    def identify(self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Identified:
        """See LanguageIdentifier. Text is normalised to Unicode NFC, and text all in capitals is lower-cased first."""
        count = len(starts)
        # Read-only views: writable arrays would make numba compile the kernels once more.
        data, starts, ends = data.view(), starts.view(), ends.view()
        data.flags.writeable = starts.flags.writeable = ends.flags.writeable = False
        found = Identified(np.full(count, -1, dtype=np.int64), np.zeros(count), np.full(count, np.nan))
        work, state = langid.work(self.tables), np.zeros(count, dtype=np.uint8)
        langid.identify(data, starts, ends, self.tables, characters(), False, work, state, *found)
        for at in np.flatnonzero(state == REWRITE):
            text = bytes(data[starts[at] : ends[at]]).decode()
            rewritten = np.frombuffer(unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode(), np.uint8)
            span, one = np.array([0, len(rewritten)], dtype=np.int64), slice(at, at + 1)
            span.flags.writeable = False
            out = (column[one] for column in (state, *found))
            langid.identify(rewritten, span[:1], span[1:], self.tables, characters(), True, work, *out)
        return found


@functools.cache
def _load_py3langid() -> Py3langid:
    """Raises ConfigError if the model is not of the kind that the kernel is written for."""
    names, *tables, context = kept.arrays(_unpacked, *sorted(_py3langid_identity().items()))
    return Py3langid(labels=tuple(names.tolist()), tables=langid.NaiveBayesTables._make([*tables, int(context)]))


def _unpacked(*_: object) -> tuple[npt.ArrayLike, ...]:
    """The names of the labels, and the tables."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    names = tuple(identifier.nb_classes)
    exact = identifier.nb_ptc.astype(np.float32) * langid.SCALE
    weights = np.zeros((len(exact), -(-(len(names) + 1) // langid.COLUMNS) * langid.COLUMNS), dtype=np.int16)
    weights[:, : len(names)] = exact
    mean = sum(map(_probabilities, exact.T), np.zeros(len(exact))) / len(names)
    weights[:, len(names)] = np.round(langid.SCALE * np.log(mean))
    expected, variance = np.zeros(len(names)), np.zeros(len(names))
    for at, column in enumerate(exact.T):
        own, gain = _probabilities(column), column / np.float64(langid.SCALE) - np.log(mean)
        expected[at] = (own * gain).sum()
        variance[at] = (own * (gain - expected[at]) ** 2).sum()
    if not np.array_equal(weights[:, : len(names)], exact):
        raise ConfigError("language: the installed py3langid has a model with finer weights; the lock file names one that fits")
    moves, rows = np.asarray(identifier.tk_nextmove, dtype=np.uint32), np.asarray(identifier.tk_row, dtype=np.uint16)
    return (
        names,
        *langid.NaiveBayesTables(
            moves=moves,
            rows=rows,
            features=np.array(identifier.tk_output, dtype=np.int32),
            weights=weights,
            prior=identifier.nb_pc.astype(np.float64),
            labels=np.array([names.index(name) for name in names], dtype=np.int64),
            expected=expected,
            variance=variance,
            context=langid.context_bytes(moves, rows),
        ),
    )


def _probabilities(column: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """P(n-gram | language), from SCALE times its logarithm. float64 [n-grams]"""
    own = np.exp(column / np.float64(langid.SCALE))
    return np.asarray(own / own.sum(), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class FastText:
    """A fastText classifier. `model` is the library's object, read from `path`."""

    path: str
    labels: tuple[str, ...]
    model: Any

    def identify(self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Identified:
        """See LanguageIdentifier. Newlines are replaced by blanks. Raises InputError if the model's numbers are not finite."""
        labels, scores = np.full(len(starts), -1, dtype=np.int64), np.zeros(len(starts))
        index = {label: at for at, label in reversed(list(enumerate(self.labels)))}
        batch: list[tuple[int, str]] = []
        size = 0
        for at in range(len(starts)):
            text = bytes(data[starts[at] : ends[at]]).decode().replace("\n", " ")
            if any(map(str.isalpha, text)):
                batch.append((at, text))
                size += int(ends[at] - starts[at])
            if batch and (size >= BATCH_BYTES or at == len(starts) - 1):
                try:
                    found, given = self.model.predict([text for _, text in batch])
                except RuntimeError as error:
                    raise InputError(f"language: {self.path}: fastText cannot judge with this model ({error})") from error
                for (row, _), names, probabilities in zip(batch, found, given, strict=True):
                    if len(names) and probabilities[0] > 0:  # NaN is not
                        labels[row] = index[names[0].removeprefix(LABEL_PREFIX)]
                        scores[row] = min(1.0, float(probabilities[0]))
                batch, size = [], 0
        return Identified(labels, scores, np.full(len(labels), np.nan))


@functools.cache
def _load_fasttext(path: str, _sha256: str) -> FastText:
    """Raises ConfigError if fastText is not installed, InputError if the file is not a complete classifier."""
    names = fasttext.check(path)
    if not all(name.startswith(LABEL_PREFIX) for name in names):
        raise InputError(f"{path}: is a fastText model without {LABEL_PREFIX} labels; it cannot identify languages")
    labels = tuple(name.removeprefix(LABEL_PREFIX) for name in names)
    return FastText(path=path, labels=labels, model=fasttext.load(path))


@functools.cache
def _py3langid_identity() -> Mapping[str, str]:
    """The SHA-256 of py3langid's model file, so that a package release with another model counts as another model."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE

    return {"py3langid_sha256": files.sha256(MODEL_DIR / MODEL_FILE)}
