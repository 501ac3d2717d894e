"""Encoding: the ids of `tokenizers`, the bytes of the text, and special tokens that stay text."""

from __future__ import annotations

import logging
import pickle
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.base.errors import CorruptFile, InputError, NotBuilt
from tokenmill.tokenizer import encode
from tokenmill.tokenizer.encode import PROBE, FastEncoder, load

HOSTILE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\x00\x1f\x7f\x85\xa0\ud7ff\ue000\ufeff\ufffd\uffff\U0010ffff\u0301\u200d\u202e\u3000 \n\r\t'’<|>"),
        st.sampled_from("中文𠀀한é👩‍👧ßİ٣½"),
    ),
    max_size=60,
) | st.lists(st.sampled_from(["<|endoftext|>", " ", "'S", "\r\n", "the", "<|", "|>", "endoftext"]), max_size=8).map("".join)


def judge(encoder: FastEncoder) -> tokenizers.Tokenizer:
    model = tokenizers.Tokenizer.from_file(str(encoder.path))
    model.encode_special_tokens = True
    return model


def texts_of(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


@settings(max_examples=200, deadline=None)
@given(st.lists(HOSTILE, max_size=5))
def test_hostile_text_comes_back_and_ids_are_the_judges(encoder: FastEncoder, texts: list[str]) -> None:
    ids, counts = encoder.encode(texts_of(*texts))
    assert (ids.dtype, counts.dtype) == (np.uint32, np.int64)
    assert len(counts) == len(texts)
    pieces = np.split(ids, np.cumsum(counts)[:-1]) if texts else []
    for text, piece in zip(texts, pieces, strict=True):
        assert encoder.decode_bytes(piece.tolist()) == text.encode()
        assert encoder.decode(piece) == text
        assert piece.tolist() == judge(encoder).encode(text, add_special_tokens=False).ids
    assert encoder.end_of_text not in ids


def test_every_code_point_comes_back(encoder: FastEncoder) -> None:
    points = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    texts = ["a" + "".join(points[start : start + 4096]) for start in range(0, len(points), 4096)]
    ids, counts = encoder.encode(texts_of(*texts))
    assert counts.sum() == len(ids)
    assert encoder.decode_bytes(ids.tolist()) == "".join(texts).encode()


def test_special_tokens_in_text_are_text(encoder: FastEncoder) -> None:
    ids, counts = encoder.encode(texts_of("<|endoftext|>", "a <|endoftext|><|endoftext|>"))
    assert encoder.end_of_text not in ids
    assert encoder.decode(ids) == "<|endoftext|>a <|endoftext|><|endoftext|>"
    assert min(counts) > 1


def test_added_tokens_that_are_not_special_keep_their_ids(
    small_plain: dict[str, Any], encoder_of: Callable[[dict[str, Any]], FastEncoder]
) -> None:
    last = len(small_plain["model"]["vocab"])
    end = small_plain["added_tokens"][0]
    small_plain["added_tokens"].append({**end, "id": last, "content": "    ", "special": False})
    small_plain["added_tokens"].append({**end, "id": last + 1, "content": "<|user|>"})
    encoder = encoder_of(small_plain)
    ids, _ = encoder.encode(texts_of("a    b<|user|>"))
    assert last in ids
    assert last + 1 not in ids
    assert encoder.decode(ids) == "a    b<|user|>"


def test_settings_of_the_file_cut_nothing(
    small_plain: dict[str, Any], encoder_of: Callable[[dict[str, Any]], FastEncoder]
) -> None:
    small_plain["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    small_plain["padding"] = {
        "strategy": {"Fixed": 50},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    encoder = encoder_of(small_plain)
    ids, _ = encoder.encode(texts_of("many more than three tokens"))
    assert encoder.decode(ids) == "many more than three tokens"


def test_nothing(encoder: FastEncoder) -> None:
    for texts in ([], [""], ["", ""]):
        ids, counts = encoder.encode(texts_of(*texts))
        assert ids.tolist() == []
        assert counts.tolist() == [0] * len(texts)
    assert encoder.decode([]) == ""


def test_a_slice_of_an_array(encoder: FastEncoder) -> None:
    ids, _ = encoder.encode(texts_of("a", "b", "c")[1:2])
    assert encoder.decode(ids) == "b"


def test_unfinished_characters_and_unknown_ids(encoder: FastEncoder) -> None:
    first, *_ = encoder.encode(texts_of("\U0001f600"))[0]
    assert encoder.decode([int(first)]) == "\ufffd"
    for number in (-1, encoder.vocabulary):
        with pytest.raises(InputError, match=f"id {number} is not in the vocabulary"):
            encoder.decode([number])


def test_it_travels_as_a_path_and_a_hash(encoder: FastEncoder) -> None:
    assert encoder.engine == "fastokens"
    sent = pickle.dumps(encoder)
    assert len(sent) < 1000
    assert pickle.loads(sent) == encoder  # noqa: S301 -- made two lines above


def test_another_file_is_noticed(small: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(small)
    encoder = load(path)
    path.write_text(small + "\n")
    with pytest.raises(CorruptFile, match=f"holds the tokenizer {load(path).fingerprint}, fingerprint='{encoder.fingerprint}'"):
        encoder.encode(texts_of("a"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="tokenizer cannot be read"):
        load(tmp_path / "tokenizer.json")


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], bool]], None]:
    """Makes the fast engine give a wrong first id for the texts that a rule names."""
    right = encode.Models._fast_flat

    def arm(rule: Callable[[str], bool]) -> None:
        def flat(models: encode.Models, texts: list[str]) -> encode.Flat:
            ids, counts = right(models, texts)
            ids = ids.copy()
            ids[: 1 if any(rule(text) for text in texts) else 0] += 1
            return ids, counts

        monkeypatch.setattr(encode.Models, "_fast_flat", flat)
        encode._load_models.cache_clear()

    yield arm
    encode._load_models.cache_clear()


def test_where_the_probe_differs_the_judge_encodes(encoder: FastEncoder, wrong: Callable[..., None]) -> None:
    wrong(lambda text: text in PROBE[3:4])
    assert encoder.engine == "tokenizers"
    texts = ["the", "", "中文 <|endoftext|>"] * 200
    ids, counts = encoder.encode(texts_of(*texts))
    wanted = [judge(encoder).encode(text, add_special_tokens=False).ids for text in texts]
    assert ids.tolist() == [number for one in wanted for number in one]
    assert counts.tolist() == [len(one) for one in wanted]


def test_where_a_batch_differs_the_judge_encodes_it(
    encoder: FastEncoder, wrong: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    wrong(lambda text: text == "secret")
    assert encoder.engine == "fastokens"
    with caplog.at_level(logging.WARNING):
        ids, _ = encoder.encode(texts_of("secret", "b"))
    assert encoder.decode(ids) == "secretb"
    assert [record.getMessage() for record in caplog.records] == [
        "fastokens and tokenizers differ on a batch of 2 texts; tokenizers encodes it"
    ]
    caplog.clear()
    encoder.encode(texts_of("a", "b"))
    assert not caplog.records


def test_ids_of_a_part_of_a_character(encoder: FastEncoder) -> None:
    first, *_ = encoder.encode(texts_of("\U0001f600"))[0].tolist()
    assert encoder.decode([first]) == "\ufffd"
    with pytest.raises(InputError, match=f"id {encoder.vocabulary} is not in the vocabulary"):
        encoder.decode([encoder.vocabulary])


def test_a_text_that_is_too_long(encoder: FastEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "LONGEST_TEXT_BYTES", 10)
    assert encoder.decode(encoder.encode(texts_of("é" * 5))[0]) == "é" * 5
    with pytest.raises(InputError, match="a text of 12 bytes is longer than can be encoded"):
        encoder.encode(texts_of("a", "é" * 6))


LONG = {
    "letters": "abcdefghij",
    "one letter": "x",
    "white space": " ",
    "line breaks": "\n ",
    "digits": "0123456789",
    "中": "中文",
}


@pytest.mark.parametrize("kind", LONG)
def test_one_long_pretoken(encoder: FastEncoder, kind: str) -> None:
    """Twice the length takes about twice the time; squared time would be seconds at the shorter one."""
    text = "".join(random.Random(4).choices(LONG[kind], k=300_000))
    begun = time.process_time()
    ids, _ = encoder.encode(texts_of(text))
    assert time.process_time() - begun < 50
    assert ids.tolist() == judge(encoder).encode(text, add_special_tokens=False).ids
    assert encoder.decode(ids) == text


@pytest.mark.soak
@pytest.mark.parametrize("kind", LONG)
def test_the_longest_text(encoder: FastEncoder, kind: str) -> None:
    size = encode.LONGEST_TEXT_BYTES // 4 // len(LONG[kind][0].encode())
    text = "".join(random.Random(4).choices(LONG[kind], k=size))
    ids, _ = encoder.encode(texts_of(text))
    assert encoder.decode(ids) == text
