"""The step that makes the tokenizer: a byte-level BPE learned from a sample of the surviving text, or a given one.

Guarantee: the same documents and settings give the same file, byte for byte, for any number of workers and threads.
Cost: learning, about 3 MB of text a second on two cores (tokenizers); memory is the sample's distinct words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from pipeline import files
from pipeline.config import TokenizerConfig
from pipeline.errors import ConfigError, InputError
from pipeline.shards import View
from pipeline.work import Outcome, Progress, Work, views
from tokenizer.encode import FastEncoder, load
from tokenizer.formats import END_OF_TEXT, describe
from tokenizer.sample import Sample, choose

FILE = "tokenizer/tokenizer.json"

LONGEST_WORD_BYTES = 1_024
"""Longer runs without a boundary are cut while learning, since merging takes the square of their length: 50,000 Chinese
characters in one run took 9 s, cut 0.01 s. On 12 MB of documentation the cut changed nothing in the result."""


class TokenizerStep:
    """Publishes tokenizer/tokenizer.json."""

    name = "tokenizer"
    version = 1

    def __init__(self, *, config: TokenizerConfig) -> None:
        self._config = config

    def config(self) -> Mapping[str, Any]:
        settings = self._config.model_dump(exclude={"path"})
        if self._config.path is None:
            return {**settings, "given": None}
        given = describe(_given(self._config.path), where=self._config.path)
        return {"sample_bytes": settings["sample_bytes"], "seed": settings["seed"], "given": given.fingerprint}

    def inputs(self, work: Work) -> Mapping[str, str]:
        return {made.stage: made.hash for made in work.before}

    def run(self, work: Work) -> Outcome:
        config, seen = self._config, views(work.root, work.before)
        sample = choose(seen, work.executor, most_bytes=config.sample_bytes, seed=config.seed)
        if sample.bytes == 0:
            raise InputError(_nothing_left(work))
        work.progress.begin(self.name, sample.bytes, "bytes")
        data = _learn(config, sample, work.progress) if config.path is None else _given(config.path)
        entry = files.write_bytes(work.root / FILE, data)
        description = describe(data, where=str(work.root / FILE))
        encoder = load(work.root / FILE)
        if config.path is None and encoder.vocabulary < config.vocabulary:
            work.progress.say(
                f"the sample of {sample.bytes:,} bytes gave {encoder.vocabulary:,} tokens, not {config.vocabulary:,}: "
                "more text, or a smaller tokenizer.min_frequency, gives more"
            )
        if encoder.engine == "tokenizers":
            work.progress.say("fastokens does not give this tokenizer's ids; tokenizers encodes, some 20 times slower")
        measures = [_Measure(sample=sample, view=view, encoder=encoder) for view in sample.views]
        tokens = sum(work.executor.map(_count_tokens, measures))
        bytes_per_token = sample.bytes / tokens
        work.progress.end(f"{encoder.vocabulary:,} tokens, {bytes_per_token:.2f} bytes of text per token")
        return Outcome(
            files={FILE: entry},
            facts={
                "vocabulary": encoder.vocabulary,
                "end_of_text": encoder.end_of_text,
                "fingerprint": encoder.fingerprint,
                "pattern": description.pattern,
                "sample_documents": sample.documents,
                "sample_bytes": sample.bytes,
                "sample_tokens": tokens,
                "bytes_per_token": bytes_per_token,
            },
        )


def _given(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"tokenizer.path: {path} cannot be read ({error.strerror})") from error


def _learn(config: TokenizerConfig, sample: Sample, progress: Progress) -> bytes:
    """Byte-level BPE after GPT-2 (Radford et al. 2019, section 2.2) with its pre-token pattern, fastokens' fastest.

    The end-of-text token is id 0: the trainer puts special tokens first, so its id does not depend on how many merges the
    text gives.
    """
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    model = tokenizers.Tokenizer(models.BPE())
    model.decoder = decoders.ByteLevel()
    model.pre_tokenizer = pre_tokenizers.Sequence([byte_level, pre_tokenizers.FixedLength(LONGEST_WORD_BYTES)])
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        min_frequency=config.min_frequency,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(_passing(sample, progress), trainer)
    model.pre_tokenizer = byte_level
    return model.to_str().encode()


def _passing(sample: Sample, progress: Progress) -> Iterator[list[str]]:
    """The sample's texts, saying how far they are."""
    for texts in sample.texts():
        yield texts
        progress.advance(sum(len(text.encode()) for text in texts))
    progress.say(f"learning merges from {sample.bytes:,} bytes of text")


@dataclass(frozen=True, kw_only=True)
class _Measure:
    sample: Sample
    view: View
    encoder: FastEncoder


def _count_tokens(measure: _Measure) -> int:
    """How many tokens the sample's texts in one shard are, without end-of-text."""
    _, counts = measure.encoder.encode(measure.sample.of(measure.view))
    return int(np.sum(counts))


def _nothing_left(work: Work) -> str:
    """Which step left no text, and what to change."""
    for made in work.before:
        counts = made.counts
        if counts.kept:
            continue
        if made.stage == "collect":
            return "no text to learn a tokenizer from: collect found no documents; see collect.paths and collect.sources"
        why = ", ".join(f"{reason} {count:,}" for reason, count in counts.dropped.items())
        return (
            f"no text to learn a tokenizer from: {made.stage} kept none of {counts.read:,} documents ({why}); "
            f"loosen the settings of [{made.stage}], leave it out of `stages`, or collect other text"
        )
    return "no text to learn a tokenizer from: the documents that are left are empty; collect other text"
