"""The splitter against its plain Python twin, on hostile text and on every chunk of real documents; and against spaCy."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles
from tests.kernels import word_oracle as oracle
from tokenmill.pipeline.kernels.text import masks
from tokenmill.pipeline.kernels.words import classes, word_counts
from tokenmill.pipeline.kernels.words import split as words

PIECES = st.one_of(
    st.sampled_from(list(" \n\t\x00\x1c\x85\u2028\xa0\u3000.,:;!?'\"’‘-–—…/#{}[]()<>%$+*^~=@_•§¿0129aAbBzZsSmkGßéſKÅǅⅧ½²µ٣")),
    st.sampled_from(list("한漢かガーไทย์ກຂ្កမြန်〇々。、！\u0301\u200d😀\ud7ff\ue000\ufffd\U0010ffff\U00020000€₽")),
    st.sampled_from(["n't", "n’t", "'s", "'S", "’s", "'ll", "'re", "cannot", "Gonna", "lets", "do", "can", "i", "I", "You"]),
    st.sampled_from(["havent", "thats", "have", "isn", "should", "ve", "well", "its", "the", "The", "with", "of"]),
    st.sampled_from(["Dr.", "e.g.", "PH.D.", "Ph.D.", "dR.", "U.S.", "a.m.", "and/or", "w/o", "o'clock", "'em", "...", "---"]),
    st.sampled_from(["km", "km/h", "m²", "kB", "in", "Pa", "5", "10", "-3", "ab://", "a://", "http://", "x@y.org", ".com"]),
    st.sampled_from(["example.org", "1.2.3.4", ":80", ":8080/", "?q", "#f", "www.", "a-b_c.", "../", "ÿ.ÿÿ"]),
    st.characters(exclude_categories=["Cs"]),
)
HOSTILE = st.one_of(st.lists(PIECES, max_size=40).map("".join), dedup_oracles.HOSTILE)
SYMBOLIC, ALPHABETIC, END_MARK, PUNCTUATION = classes.SYMBOLIC, classes.ALPHABETIC, classes.END_MARK, classes.PUNCTUATION


class Split:
    """What the kernel writes for one document, which stands between others; the scratch is dirty, as in a batch."""

    def __init__(self, content: bytes, behind: bytes = b"") -> None:
        data = np.frombuffer(b"x \xc3\xa9" + content + behind, dtype=np.uint8)
        room = len(content)
        self.starts, self.ends = np.full(room, 99, dtype=np.int64), np.full(room, 99, dtype=np.int64)
        self.characters, self.flags = np.full(room, 99, dtype=np.int32), np.full(room, 99, dtype=np.uint8)
        self.hashes = np.full(room, 99, dtype=np.uint64)
        self.count = words.split(
            data, 4, 4 + room, classes.tables(), self.starts, self.ends, self.characters, self.flags, self.hashes
        )
        assert self.count <= room
        spans = zip(self.starts[: self.count].tolist(), self.ends[: self.count].tolist(), strict=True)
        self.words = [data[start:end].tobytes() for start, end in spans]


def flags_of(word: str) -> int:
    found = SYMBOLIC if classes.SYMBOLS.issuperset(word) else 0
    found |= ALPHABETIC if any(map(str.isalpha, word)) else 0
    found |= END_MARK if word in classes.SENTENCE_END else 0
    found |= PUNCTUATION if all(unicodedata.category(character)[0] == "P" for character in word) else 0
    stop_word = 1 + classes.STOP_WORDS.index(word) if word in classes.STOP_WORDS else 0
    return found | stop_word << words.STOP_WORD_SHIFT


def agree(text: str) -> None:
    """Require the words, flags, hashes and sentences of the oracle."""
    split = Split(text.encode())
    expected = oracle.words(text)
    assert [word.decode() for word in split.words] == expected
    assert split.characters[: split.count].tolist() == [len(word) for word in expected]
    assert split.flags[: split.count].tolist() == [flags_of(word) for word in expected]
    hashes = split.hashes[: split.count].tolist()
    plain = [(key, word) for key, word in zip(hashes, expected, strict=True) if not word.endswith("\0")]
    assert [key for key, _ in plain] == [dedup_oracles.hash_word(word.encode()) for _, word in plain]
    assert len(set(hashes)) == len(set(expected))
    assert words.sentences(split.flags, 0, split.count) == oracle.sentences(expected)
    assert words.of(text) == expected
    assert "".join(expected) == "".join(text.split())


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
@example("." * 300)
@example("'s" * 200)
@example("don't" * 3)
@example("havent thats Shouldve haven't and")
@example("a——b a———b a--b a----b 5--3 5-a 1+-2 x^y 2^8")
@example("a@b@c.org @b.org a@b.org:80/x a@b.org:8 ab://x.org:80 a://x.org /x.org http://a.b/c?d 1.2.3.4:80 01.2.3.4")
def test_words_are_those_of_the_oracle(text: str) -> None:
    agree(text)


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(HOSTILE)
def test_words_of_much_text_are_those_of_the_oracle(text: str) -> None:
    agree(text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
@example(b"\xc3")
@example(b"a.\xe3\x81")
def test_bytes_that_are_no_utf8_never_reach_beyond_the_document(content: bytes) -> None:
    lone = Split(content)
    for behind in (b"\x80\xbf\x80\xbf" * 4, b"9.9 dots. and more"):
        split = Split(content, behind)
        assert split.words == lone.words
        assert split.hashes[: split.count].tolist() == lone.hashes[: lone.count].tolist()
    assert sum(map(len, lone.words)) <= len(content)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t\u3000", []),
        ("Hello, world!", ["Hello", ",", "world", "!"]),
        ("I don't know.", ["I", "do", "n't", "know", "."]),
        ("Dr. Who (e.g. 3.14%)", ["Dr.", "Who", "(", "e.g.", "3.14", "%", ")"]),
        ("well-known and/or TCP/IP", ["well", "-", "known", "and/or", "TCP", "/", "IP"]),
        ("see https://example.org/a-b/c.", ["see", "https://example.org/a-b/c", "."]),
        ("os.path.join --flag x=1", ["os.path.join", "--flag", "x=1"]),
        ("end.Next the U.S. wait...", ["end", ".", "Next", "the", "U.S.", "wait", "..."]),
        ("John's 10km $5 😀!", ["John", "'s", "10", "km", "$", "5", "😀", "!"]),
        ("日本語はPython3.5が好き。", ["日", "本", "語", "は", "Python3.5", "が", "好", "き", "。"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("한국어 말", ["한국어", "말"]),
    ],
)
def test_examples(text: str, expected: list[str]) -> None:
    assert words.of(text) == expected


def test_splitting_takes_linear_time() -> None:
    # Chunks of a million characters; anything quadratic would run into the time limit of the suite.
    for chunk in ("!", ".", "a.", "A.b", "'s", "@", "a@", "1+", "a/", "\0", "a-", "://", "😀", "日", "ท", "\u0301"):
        text = chunk * (1_000_000 // len(chunk))
        assert "".join(words.of(text)) == text


@pytest.mark.parametrize(("step", "distinct"), [(80, 15_000), pytest.param(7, 100_000, marks=pytest.mark.soak)])
def test_every_chunk_of_real_documents(shared_data: Path, step: int, distinct: int) -> None:
    table = pq.read_table(shared_data / "text" / "bench_text.parquet", columns=["text"])
    texts = table["text"].take(list(range(3, table.num_rows, step))).to_pylist()
    chunks = sorted({chunk for text in texts for chunk in text.split()})
    assert len(chunks) > distinct
    for start in range(0, len(chunks), 1000):
        some = chunks[start : start + 1000]
        assert words.of(" ".join(some)) == [word for chunk in some for word in oracle.words(chunk)]


def test_words_are_spacys(shared_data: Path) -> None:
    """Boundaries of words in English documentation against spaCy's: at most 1 in 1,000 differs."""
    spacy = pytest.importorskip("spacy", reason="needs spaCy, the peer, which is not installed")
    tokenizer = spacy.blank("en").tokenizer
    table = pq.read_table(shared_data / "text" / "bench_text.parquet", columns=["source", "text"])
    for source in ("openjdk", "boost", "postgresql"):
        texts = table.filter(pc.equal(table["source"], source))["text"].to_pylist()
        wrong = total = 0
        for text in texts[7::300]:
            ours = boundaries(words.of(text[:40_000]))
            theirs = boundaries([token.text for token in tokenizer(text[:40_000]) if not token.is_space])
            wrong, total = wrong + len(ours ^ theirs), total + len(theirs)
        print(f"{source}: {wrong} of {total} boundaries differ from spaCy's: {wrong / total:.3%}")
        assert wrong / total < 0.0015


def boundaries(split: list[str]) -> set[int]:
    ends, position = set(), 0
    for word in split:
        position += len("".join(word.split()))
        ends.add(position)
    return ends


CHUNKS = word_counts.remembered()


def counted(content: bytes) -> int:
    """By the kernel that remembers chunks, over buffers that end with other text."""
    data = np.frombuffer(b"x " + content + b"a\xe3\x80\x80 " * masks.BLOCK, dtype=np.uint8)
    places = np.empty((2, len(content)), dtype=np.int64)
    return word_counts.count_words(data, 2, 2 + len(content), classes.tables(), places[0], places[1], CHUNKS)


def counted_alike(text: str) -> None:
    """Require the count of the splitter, of chunks that are new and of chunks that are remembered."""
    content = text.encode()
    for _ in range(2):
        assert counted(content) == Split(content).count


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
@example("")
@example("a\0 a a\0\0 a" * 20)
@example("can't. can't.\u3000can't.\u3000 x" * 20)
def test_words_are_counted_as_they_are_split(text: str) -> None:
    counted_alike(text)


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(HOSTILE)
def test_words_of_much_text_are_counted_as_they_are_split(text: str) -> None:
    counted_alike(text)


def test_chunks_that_share_a_slot_are_told_apart() -> None:
    texts = [f"{n}-{n:x}.{n % 7 * 'a'}," for n in range(40_000)]
    expected = [Split(text.encode()).count for text in texts]
    for _ in range(2):
        assert [counted(text.encode()) for text in texts] == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=64, max_size=90), st.integers(0, 255), st.integers(0, 255))
def test_masks(content: bytes, low: int, high: int) -> None:
    @words.leaf
    def look(data: np.ndarray, low: int, high: int) -> tuple[int, int, int]:
        mask = masks.between(data, np.uint64(0), low, high)
        return mask, masks.lowest(mask), masks.ones(mask)

    low, high = sorted((low, high))
    bits = [low <= byte <= high for byte in content[:64]]
    expected = sum(bit << place for place, bit in enumerate(bits))
    assert look(np.frombuffer(content, dtype=np.uint8), low, high) == (expected, [*bits, True].index(True), sum(bits))
