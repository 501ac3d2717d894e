"""Trains a fastText classifier that separates good text from bad, and measures it on a held-out fifth of the documents.

Purpose: DCLM's classifier (Li et al. 2024, arXiv 2406.11794, section 4.4) from one's own positive and negative documents: word
unigrams and bigrams, as its published file says (openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train.bin), of the text that
`models.features` makes. All other settings are fastText's own defaults for supervised training: softmax, 100 dimensions,
learning rate 0.1, 5 epochs, every word that occurs, 2 million buckets.
Guarantee: the same documents and seed give the same bytes of the model on one kind of machine, whatever files the documents
come from, because one thread trains and the order depends only on the texts and the seed. The measured model is the one that
is written.
Cost: memory for all text and for the model (0.8 GB and 400 bytes per distinct word); 0.5 s per million words and epoch.

Why training is reliable here: with one thread, fastText fills only the first tenth of its input matrix with random numbers
(`DenseMatrix::uniform`) and leaves the rest as the allocator returned it. A small matrix then holds memory that was freed
before: of 30 runs after freed NaNs, 0 to 1 ended well, at any learning rate; the others ended in "Encountered NaN". A matrix
of over 32 MiB, the largest threshold of glibc's malloc for mmap, always consists of fresh pages, which are zero. `MIN_BUCKETS`
makes every matrix that large. In a linear model a row can start at zero, and the dictionary lists words by frequency, so the
random tenth belongs to the words that move the others.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError, WorkerDied
from tokenmill.pipeline.stages import fasttext
from tokenmill.pipeline.stages.quality.models import features

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"
DIMENSIONS = 100
WORD_NGRAMS = 2
MIN_BUCKETS = 100_000
HELD_OUT = 5
"""One document in this many is held out for measuring."""
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
COPY_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of the model, besides the documents. The defaults are fastText's. Raises ConfigError for too few buckets."""

    epochs: int = 5
    learning_rate: float = 0.1
    buckets: int = 2_000_000
    """Rows for hashed bigrams, 400 bytes each in the model. At least `MIN_BUCKETS`."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.buckets < MIN_BUCKETS:
            raise ConfigError(f"{self.buckets=} is below the least number of buckets, {MIN_BUCKETS}")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Results on the held-out documents. A document counts as positive if its score is at least 0.5."""

    learnt: Mapping[str, int]
    """Number of training documents by label."""
    scores: Mapping[str, npt.NDArray[np.float64]]
    """The probability of the positive label for the held-out documents, by their true label."""
    contradicting: int
    """Documents that were on both sides. They were removed from both."""

    @property
    def accuracy(self) -> float:
        right = (self.scores[POSITIVE] >= 0.5).sum() + (self.scores[NEGATIVE] < 0.5).sum()
        return float(right) / sum(map(len, self.scores.values()))

    @property
    def precision(self) -> float:
        """The share of documents called positive that are positive. 0 if none is called positive."""
        called = sum(int((scores >= 0.5).sum()) for scores in self.scores.values())
        return float((self.scores[POSITIVE] >= 0.5).sum()) / max(1, called)

    @property
    def recall(self) -> float:
        """The share of positive documents that are called positive."""
        return float((self.scores[POSITIVE] >= 0.5).mean())

    def quantiles(self) -> list[tuple[float, float, float]]:
        """(share of documents, score of positive ones, score of negative ones) for each of `QUANTILES`."""
        columns = [np.quantile(self.scores[label], QUANTILES).tolist() for label in (POSITIVE, NEGATIVE)]
        return list(zip(QUANTILES, *columns, strict=True))


def train(positive: Iterable[str], negative: Iterable[str], out: Path, training: Training) -> Measured:
    """Train on four fifths of the distinct documents, write the model to `out`, and measure it on the rest.

    Raises InputError if a side has fewer than 5 distinct documents or training diverges, ConfigError without fastText,
    WorkerDied if the training process is killed.
    """
    fasttext.library()
    texts = {POSITIVE: _distinct(positive), NEGATIVE: _distinct(negative)}
    both = texts[POSITIVE].keys() & texts[NEGATIVE].keys()
    for label, found in texts.items():
        for digest in both:
            del found[digest]
        if len(found) < HELD_OUT:
            side = label.removeprefix("__label__")
            again = f" besides {len(both)} that are on both sides" if both else ""
            raise InputError(f"{len(found)} distinct {side} documents{again}: at least {HELD_OUT} are needed, better thousands")
    held_out = {label: sorted(found)[: len(found) // HELD_OUT] for label, found in texts.items()}
    learnt = {label: texts[label].keys() - set(held_out[label]) for label in texts}
    examples = [(label, digest) for label in texts for digest in learnt[label]]
    examples.sort(key=lambda example: _order(example[1], training.seed))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        examples_path, model_path = Path(folder, "examples.txt"), Path(folder, "model.bin")
        with files.create(examples_path, durable=False, hashed=False) as handle:
            for label, digest in examples:
                handle.write(f"{label} {texts[label][digest]}\n".encode())
        _train(examples_path, model_path, training)
        # fastText does not notice a full disk, so its file is checked before it becomes the model.
        fasttext.check(str(model_path))
        with open(model_path, "rb") as made, files.create(out) as handle:
            shutil.copyfileobj(made, handle, COPY_BYTES)
    model = fasttext.load(str(out))
    scores = {label: _scores(model, [texts[label][digest] for digest in held_out[label]]) for label in texts}
    return Measured(learnt={label: len(found) for label, found in learnt.items()}, scores=scores, contradicting=len(both))


def _distinct(texts: Iterable[str]) -> dict[bytes, str]:
    """The features of every text with any features, by their hash."""
    lines = (features(text) for text in texts)
    return {hashlib.blake2b(line.encode(), digest_size=16).digest(): line for line in lines if line.strip()}


def _order(digest: bytes, seed: int) -> bytes:
    """A sort key that is independent of the label, because fastText learns in the order of its input."""
    return hashlib.blake2b(digest, digest_size=16, key=seed.to_bytes(8, "little")).digest()


def _train(examples: Path, model: Path, training: Training) -> None:
    # With one thread fastText sets only a part of its matrix. In a process that has done other work, the rest may be reused
    # memory, and the result depends on it. In a new process it is zero.
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
            fresh.submit(_learn, str(examples), str(model), training).result()
    except BrokenProcessPool as error:
        raise WorkerDied(
            "quality: the training process was killed, perhaps because memory ran out; fewer buckets need less"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"fastText ended with {str(error)!r} at a learning rate of {training.learning_rate}; set a lower one"
        ) from error


def _learn(examples: str, model: str, training: Training) -> None:
    """Runs in a process of its own."""
    fasttext.library().train_supervised(
        examples,
        lr=training.learning_rate,
        epoch=training.epochs,
        dim=DIMENSIONS,
        wordNgrams=WORD_NGRAMS,
        bucket=training.buckets,
        loss="softmax",
        minCount=1,
        seed=training.seed,
        thread=1,
        verbose=0,
    ).save_model(model)


def _scores(model: Any, lines: Sequence[str]) -> npt.NDArray[np.float64]:
    found = np.zeros(len(lines))
    for row, line in enumerate(lines):
        labels, probabilities = model.predict(line, k=-1)
        found[row] = probabilities[labels.index(POSITIVE)] if labels else 0.0
    return np.clip(found, 0.0, 1.0)
