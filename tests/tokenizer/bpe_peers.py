"""Words for training, and what `tokenizers` and our learner make of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from tokenmill.tokenizer.description import Description
from tokenmill.tokenizer.formats import byte_alphabet
from tokenmill.tokenizer.merges import Learned, Learner, Words

Named = tuple[dict[str, int], list[tuple[str, str]]]
"""A vocabulary and merges, spelled as in files."""


def words_of(words: Iterable[str]) -> Words:
    """Distinct words with their counts."""
    ranked = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    content = [word.encode() for word, _ in ranked]
    return Words(
        data=np.frombuffer(bytearray(b"".join(content)), dtype=np.uint8),
        offsets=np.cumsum([0, *map(len, content)], dtype=np.int64),
        counts=np.array([count for _, count in ranked], dtype=np.int64),
    )


def trained_by_tokenizers(
    words: Iterable[str],
    vocabulary: int,
    *,
    min_frequency: int = 0,
    special: Sequence[str] = (),
    max_token_bytes: int | None = None,
) -> Named:
    """`tokenizers`' BpeTrainer over single words."""
    model = tokenizers.Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    limit = {} if max_token_bytes is None else {"max_token_length": max_token_bytes}
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=min_frequency,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        **limit,
    )
    model.train_from_iterator(words, trainer)
    plain = json.loads(model.to_str())["model"]
    return plain["vocab"], [tuple(merge) for merge in plain["merges"]]


def learn(
    words: Words,
    *,
    vocabulary: int,
    min_frequency: int = 0,
    special: Sequence[str] = (),
    max_token_bytes: int | None = None,
    guard_special: bool = False,
) -> Learned:
    """The vocabulary of one size."""
    learner = Learner(
        words,
        most=vocabulary,
        min_frequency=min_frequency,
        special=special,
        max_token_bytes=max_token_bytes,
        guard_special=guard_special,
    )
    learner.grow(vocabulary)
    return learner.learned()


def ranks_of(description: Description) -> dict[bytes, int]:
    """The ranks by which `tiktoken` gives the ids of a byte-level vocabulary whose ids are in the order of its merges."""
    names = {name.encode() for name in description.special}
    return {token: number for number, token in enumerate(description.tokens) if token is not None and token not in names}


def named(learned: Learned) -> Named:
    """What was learned here, spelled alike."""
    spelled = {byte: character for character, byte in byte_alphabet().items()}
    tokens = ("".join(spelled[byte] for byte in token) for token in learned.tokens[len(learned.special) :])
    names = [*learned.special, *tokens]
    return {name: number for number, name in enumerate(names)}, [(names[one], names[other]) for one, other in learned.merges]
