"""WordPiece: the same vocabulary in every process, the library's ids and text, and every loss counted."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import facts
from tokenmill.pipeline.config import PackConfig, TokenizerConfig
from tokenmill.pipeline.stages.step import Done, Work, perform
from tokenmill.pipeline.tokens import check
from tokenmill.pipeline.tokens.facts import PackFacts, TokenizerFacts, Unknown
from tokenmill.pipeline.tokens.pack.step import PackStep
from tokenmill.tokenizer import front, train_wordpiece
from tokenmill.tokenizer.count import count
from tokenmill.tokenizer.encode import FILE, PROBE, FastEncoder, load, of_corpus
from tokenmill.tokenizer.evaluate import Usage, sizes_of, words_of
from tokenmill.tokenizer.formats import describe
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.pretokenize import WHITESPACE_AND_PUNCTUATION
from tokenmill.tokenizer.sums import ranked
from tokenmill.tokenizer.wordpiece import LONGEST_WORD, SPECIAL

MakeCorpus = Callable[..., Work]
TEXTS = [
    "The cat sat on the mat, and the dog sat beside the cat.\n\n",
    "Don't sit on the naïve cat; a dog doesn't.\n",
    "中文的文本和文字, mixed with words: cats, dogs, mats.",
    "[MASK] and <|endoftext|> are text here.",
] * 5


def words_in(texts: Sequence[str]) -> Words:
    (table,) = count(pa.array(texts, pa.large_string()), WHITESPACE_AND_PUNCTUATION)
    return ranked(table)


def config_of(**settings: Any) -> TokenizerConfig:
    return TokenizerConfig.model_validate({"kind": "wordpiece", "vocabulary": 300, **settings})


def learned(texts: Sequence[str], **settings: Any) -> train_wordpiece.LearnedPieces:
    return train_wordpiece.learn(words_in(texts), config_of(**settings))


@pytest.fixture(scope="module")
def data() -> bytes:
    return learned(TEXTS).data


@pytest.fixture
def encoder(data: bytes, tmp_path: Path) -> FastEncoder:
    (tmp_path / "tokenizer.json").write_bytes(data)
    return load(tmp_path / "tokenizer.json")


def ids_of(encoder: FastEncoder, text: str) -> list[int]:
    return encoder.encode(pa.array([text], pa.large_string()))[0].tolist()


@given(st.lists(st.text() | st.sampled_from(PROBE), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_words_are_counted_as_the_library_cuts_whole_texts(texts: list[str], lowercase: bool, strip_accents: bool) -> None:
    config = config_of(lowercase=lowercase, strip_accents=strip_accents)
    cut = tokenizers.pre_tokenizers.BertPreTokenizer()
    normalizer = tokenizers.normalizers.BertNormalizer(strip_accents=strip_accents, lowercase=lowercase)
    wanted = Counter(word for text in texts for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)))
    found = train_wordpiece._normal(words_in(texts), config)[0] if any(texts) else {}
    assert found == dict(sorted(wanted.items()))


def plain_vocabulary(counts: dict[str, int], size: int, min_frequency: int) -> list[str]:
    """The pieces in plain Python: merge the pair that occurs most often; of several, that of the lowest ids."""
    words = {word: [word[0], *(f"##{one}" for one in word[1:])] for word in counts}
    alphabet = sorted({character for word in counts for character in word})
    vocabulary = [*SPECIAL, *sorted({piece for pieces in words.values() for piece in pieces[1:]}), *alphabet]
    while len(vocabulary) < size:
        ids = {piece: number for number, piece in enumerate(vocabulary)}
        pairs: Counter[tuple[int, int]] = Counter()
        for word, pieces in words.items():
            for first, second in pairwise(pieces):
                pairs[ids[first], ids[second]] += counts[word]
        (first_id, second_id), times = min(pairs.items(), key=lambda item: (-item[1], item[0]), default=((0, 0), 0))
        if times < min_frequency:
            break
        first, second = vocabulary[first_id], vocabulary[second_id]
        made = first + second.removeprefix("##")
        if made not in ids:
            vocabulary.append(made)
        for word, pieces in words.items():
            merged: list[str] = []
            for piece in pieces:
                if merged and (merged[-1], piece) == (first, second):
                    merged[-1] = made
                else:
                    merged.append(piece)
            words[word] = merged
    return vocabulary


@pytest.mark.parametrize("vocabulary", [80, 120, 400])
def test_the_vocabulary_is_that_of_plain_python(vocabulary: int) -> None:
    words = [word for text in TEXTS[:2] for word, _ in tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]
    more = {f"{first}{last}": 7 for first in ("abc", "bca", "cab") for last in ("x", "xy", "yx", "zz")}
    texts = [" ".join(words), *(f"{word} " * times for word, times in more.items())]
    config = config_of().model_copy(update={"vocabulary": vocabulary})
    found = json.loads(train_wordpiece.learn(words_in(texts), config).data)["model"]["vocab"]
    counts = dict(Counter([*words, *(word for word, times in more.items() for _ in range(times))]))
    wanted = plain_vocabulary(counts, vocabulary, 2)
    assert list(found) == wanted
    assert list(found.values()) == list(range(len(wanted)))


def many_ties() -> dict[str, int]:
    """Words of which many pairs occur equally often."""
    return {"".join(chr(97 + (7 * n * n + 3 * k) % 26) for k in range(1 + n % 7)): 2 + n % 2 for n in range(400)}


def test_the_same_text_gives_the_same_file_in_every_process() -> None:
    # The library alone gives another vocabulary in each process.
    code = (
        "from tests.tokenizer.test_wordpiece import learned, many_ties; import hashlib; "
        "texts = [f'{word} ' * times for word, times in many_ties().items()]; "
        "print(hashlib.sha256(learned(texts).data).hexdigest())"
    )
    here = learned([f"{word} " * times for word, times in many_ties().items()]).data
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate()[0].strip() for one in started] == [hashlib.sha256(here).hexdigest()] * 2


def spelled(word: str, vocab: dict[str, int]) -> list[int]:
    """The longest pieces from the left, in plain Python."""
    ids, start = [], 0
    while start < len(word):
        ends = (end for end in range(len(word), start, -1) if ("##" if start else "") + word[start:end] in vocab)
        end = next(ends, None)
        if end is None or len(word) > LONGEST_WORD:
            return [vocab["[UNK]"]]
        ids.append(vocab[("##" if start else "") + word[start:end]])
        start = end
    return ids


def test_ids_are_the_longest_pieces_from_the_left(encoder: FastEncoder) -> None:
    normalizer = tokenizers.normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    vocab = dict(encoder.description.ids)
    for text in [*TEXTS[:4], *PROBE, "sat" * 40, "sat" * 33]:
        cut = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text))
        assert ids_of(encoder, text) == [number for word, _ in cut for number in spelled(word, vocab)], text[:50]


def test_special_tokens_have_the_first_ids_and_never_come_out_of_text(encoder: FastEncoder) -> None:
    assert [encoder.description.ids[name] for name in SPECIAL] == list(range(6))
    assert (encoder.end_of_text, encoder.description.unknown, encoder.exact) == (5, 1, False)
    for name in SPECIAL:
        assert not set(ids_of(encoder, f"a {name} b{name}")) & {0, 2, 3, 4, 5}, name


def test_ids_decode_as_in_the_library_also_piece_by_piece(encoder: FastEncoder, data: bytes) -> None:
    from tokenmill.model.sample import _pieces

    theirs = tokenizers.Tokenizer.from_str(data.decode())
    for text in [*TEXTS[:4], "The unknown ☃ don't, doesn't ? a!"]:
        ids = ids_of(encoder, text)
        wanted = theirs.decode(ids, skip_special_tokens=False)
        assert encoder.decode(ids) == wanted
        for cut in range(len(ids)):
            assert "".join(_pieces(encoder, ids[:cut], iter(ids[cut:]), ())) == wanted
    assert encoder.decode(ids_of(encoder, "Don't  sit\non the ☃.")) == "Don ' t sit on the [UNK]."


def test_what_is_lost_is_counted() -> None:
    text = "abc abd " * 50 + "ab☃ ☃☃ b\x00a\u200dc " + "a" * (LONGEST_WORD + 1)
    made = learned([text], alphabet=4)
    assert made.unknown == Unknown(
        words=104, unknown_words=3, unknown_characters=3, distinct_unknown_characters=1, removed_characters=2
    )
    assert "3 of 104 words (2.885%) are unknown" in made.unknown.said
    # abc and abd are one token each; so are the three unknown words; bac has three.
    assert made.text_tokens == 100 + 3 + 3


@pytest.mark.parametrize(
    ("settings", "text", "wanted"),
    [
        ({}, "Élan", "Élan"),
        ({"lowercase": True}, "Élan", "élan"),
        ({"strip_accents": True}, "Élan", "Elan"),
        ({"lowercase": True, "strip_accents": True}, "Élan", "elan"),
    ],
)
def test_case_and_accents_are_settings(settings: dict[str, bool], text: str, wanted: str) -> None:
    made = front.Tokenizer(learned(["Élan élan Elan elan " * 9], **settings).data, where="here")
    assert made.decode(made.encode(text)[0]) == wanted


def trained(work: Work, **settings: Any) -> Done:
    from tokenmill.tokenizer.step import TokenizerStep

    return perform(TokenizerStep(config=config_of(**settings)), work, downstream=())


def test_a_corpus_is_packed_with_it_and_stands_the_check(make_corpus: MakeCorpus) -> None:
    texts = [*TEXTS, "naïve ☃ ☃ text\x01 of unknown signs"]
    work = make_corpus({"a/0": texts[:9], "b/0": texts[9:]})
    done = trained(work, alphabet=40)
    about = facts(done.manifest, TokenizerFacts)
    assert about.unknown is not None
    assert about.unknown.unknown_words >= 2
    assert about.sweep is None
    encoder = of_corpus(work.root, done.manifest)
    packed = perform(PackStep(config=PackConfig(validation_fraction=0), encoder=encoder), work, downstream=())
    # Bits per byte count the bytes of the text, whatever the ids give back.
    assert PackFacts.of(packed.manifest).text_bytes == sum(len(text.encode()) for text in texts)
    ids, counts = encoder.encode(pa.array(texts, pa.large_string()))
    assert PackFacts.of(packed.manifest).tokens == len(ids) + len(texts)
    assert about.text_tokens == len(ids)
    views = {view.name: view for view in work_views(work)}
    how = {"decode": encoder.decode_bytes, "tokenizer": encoder.fingerprint, "texts": views}
    assert list(check.problems(work.root, **how, encode=encoder.encode)) == []  # type: ignore[arg-type]
    other = learned(["other words than those"]).data
    (work.root / "other.json").write_bytes(other)
    wrong = list(check.problems(work.root, **how, encode=load(work.root / "other.json").encode))  # type: ignore[arg-type]
    assert any("do not give back the text of document" in line for line in wrong)
    usage = Usage.of(encoder.description)
    column = pa.array(texts, pa.large_string())
    usage.add(ids, counts, sizes_of(column), words_of(column), {"source": ["a"] * len(texts)})
    found = usage.summary()
    assert found.lossy
    assert found.total.unknown == found.parts["source"]["a"].unknown == about.unknown.unknown_words
    assert found.tokens == encoder.vocabulary - len(SPECIAL)


def work_views(work: Work) -> Any:
    from tokenmill.pipeline.base.shards import views

    return views(work.root, work.before)


def test_spans_are_the_bytes_of_the_text(encoder: FastEncoder) -> None:
    text = "  naïve\n☃ 中文!"
    spans = encoder.spans(text)
    assert spans.dtype == np.int64
    parts = [text.encode()[start:end].decode() for start, end in spans.tolist()]
    assert "".join(parts) == "naïve☃中文!"
    assert parts[-4:] == ["☃", "中", "文", "!"]


def test_the_source_with_most_text_counts_no_more_than_its_share(make_corpus: MakeCorpus) -> None:
    texts = {"a/0": ["abab " * 1_000], "b/0": ["cdcd " * 10]}
    done = trained(make_corpus(texts), max_source_share=0.5)
    assert facts(done.manifest, TokenizerFacts).unknown == Unknown(
        words=20, unknown_words=0, unknown_characters=0, distinct_unknown_characters=0, removed_characters=0
    )


def test_text_without_words_gives_the_special_tokens_alone() -> None:
    made = learned([" \n\x00"])
    assert (made.tokens, made.text_tokens, made.unknown.words) == (6, 0, 0)
    assert describe(made.data, where="here").vocabulary == 6


def test_a_vocabulary_without_room_is_refused() -> None:
    text = " ".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    with pytest.raises(ConfigError, match=r"vocabulary = 300 has no room for 6 special tokens and 400 characters, 0 of them"):
        learned([text])
    assert learned([text], alphabet=200).tokens == 206


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "wordpiece", "pattern": "gpt2"}, 'pattern is read only with kind = "bpe"'),
        ({"kind": "wordpiece", "digits": 1}, 'digits is read only with kind = "bpe"'),
        ({"lowercase": True}, 'lowercase is read only with kind = "wordpiece"'),
        ({"alphabet": 5}, 'alphabet is read only with kind = "wordpiece"'),
    ],
)
def test_settings_of_the_other_kind_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        front.config_of(**settings)


def test_a_bpe_is_trained_as_before_there_were_kinds() -> None:
    assert set(TokenizerConfig().read) == {
        *("vocabulary", "pattern", "digits", "min_frequency", "max_token_bytes", "max_source_share")
    }


def test_bert_ends_documents_by_its_separator(data: bytes) -> None:
    plain = json.loads(data)
    plain["added_tokens"] = [token for token in plain["added_tokens"] if token["content"] != "<|endoftext|>"]
    found = describe(json.dumps(plain).encode(), where="bert.json")
    assert (found.end_of_text, found.unknown) == (3, 1)


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another mark": (lambda plain: plain["model"].update(continuing_subword_prefix="@@"), "not marked by ##"),
    "no unknown": (lambda plain: plain["model"].update(unk_token="<unk>"), "token of unknown words"),
    "two tokens": (lambda plain: plain["model"]["vocab"].update(cat=1), "an id stands for two tokens"),
    "a huge id": (lambda plain: plain["model"]["vocab"].update(cat=2**40), "its ids are not integers"),
    "another normalizer": (lambda plain: plain.update(normalizer={"type": "NFKC"}), "a normalizer other than BertNormalizer"),
    "another cut": (lambda plain: plain.update(pre_tokenizer={"type": "Whitespace"}), "is not BertPreTokenizer"),
    "endless words": (lambda plain: plain["model"].update(max_input_chars_per_word=10**9), "the longest word that it knows"),
    "no end": (lambda plain: plain.update(added_tokens=plain["added_tokens"][:2]), "no special token that ends a document"),
    "added": (lambda plain: plain["added_tokens"][0].update(special=False), "added tokens that are not special"),
    "no prefix": (lambda plain: plain["model"].pop("continuing_subword_prefix"), "or of WordPiece"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(data: bytes, change: Callable[[dict[str, Any]], object], message: str) -> None:
    plain = json.loads(data)
    change(plain)
    with pytest.raises(ConfigError, match=f"^my.json: .*{message}"):
        describe(json.dumps(plain).encode(), where="my.json")


def test_a_tokenizer_of_python_is_the_same(tmp_path: Path, data: bytes) -> None:
    made = front.train(TEXTS, kind="wordpiece", vocabulary=300, out=tmp_path / "t.json")
    assert made.data == data == (tmp_path / "t.json").read_bytes()
    assert made.decode(made.encode("the cat sat.")[0]) == "the cat sat."
    assert FILE == "tokenizer/tokenizer.json"
