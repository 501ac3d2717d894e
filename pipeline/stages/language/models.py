"""The models that identify languages, behind one signature: from spans of UTF-8 to labels and probabilities.

Guarantee: a fastText file is checked before the library reads it, see `pipeline.stages.fasttext`. py3langid's model is read by
py3langid, which takes arrays and no pickles.
Cost: loading py3langid's takes about 0.7 s and 70 MB once per process, fastText's what the file takes.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.kernels.language import langid
from tokenmill.pipeline.kernels.language.langtext import REWRITE, characters
from tokenmill.pipeline.stages import fasttext
from tokenmill.pipeline.stages.fasttext import LABEL_PREFIX

UNDETERMINED = "und"
BATCH_BYTES = 1 << 20
"""fastText gets texts of so many bytes at once."""


class Model(Protocol):
    """What identifies."""

    @property
    def labels(self) -> tuple[str, ...]:
        """By index. A name that stands there twice is given by its first index."""
        ...

    def identify(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """For each text `data[starts[i]:ends[i]]`, UTF-8, the index of its label and the probability of that.

        -1 and 0 where the text holds no letter, or the model gives nothing.
        """
        ...


def load(path: str | None) -> Model:
    """The model at `path`, or py3langid's; once per process and content. Raises ConfigError, InputError."""
    return _load_py3langid() if path is None else _load_fasttext(path, fasttext.sha256(path))


def identity(path: str | None) -> Mapping[str, str]:
    """What tells the model from others: the SHA-256 of its file. Raises ConfigError when it cannot be read."""
    return _py3langid_identity() if path is None else {"fasttext_sha256": fasttext.sha256(path)}


@dataclass(frozen=True, kw_only=True)
class Py3langid:
    """py3langid's model, walked by our kernel."""

    labels: tuple[str, ...]
    tables: langid.Model

    def identify(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """As Model says. Text all in capitals is read in small letters, and all text in Unicode's form NFC."""
        count = len(starts)
        # Kernels would be compiled once more for arrays that may be written.
        data, starts, ends = data.view(), starts.view(), ends.view()
        data.flags.writeable = starts.flags.writeable = ends.flags.writeable = False
        labels, scores, work = np.full(count, -1, dtype=np.int64), np.zeros(count), langid.work(self.tables)
        state = np.zeros(count, dtype=np.uint8)
        langid.identify(data, starts, ends, self.tables, characters(), False, work, state, labels, scores)
        for at in np.flatnonzero(state == REWRITE):
            text = bytes(data[starts[at] : ends[at]]).decode()
            rewritten = np.frombuffer(unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode(), np.uint8)
            span, one = np.array([0, len(rewritten)], dtype=np.int64), slice(at, at + 1)
            span.flags.writeable = False
            langid.identify(
                rewritten, span[:1], span[1:], self.tables, characters(), True, work, state[one], labels[one], scores[one]
            )
        return labels, scores


@functools.cache
def _load_py3langid() -> Py3langid:
    """Raises ConfigError where the model is not of the kind that the kernel was written for."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    names = tuple(identifier.nb_classes)
    exact = identifier.nb_ptc.astype(np.float32) * langid.SCALE
    weights = np.zeros((len(exact), -(-len(names) // langid.COLUMNS) * langid.COLUMNS), dtype=np.int16)
    weights[:, : len(names)] = exact
    if not np.array_equal(weights[:, : len(names)], exact):
        raise ConfigError("language: the installed py3langid has a model with finer weights; the lock file names one that fits")
    moves, rows = np.asarray(identifier.tk_nextmove, dtype=np.uint32), np.asarray(identifier.tk_row, dtype=np.uint16)
    tables = langid.Model(
        moves=moves,
        rows=rows,
        features=np.array(identifier.tk_output, dtype=np.int32),
        weights=weights,
        prior=identifier.nb_pc.astype(np.float64),
        labels=np.array([names.index(name) for name in names], dtype=np.int64),
        context=langid.context_bytes(moves, rows),
    )
    return Py3langid(labels=names, tables=tables)


@dataclass(frozen=True, kw_only=True)
class FastText:
    """A fastText classifier. `model` is the library's object, read from `path`."""

    path: str
    labels: tuple[str, ...]
    model: Any

    def identify(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """As Model says. Newlines are blanks. Raises InputError where the model's numbers are none."""
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
        return labels, scores


@functools.cache
def _load_fasttext(path: str, _sha256: str) -> FastText:
    """Raises ConfigError where there is no fastText, InputError when the file is no classifier, or not all of one."""
    names = fasttext.check(path)
    if not all(name.startswith(LABEL_PREFIX) for name in names):
        raise InputError(f"{path}: is a fastText model without {LABEL_PREFIX} labels; it cannot identify languages")
    labels = tuple(name.removeprefix(LABEL_PREFIX) for name in names)
    return FastText(path=path, labels=labels, model=fasttext.load(path))


@functools.cache
def _py3langid_identity() -> Mapping[str, str]:
    """py3langid's model by its file: a new release of the package with another model is another model."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE

    return {"py3langid_sha256": files.sha256(MODEL_DIR / MODEL_FILE)}
