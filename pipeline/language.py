"""Language identification: a label and a score for every document, read off a bounded sample of its text.

Purpose: keep the languages that are asked for. The model is py3langid's, which comes with the package, or a fastText
model named by its path.
Guarantee: every document gets a label, `und` (ISO 639-2: undetermined) with score 0 where its sample holds no letter.
The sample is a pure function of the text. A model is identified by the SHA-256 of its file, never by its path.
Cost: `sample_characters` of each document, whatever its length: with 1,000, about 0.2 ms with either model.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from pipeline import files, schema
from pipeline.config import LanguageConfig
from pipeline.errors import ConfigError, InputError

SCORES = pa.schema([("language", pa.string()), ("language_score", pa.float64())])
UNDETERMINED = "und"
PIECES = 5
SCORE_DECIMALS = 4
LABEL_PREFIX = "__label__"
UTF8_BYTES = 4
"""The most bytes that one character takes."""

Identify = Callable[[str], tuple[str, float]]
"""From a sample to its label and the model's probability of it."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """The stage `language`. With no languages to keep named, all are kept; the thresholds apply in either case."""

    config: LanguageConfig
    name: ClassVar[str] = "language"
    version: ClassVar[int] = 1
    scores: ClassVar[pa.Schema] = SCORES

    @property
    def scoring(self) -> Mapping[str, Any]:
        """Raises ConfigError when the model's file cannot be read."""
        model = self.config.model
        identity = _py3langid_identity() if model is None else {"fasttext_sha256": _sha256_of(model)}
        return {"model": identity, "sample_characters": self.config.sample_characters, "pieces": PIECES}

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {
            "keep": sorted(set(self.config.keep)),
            "threshold": self.config.threshold,
            "thresholds": dict(self.config.thresholds),
        }

    def prepare(self) -> None:
        """Load the model. Raises ConfigError for a label that it does not give, InputError for a file that is no model."""
        _, labels = self._model()
        for label in (*self.config.keep, *self.config.thresholds):
            if label not in labels and label != UNDETERMINED:
                near = difflib.get_close_matches(label, sorted(labels), n=1, cutoff=0.0)
                model = self.config.model or "py3langid"
                raise ConfigError(f"language: {model} has no label {label!r}; the nearest is {near[0]!r}")

    def _model(self) -> tuple[Identify, frozenset[str]]:
        path = self.config.model
        return _load_py3langid() if path is None else _load_fasttext(path, _sha256_of(path))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Labels and probabilities, rounded to 4 decimals so that the last bits of a matrix product do not matter."""
        identify, _ = self._model()
        column = batch["text"]
        offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
        data = memoryview(column.buffers()[2] or b"")
        labels, scores = [], np.zeros(len(column))
        for row in range(len(column)):
            text = sample(data[offsets[row] : offsets[row + 1]], self.config.sample_characters)
            label, score = identify(text) if any(map(str.isalpha, text)) else (UNDETERMINED, 0.0)
            labels.append(label)
            scores[row] = round(score, SCORE_DECIMALS)
        return pa.record_batch([pa.array(labels, pa.string()), scores], schema=self.scores)

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """`language`: not one to keep; `language_score`: below the threshold of its language."""
        keep, own = frozenset(self.config.keep), self.config.thresholds
        labels = scores["language"].to_pylist()
        unwanted = np.array([bool(keep) and label not in keep for label in labels], dtype=np.bool_)
        threshold = np.array([own.get(label, self.config.threshold) for label in labels], dtype=np.float64)
        unsure = scores["language_score"].to_numpy() < threshold
        reasons = np.select([unwanted, unsure], ["language", "language_score"], default=schema.KEPT)
        return pa.record_batch({"reason": schema.reasons(reasons.astype(object))})


def sample(text: memoryview | bytes, characters: int) -> str:
    """At most `characters` characters of the UTF-8 `text`: all of it, or 5 pieces of equal length, joined by spaces.

    Piece i is centred at (2i + 1) / 10 of the text's bytes and begins after the first white space in its first half, so
    that it does not begin inside a word. The head alone misleads, because the heads of pages are menus: on 2,962 HTML
    pages of 30 languages with over 1,000 characters, the label of 1,000 characters was that of the first 50,000 for
    96.9 % when taken from the head, 95.8 % from one piece in the middle, 97.3 % from 4 pieces, 97.8 % from these 5.
    More pieces gain little (98.4 % for 8, whose labels agree less with the pages' declared languages) and get short.
    """
    if len(text) <= UTF8_BYTES * characters:
        whole = bytes(text).decode()
        if len(whole) <= characters:
            return whole
    width = characters // PIECES
    middles = (len(text) * (2 * i + 1) // (2 * PIECES) for i in range(PIECES))
    return " ".join(_piece(text, max(0, middle - width // 2), width - 1) for middle in middles)


def _piece(text: memoryview | bytes, start: int, width: int) -> str:
    """About `width` characters from byte `start` on; a character that is cut at either end is left out."""
    piece = bytes(text[start : start + UTF8_BYTES * width]).decode(errors="ignore")[:width]
    space = next((at for at, character in enumerate(piece[: width // 2]) if character.isspace()), -1)
    return piece[space + 1 :] if start else piece


@functools.cache
def _load_py3langid() -> tuple[Identify, frozenset[str]]:
    """What identifies, and the labels that it gives. Once per process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return identifier.classify, frozenset(identifier.labels)


@functools.cache
def _load_fasttext(path: str, _sha256: str) -> tuple[Identify, frozenset[str]]:
    """The same for the fastText model at `path`, once per content of the file.

    Raises ConfigError where there is no fastText, InputError when the file is no classifier.
    """
    try:
        import fasttext
    except ImportError as error:
        raise ConfigError(f"language.model = {path!r} needs fastText, which has no package for this Python") from error
    try:
        model = fasttext.load_model(path)
        labels = model.get_labels()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: is no fastText model ({error}); give language.model a .bin or .ftz file") from error
    if not labels or not all(label.startswith(LABEL_PREFIX) for label in labels):
        raise InputError(f"{path}: is a fastText model without {LABEL_PREFIX} labels; it cannot identify languages")

    def identify(text: str) -> tuple[str, float]:
        found, probabilities = model.predict(text.replace("\n", " "))
        if not found or not probabilities[0] > 0:  # NaN too
            return UNDETERMINED, 0.0
        return found[0].removeprefix(LABEL_PREFIX), min(1.0, float(probabilities[0]))

    return identify, frozenset(label.removeprefix(LABEL_PREFIX) for label in labels)


@functools.cache
def _py3langid_identity() -> Mapping[str, str]:
    """py3langid's model by its file: a new release of the package with another model is another model."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE

    return {"py3langid_sha256": files.sha256(MODEL_DIR / MODEL_FILE)}


def _sha256_of(path: str) -> str:
    """The SHA-256 of a model's file, read again only when the file changes. Raises ConfigError."""
    try:
        status = Path(path).stat()
        return _sha256_once(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise ConfigError(f"language.model: {path} cannot be read ({error.strerror})") from error


@functools.cache
def _sha256_once(path: str, _size: int, _mtime_ns: int) -> str:
    return files.sha256(Path(path))
