"""Learn a WordPiece vocabulary, by the trainer of the library `tokenizers`, from the counts of the surviving text.

Guarantee: the same text and settings give the same file, byte for byte, in any process and for any number of workers. The
library alone does not promise that: it numbers the pieces of one character in the order of a hash table, which differs from run
to run, and the numbers decide between pairs that occur equally often. Here they are given to it in the order of Unicode.
The pieces are learned from words that they can spell, so that no word is learned with a hole in it.
Cost: the trainer has no way in for counts, so each word is given to it as often as it occurs: 18 MB of text per second. About
300 bytes of memory for each distinct word.

Source: Schuster and Nakajima 2012, and Wu et al. 2016, sec. 4.1, name the method. The library's trainer merges the pair that
occurs most often, as BPE does, and marks pieces that continue a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import TokenizerConfig
from tokenmill.pipeline.tokens.facts import Unknown
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.wordpiece import CONTINUES, LONGEST_WORD, SPECIAL, UNKNOWN

LINE_BYTES = 1 << 16
"""Size of a line of words that is given to the trainer (approximate)."""
BATCH_WORDS = 10_000


@dataclass(frozen=True, kw_only=True)
class LearnedPieces:
    """A learned vocabulary: its `tokenizer.json`, and what it makes of the counted text."""

    data: bytes
    tokens: int
    """Ids in it, special tokens included."""
    text_tokens: int
    unknown: Unknown


def learn(words: Words, config: TokenizerConfig) -> LearnedPieces:
    """Learn a vocabulary from counted pieces of text, which no word crosses. Raises ConfigError if it has no room for them."""
    counts, removed = _normal(words, config)
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    alphabet = sorted(sorted(characters, key=lambda one: (-characters[one], one))[: config.alphabet])
    known = set(alphabet)
    spelled = {word: count for word, count in counts.items() if len(word) <= LONGEST_WORD and known.issuperset(word)}
    continuing = [CONTINUES + one for one in sorted({character for word in spelled for character in word[1:]})]
    taken = len(SPECIAL) + len(continuing) + len(alphabet)
    if taken > config.vocabulary:
        raise ConfigError(
            f"tokenizer.vocabulary = {config.vocabulary:,} has no room for {len(SPECIAL)} special tokens and {len(alphabet):,} "
            f"characters, {len(continuing):,} of them also within words; set it to more than {taken:,}, or lower "
            f"tokenizer.alphabet = {config.alphabet:,}"
        )
    vocab = _trained(spelled, alphabet, [*SPECIAL, *continuing], config)
    model = models.WordPiece(
        vocab, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD, continuing_subword_prefix=CONTINUES
    )
    text_tokens, unknown_words = _measured(model, counts, vocab[UNKNOWN])
    return LearnedPieces(
        data=_file(model, config),
        tokens=len(vocab),
        text_tokens=text_tokens,
        unknown=Unknown(
            words=sum(counts.values()),
            unknown_words=unknown_words,
            unknown_characters=sum(count for character, count in characters.items() if character not in known),
            distinct_unknown_characters=len(characters.keys() - known),
            removed_characters=removed,
        ),
    )


def _normalizer(config: TokenizerConfig) -> normalizers.BertNormalizer:
    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=config.strip_accents, lowercase=config.lowercase
    )


def _normal(words: Words, config: TokenizerConfig) -> tuple[dict[str, int], int]:
    """The normalized words with their counts, in the order of Unicode, and the number of characters that were removed.

    Removed are control characters and those that Unicode does not assign.
    """
    normalizer, cut = _normalizer(config), pre_tokenizers.BertPreTokenizer()
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    found: Counter[str] = Counter()
    removed = 0
    for (start, end), count in zip(pairwise(words.offsets.tolist()), words.counts.tolist(), strict=True):
        text = words.data[start:end].tobytes().decode()
        if text.isascii() and text.isalnum():
            found[text.lower() if config.lowercase else text] += count
            continue
        removed += count * (len(text) - len(clean.normalize_str(text)))
        for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)):
            found[word] += count
    return dict(sorted(found.items())), removed


def _trained(counts: Mapping[str, int], alphabet: list[str], first: list[str], config: TokenizerConfig) -> dict[str, int]:
    """The vocabulary: the tokens `first`, the alphabet, and the pieces in the order in which they were merged."""
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocabulary,
        min_frequency=config.min_frequency,
        # As special tokens the pieces of one character get their numbers here.
        special_tokens=first,
        initial_alphabet=alphabet,
        continuing_subword_prefix=CONTINUES,
        show_progress=False,
    )
    made = tokenizers.Tokenizer(models.WordPiece(unk_token=UNKNOWN, continuing_subword_prefix=CONTINUES))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.train_from_iterator(_lines(counts), trainer=trainer)
    found: dict[str, int] = made.get_vocab(with_added_tokens=False)
    return found


def _lines(counts: Mapping[str, int]) -> Iterator[str]:
    """Each word as often as it occurs."""
    for word, count in counts.items():
        most = max(1, LINE_BYTES // len(word))
        for done in range(0, count, most):
            yield f"{word} " * min(most, count - done)


def _measured(model: models.WordPiece, counts: Mapping[str, int], unknown: int) -> tuple[int, int]:
    """The tokens of the counted text, and how many of its words are unknown."""
    encoder = tokenizers.Tokenizer(model)
    tokens = unknown_words = 0
    left = iter(counts.items())
    while batch := list(islice(left, BATCH_WORDS)):
        for (_, count), made in zip(batch, encoder.encode_batch_fast([word for word, _ in batch]), strict=True):
            tokens += count * len(made.ids)
            unknown_words += count * (made.ids == [unknown])
    return tokens, unknown_words


def _file(model: models.WordPiece, config: TokenizerConfig) -> bytes:
    made = tokenizers.Tokenizer(model)
    made.normalizer = _normalizer(config)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix=CONTINUES, cleanup=True)
    made.add_special_tokens(list(SPECIAL))
    return made.to_str().encode()
