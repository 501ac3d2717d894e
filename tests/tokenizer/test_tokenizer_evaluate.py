"""What is said of a tokenizer on a text, by hand-made counts, by plain Python, and for a whole corpus."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.tokenizer.bpe_peers import learn
from tests.tokenizer.test_tokenizer_encode import texts_of
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.config import PackConfig, TokenizerConfig
from tokenmill.pipeline.corpus import so_far
from tokenmill.pipeline.report import page
from tokenmill.pipeline.report import write as write_report
from tokenmill.pipeline.report.vocabulary import TextPart, Token, VocabularyStatistics
from tokenmill.pipeline.stages.step import Work, perform
from tokenmill.pipeline.tokens.pack import PackStep
from tokenmill.tokenizer import count, report, sums, sweep
from tokenmill.tokenizer.encode import FILE, FastEncoder, load
from tokenmill.tokenizer.evaluate import NO_LETTERS, PIECES, RARE_BELOW, Usage, scripts, sizes_of, words_of
from tokenmill.tokenizer.merges import Learner
from tokenmill.tokenizer.pretokenize import pattern
from tokenmill.tokenizer.step import TokenizerStep, tokenizer_json

TEXTS = ["the tokens of every document", "", "中文 中文", "a\u3000b \n", "\U0001f600"]
SOURCES = ["a", "b", "a", "b", "b"]


def measured(encoder: FastEncoder, batches: Sequence[tuple[Sequence[str], Sequence[str]]]) -> VocabularyStatistics:
    usage = Usage.of(encoder.description)
    for texts, sources in batches:
        column = texts_of(*texts)
        usage.add(*encoder.encode(column), sizes_of(column), words_of(column), {"source": sources})
    return usage.summary()


def test_counts_are_those_of_plain_python(encoder: FastEncoder) -> None:
    found = measured(encoder, [(TEXTS, SOURCES)])
    ids = [encoder.encode(texts_of(text))[0].tolist() for text in TEXTS]
    uses = Counter(number for one in ids for number in one)
    tokens = encoder.description.tokens

    def part(rows: list[int]) -> TextPart:
        return TextPart(
            documents=len(rows),
            bytes=sum(len(TEXTS[row].encode()) for row in rows),
            words=sum(len(TEXTS[row].split()) for row in rows),
            tokens=sum(len(ids[row]) for row in rows),
            single=sum(len(tokens[number] or b"") == 1 for row in rows for number in ids[row]),
        )

    assert found.total == part([0, 1, 2, 3, 4])
    assert found.parts == {"source": {"a": part([0, 2]), "b": part([1, 3, 4])}}
    assert (found.ids, found.tokens) == (encoder.vocabulary, encoder.vocabulary - 1)
    assert found.unused == found.tokens - len(uses)
    assert found.rare == sum(number < RARE_BELOW for number in uses.values())
    lengths = [len(token.data) for token in found.longest]
    assert lengths == sorted(lengths, reverse=True)
    assert all(token.uses == uses[tokens.index(token.data)] > 0 for token in found.longest)
    assert all(tokens.index(token.data) not in uses and token.uses == 0 for token in found.longest_unused)
    assert sum(script.uses for script in found.scripts) == found.total.tokens
    assert sum(script.tokens for script in found.scripts) == found.tokens


def test_batches_make_no_difference(encoder: FastEncoder) -> None:
    one_by_one = [([text], [source]) for text, source in zip(TEXTS, SOURCES, strict=True)]
    assert measured(encoder, one_by_one) == measured(encoder, [(TEXTS, SOURCES)])


def test_nothing(encoder: FastEncoder) -> None:
    found = measured(encoder, [([], []), ([""], ["a"])])
    assert found.total == TextPart(documents=1)
    assert (found.total.bytes_per_token, found.total.tokens_per_word, found.total.single_share) == (0, 0, 0)
    assert found.unused == found.tokens


def test_scripts_by_the_first_letter() -> None:
    tokens = {"abc": 2, " é1": 1, "中文": 3, "の": 1, "한": 1, "\u0915\u094d": 1, "12": 4, " ": 0, "ａ": 1, "\u02b0": 1}
    known = [Token(data=text.encode(), uses=uses) for text, uses in tokens.items()]
    found = {script.name: script for script in scripts([*known, Token(data=b"\xe4\xb8", uses=9)])}
    assert {name: (one.tokens, one.used, one.uses, one.characters) for name, one in found.items()} == {
        PIECES: (1, 1, 9, 0),
        NO_LETTERS: (2, 1, 4, 8),
        "Latin": (2, 2, 3, 9),
        "Han": (1, 1, 3, 6),
        "Hiragana": (1, 1, 1, 1),
        "Hangul": (1, 1, 1, 1),
        "Devanagari": (1, 1, 1, 2),
        "other letters": (2, 2, 2, 2),
    }
    assert next(iter(found)) == PIECES


def test_smaller_vocabularies_are_beginnings_of_the_largest(tmp_path: Path) -> None:
    texts = texts_of(
        *(f"{word} ways to count {word}s, {number}, 数え方{number % 7}" for number in range(90) for word in ("many", "more"))
    )
    cut = pattern("cl100k")
    words = sums.ranked(next(count.count(texts, cut)))
    learner = Learner(words, most=600, special=("<|endoftext|>",))
    found = sweep.sweep(learner, (200, 257, 300, 350, 600, 9_999), words.bytes)
    largest = learner.learned()
    assert [one.vocabulary for one in found] == [257, 300, 350, len(largest.tokens)], "there are fewer than 600"
    for one in found:
        alone = learn(words, vocabulary=one.vocabulary, special=("<|endoftext|>",))
        assert alone.tokens == largest.tokens[: one.vocabulary]
        assert one.tokens == alone.text_tokens
        path = tmp_path / f"{one.vocabulary}.json"
        path.write_bytes(tokenizer_json(alone, cut))
        assert len(load(path).encode(texts)[0]) == one.tokens
        assert one.bytes_per_token == words.bytes / one.tokens
        assert one.embedding_parameters(10) == 10 * one.vocabulary


def test_what_was_learned_stays_when_the_learner_goes_on() -> None:
    words = sums.ranked(
        next(count.count(texts_of(*(f"{number} words and words {number}" for number in range(400))), pattern("cl100k")))
    )
    learner = Learner(words, most=500)
    learner.grow(300)
    before = learner.learned()
    learner.grow(500)
    assert before == learn(words, vocabulary=300) != learner.learned() == learn(words, vocabulary=500)


@pytest.fixture
def packed(make_corpus: Callable[..., Work]) -> Work:
    """A corpus with a tokenizer and tokens, some of which are in the validation split."""
    texts = {
        f"{source}/{number}": [f"{source} text {number} {row}, 中文 <|endoftext|>" for row in range(40)]
        for source in "ab"
        for number in range(3)
    }
    work = make_corpus({**texts, "b/3": ["", "one more"]})
    made = perform(TokenizerStep(config=TokenizerConfig(vocabulary=300)), work, downstream=()).manifest
    work = Work(root=work.root, before=(*work.before, made), executor=work.executor)
    config = PackConfig(shard_tokens=1_000, validation_fraction=0.3)
    perform(PackStep(config=config, encoder=load(work.root / FILE)), work, downstream=())
    return work


def test_a_corpus_is_measured_as_its_texts_are(packed: Work) -> None:
    encoder = load(packed.root / FILE)
    batches = []
    for view in views(packed.root, packed.before[:1]):
        texts = view.read().table["text"].to_pylist()
        batches.append((texts, [view.source] * len(texts)))
    assert report.measure(so_far(packed.root)) == measured(encoder, batches)


def test_another_tokenizer_is_refused(packed: Work) -> None:
    path = packed.root / FILE
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(StaleInput, match="was packed with the tokenizer"):
        report.measure(so_far(packed.root))


def test_the_block_on_the_page(packed: Work) -> None:
    found = report.measure(so_far(packed.root))
    write_report(so_far(packed.root), found)
    html = (packed.root / "report.html").read_text()
    for words in ("Vocabulary</h3>", "Compression by source", "Tokens by script", "The longest tokens that occur"):
        assert words in html
    assert f"{found.total.tokens:,}" in html
    write_report(so_far(packed.root))
    assert "Tokens by script" not in (packed.root / "report.html").read_text()


def test_hostile_tokens_stay_text(packed: Work) -> None:
    hostile = Token(data="<script>\u202e\x00 \u00e9".encode() + b"\xff", uses=1)
    part = TextPart(documents=1, bytes=10, words=1, tokens=2, single=1)
    found = VocabularyStatistics(
        ids=3, tokens=2, unused=0, rare=1, rare_below=10, total=part, parts={"source": {"<b>": part}}, scripts=(),
        longest=(hostile,), longest_unused=(),
    )  # fmt: skip
    html = page.render(so_far(packed.root), found)
    assert html.count("<script>") == 1, "the page's own"
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "U+202E" in html
    assert r"\xff" in html


def test_no_arrays_of_other_types(encoder: FastEncoder) -> None:
    assert sizes_of(pa.array(["é"], pa.string())).tolist() == [2]
    assert words_of(pa.array(["a  b\u3000c"], pa.large_string())).dtype == np.int64


def test_other_sizes_on_the_page(packed: Work) -> None:
    loaded = so_far(packed.root)
    tokenizer = loaded.require(TOKENIZER)
    sizes = [
        {"vocabulary": 8_192, "tokens": 300, "bytes_per_token": 2.5},
        {"vocabulary": 9_000, "tokens": 200, "bytes_per_token": 3.75},
    ]
    swept = dataclasses.replace(tokenizer, facts={**tokenizer.facts, "sweep": sizes})
    steps = tuple(swept if made.stage == TOKENIZER else made for made in loaded.steps)
    html = page.render(dataclasses.replace(loaded, steps=steps))
    for words in ("Vocabularies of other sizes", "8,192", "6,291,456", "33,554,432", "150.0", "3.75"):
        assert words in html
