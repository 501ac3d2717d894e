"""Words and passages: the kernels give what their plain twins give, on hostile text too."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.dedup_oracles import HOSTILE, hash_word
from tests.stages.decontamination import oracle
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.kernels.decontamination import passages
from tokenmill.pipeline.kernels.decontamination import words as kernel
from tokenmill.pipeline.kernels.hashing import PADDING_BYTES
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.normalise import GROWTH
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages.decontamination import index
from tokenmill.pipeline.stages.decontamination.hits import found
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig

TABLE = tables(kernel.FOLDING)


def read(text: str) -> list[tuple[int, int, int]]:
    data, offsets = utf8(pa.array([text], pa.large_string()))
    size = len(data)
    starts, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    scratch, words = np.empty(GROWTH * size + PADDING_BYTES, np.uint8), np.empty(size, np.uint64)
    count, _ = kernel.read(data, offsets[0], offsets[1], TABLE, scratch, words, starts, ends)
    return list(zip(words[:count].tolist(), starts[:count].tolist(), ends[:count].tolist(), strict=True))


ESCAPES = st.lists(
    st.sampled_from(
        ["\\", "n", "t", "u", "\\n", "\\u00e9", "\\u0041", "\\ud83d", "\\uFDFA", "\\u9996", "\\u00", "\\u00ad", "\\U", "é"]
    ),
    max_size=6,
).map("".join)


@settings(max_examples=150)
@given(st.lists(st.one_of(HOSTILE, ESCAPES), max_size=4).map("".join))
def test_words_are_those_of_the_oracle(text: str) -> None:
    assert read(text) == [(hash_word(word.encode()), start, end) for word, start, end in oracle.words(text)]


def test_spellings_of_a_sentence_have_equal_words() -> None:
    def words(text: str) -> list[int]:
        return [word for word, _, _ in read(text)]

    plain = words("What is the capital of Peru, in 1990? A city.")
    assert plain == words("WHAT  is\nthe\u00a0“capital” of Péru — in ١٩٩٠\uff1f (A) ci\u00adty")
    assert plain == words(
        "\uff37\uff48\uff41\uff54 is the capital of Peru\u060c in \uff11\uff19\uff19\uff10\u061f A city\u3002"
    )
    assert words("首都はどこですか。") == words("首都 は どこ ですか?")
    assert plain == words(r'"What is the\ncapital\tof P\u00e9ru,\r\nin 19\u06f90? \"A\" city\ud83d\ude00."')
    assert words("首都はどこですか") == words(r"\u9996\u90FD\u306f\u3069\u3053\u3067\u3059\u304b")
    assert words(r"a\u12") == words("a u12") != words(r"a\u0012")
    assert words("x+1=2") == words("x + 1 \uff1d 2")


def index_of(items: list[str], folder: Path) -> tuple[index.Index, DecontaminationConfig]:
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps({"text": item}) + "\n" for item in items))
    config = DecontaminationConfig.model_validate({"sets": {"set": {"path": str(path)}}})
    return index.load(config), config


@pytest.mark.parametrize("seed", range(12))
def test_passages_are_those_of_the_oracle(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    alphabet = [f"w{number}" for number in range(draw.choice((3, 12, 60)))]
    items = [" ".join(draw.choices(alphabet, k=draw.randint(4, 30))) for _ in range(draw.choice((2, 8)))]

    def document() -> str:
        parts = []
        for _ in range(draw.randint(1, 6)):
            words = draw.choice(items).split()
            for _ in range(draw.randint(0, 2)):
                words[draw.randrange(len(words))] = draw.choice(("other", "w1", "w2 w3"))
            parts.append(" ".join(words[draw.randint(0, 3) :] + draw.choices(alphabet, k=draw.randint(0, 9))))
        return ", ".join(parts)

    documents = [document() for _ in range(8)]
    known, config = index_of(items, tmp_path)
    wanted = []
    for row, text in enumerate(documents):
        placed = oracle.words(text)
        for number, one in enumerate(oracle.sought([[item] for item in items])):
            if sum(one.weights):
                for left, right, share in oracle.passages([word.spelled for word in placed], one, 0.5):
                    wanted.append((row, number, placed[left].start, placed[right].end, round(share, 4)))
    rows = []
    for row, hits in enumerate(found(pa.array(documents, pa.large_string()), known, config)["hits"].to_pylist()):
        for hit in hits:
            # A comma behind the passage belongs to it.
            passage = documents[row].encode()[hit["start"] : hit["end"]].rstrip(b",")
            rows.append((row, int(hit["item"]), hit["start"], hit["start"] + len(passage), hit["share"]))
    assert sorted(rows) == sorted(wanted)
    assert len(rows) > 3


def test_the_published_index_is_the_index(tmp_path: Path) -> None:
    known, config = index_of(["one two three four five six seven", "two three four five six", "too short"], tmp_path)
    items = pa.table({"set": ["set"] * 3, "item": list(known.ids)})
    again = index.thawed(index.frozen(known), items, known.sets, config.ngram_words)
    assert again.ids == known.ids
    for name in ("set_of", "item_of", "words"):
        assert np.array_equal(getattr(again, name), getattr(known, name)), name
    for name, before, after in zip(known.lookup._fields, known.lookup, again.lookup, strict=True):
        assert np.array_equal(before, after), name
        assert before.dtype == after.dtype, name
    assert known.sought().tolist() == [True, True, False]


def test_words_that_stand_in_many_items_do_not_count(tmp_path: Path) -> None:
    asked = "which of the following statements is the correct one"
    items = [f"{asked} about a{number} b{number} c{number} d{number}" for number in range(index.MOST_ITEMS + 1)]
    known, config = index_of(items, tmp_path)
    # The four words of each item, and those that share an n-gram with them.
    assert known.words.max() < 10
    scores = found(pa.array([asked, f"{asked} about a7 b7 c7 d7 or so"], pa.large_string()), known, config)
    assert [[hit["item"] for hit in hits] for hits in scores["hits"].to_pylist()] == [[], ["7"]]


def test_no_set_and_empty_texts_find_nothing() -> None:
    config = DecontaminationConfig()
    known = index.load(config)
    scores = found(pa.array(["", "some text of several words"], pa.large_string()), known, config)
    assert scores["coverage"].to_pylist() == [0.0, 0.0]
    assert passages.find(*utf8(pa.array([], pa.large_string())), TABLE, known.lookup, 5, 0.5)[0].tolist() == []


@pytest.mark.parametrize(("items", "said"), [([], "0 items"), (["a b", "", "1 2 3"], "3 items"), (["?!"], "1 item")])
def test_a_set_in_which_nothing_is_sought_is_refused(items: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"has {said}, and none can be sought"):
        index_of(items, tmp_path)
