"""Merges against `tokenizers`' BpeTrainer and the reference in plain Python."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.bpe_peers import learn, named, trained_by_tokenizers, words_of
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.tokenizer import merges, reference
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.pretokenize import pattern, split

SPECIAL = [(), ("<|endoftext|>",), ("ab", "<s>", "ab"), ("a", "中", "ba"), ("é", "Ã")]


@st.composite
def corpora(draw: st.DrawFn) -> list[str]:
    """Words of few letters, so that ties, overlaps and tokens with several merges are many."""
    letters = draw(st.sampled_from(["ab", "a", "abc", "abcdefgh", "aé中"]))
    word = st.text(st.sampled_from(letters), min_size=1, max_size=draw(st.sampled_from([4, 12, 40])))
    return [
        text
        for text, times in draw(st.lists(st.tuples(word, st.integers(1, 6)), min_size=1, max_size=25))
        for _ in range(times)
    ]


@settings(max_examples=250, deadline=None)
@given(
    corpora(),
    st.sampled_from([262, 270, 300, 400]),
    st.integers(0, 3),
    st.sampled_from(SPECIAL),
    st.sampled_from([None, None, 2, 3, 5, 9]),
)
def test_generated_words(words: list[str], vocabulary: int, few: int, special: tuple[str, ...], longest: int | None) -> None:
    wanted = trained_by_tokenizers(words, vocabulary, min_frequency=few, special=special, max_token_bytes=longest)
    learned = learn(words_of(words), vocabulary=vocabulary, min_frequency=few, special=special, max_token_bytes=longest)
    assert named(learned) == wanted


@settings(max_examples=60, deadline=None)
@given(corpora(), st.integers(256, 290), st.integers(0, 3))
def test_the_reference_learns_the_same(words: list[str], vocabulary: int, few: int) -> None:
    wanted = trained_by_tokenizers(words, vocabulary, min_frequency=few)
    model = reference.train(Counter(word.encode() for word in words), vocabulary, few)
    learned = learn(words_of(words), vocabulary=vocabulary, min_frequency=few)
    assert (model.tokens, model.merges) == (learned.tokens, learned.merges)
    assert named(learned) == wanted
    for word in words:
        ids = reference.encode(model, word.encode())
        assert reference.decode(model, ids) == word.encode()


@settings(max_examples=100, deadline=None)
@given(corpora(), st.integers(262, 300), st.integers(0, 3), st.sampled_from(["ab", "abc", "aba", "aaaa", "bab"]))
def test_no_merge_makes_a_guarded_token(words: list[str], vocabulary: int, few: int, special: str) -> None:
    """The reference has no special tokens, so its ids are one lower."""
    wanted = reference.train(Counter(word.encode() for word in words), vocabulary - 1, few, never={special.encode()})
    learned = learn(words_of(words), vocabulary=vocabulary, min_frequency=few, special=[special], guard_special=True)
    assert learned.tokens[1:] == wanted.tokens
    assert [(one - 1, other - 1) for one, other in learned.merges] == wanted.merges
    assert special.encode() not in learned.tokens[1:]
    assert learned.text_tokens == sum(len(reference.encode(wanted, word.encode())) for word in words)


SAMPLES = {
    "latin": "Der Fluß, the river, dòng sông: alle Menschen sind frei und gleich an Würde und Rechten geboren. " * 3,
    "cyrillic": "Все люди рождаются свободными и равными в своём достоинстве и правах. Усі люди народжуються вільними.",
    "arabic": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق وهم قد وهبوا عقلاً وضميراً",
    "devanagari": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है",
    "han": "人人生而自由，在尊严和权利上一律平等。すべての人間は、生まれながらにして自由であり、",
    "hangul": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다",
    "greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
}


@pytest.mark.parametrize("vocabulary", [280, 320, 400])
@pytest.mark.parametrize("script", SAMPLES)
def test_scripts(script: str, vocabulary: int) -> None:
    words = [piece for name in ("gpt2", "o200k") for piece in split(SAMPLES[script], pattern(name))]
    learned = learn(words_of(words), vocabulary=vocabulary)
    assert named(learned) == trained_by_tokenizers(words, vocabulary)
    model = reference.Model(learned.tokens, learned.merges)
    assert learned.text_tokens == sum(len(reference.encode(model, word.encode())) for word in words)


@pytest.fixture(scope="module")
def declaration(shared_data: Path) -> list[str]:
    """The words of the Declaration of Human Rights in hundreds of languages."""
    with gzip.open(shared_data / "lid/udhr.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][:1_500] for line in lines]
    return [piece for text in texts for piece in split(text, pattern("cl100k"))]


@pytest.mark.parametrize("vocabulary", [600, pytest.param(2_000, marks=pytest.mark.soak), 6_000])
def test_a_declaration_in_hundreds_of_languages(vocabulary: int, declaration: list[str]) -> None:
    words = declaration
    learned = learn(words_of(words), vocabulary=vocabulary, min_frequency=2, special=["<|endoftext|>"])
    assert named(learned) == trained_by_tokenizers(words, vocabulary, min_frequency=2, special=["<|endoftext|>"])


def test_arrays_that_grow_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"{number:x}{'abc' * (number % 7)}" for number in range(3_000)]
    wanted = learn(words_of(words), vocabulary=1_500)
    monkeypatch.setattr(merges, "FIRST_TOKEN_BYTES", 1_024)
    monkeypatch.setattr(merges, "FIRST_PAIRS", 1 << 12)
    assert learn(words_of(words), vocabulary=1_500) == wanted


@pytest.mark.parametrize("word", ["a" * 3_000_000, "的" * 1_000_000, "ab" * 1_500_000, "01234 6789" * 300_000])
def test_one_long_word(word: str) -> None:
    """In linear time; with a scan of the word for each merge the test would run out of time."""
    learned = learn(words_of([word, word[:10]]), vocabulary=10_000)
    assert learned.text_tokens <= 5
    assert max(map(len, learned.tokens)) > 1_000_000


def test_random_long_word_as_tokenizers() -> None:
    letters = np.random.default_rng(1).choice(list("aab"), 20_000)
    word = "".join(letters)
    assert named(learn(words_of([word]), vocabulary=2_000)) == trained_by_tokenizers([word], 2_000)
    runs = "".join("a" * (len(list(group)) % 5 + 1) + "b" for _, group in groupby(letters))
    assert named(learn(words_of([runs, runs[5:]]), vocabulary=2_000)) == trained_by_tokenizers([runs, runs[5:]], 2_000)


def test_fewer_pairs_than_asked_for() -> None:
    learned = learn(words_of(["ab", "ab", "c"]), vocabulary=5_000, min_frequency=2, special=["<s>"])
    assert (len(learned.tokens), learned.merges, learned.text_tokens) == (258, [(1 + 97 - 33, 1 + 98 - 33)], 3)
    assert learned.tokens[:2] == [b"<s>", b"!"]
    assert learned.tokens[-1] == b"ab"
    assert learn(words_of(["ab"]), vocabulary=256).merges == []


def test_no_room_and_no_words() -> None:
    with pytest.raises(ConfigError, match="a vocabulary of 256 has no room for the 257 tokens it begins with"):
        learn(words_of(["ab"]), vocabulary=256, special=["<s>"])
    with pytest.raises(InputError, match="no words to learn merges from"):
        learn(words_of([]), vocabulary=300)
    huge = Words(
        data=np.zeros(1, dtype=np.uint8), offsets=np.array([0, 2**31], dtype=np.int64), counts=np.array([1], dtype=np.int64)
    )
    with pytest.raises(InputError, match="more than can be merged at once"):
        learn(huge, vocabulary=300)


def test_characters_lose_what_they_did_not_see() -> None:
    model = reference.Characters.train("to be")
    assert model.tokens == ["<UNK>", " ", "b", "e", "o", "t"]
    assert model.decode(model.encode("to be é")) == "to be <UNK>"
    bytes_model = reference.train({b"to": 1}, 257)
    assert reference.decode(bytes_model, reference.encode(bytes_model, "to é".encode())) == "to é".encode()
