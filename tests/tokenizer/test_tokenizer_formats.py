"""What is accepted as a tokenizer, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import tokenizers

from pipeline.errors import ConfigError
from tokenizer.formats import PATTERNS, byte_alphabet, describe

Plain = dict[str, Any]


def test_the_alphabet_is_that_of_tokenizers() -> None:
    alphabet = byte_alphabet()
    assert set(alphabet) == set(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert sorted(alphabet.values()) == list(range(256))
    decoder = tokenizers.decoders.ByteLevel()
    for character, byte in alphabet.items():
        assert byte >= 128 or decoder.decode([character]) == chr(byte)
    text = "".join(map(chr, range(0x80, 0x800)))
    pieces = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    assert bytes(alphabet[character] for piece, _ in pieces for character in piece) == text.encode()


def test_a_description(small: str) -> None:
    found = describe(small.encode(), where="here")
    vocab = json.loads(small)["model"]["vocab"]
    assert found.fingerprint == hashlib.sha256(small.encode()).hexdigest()
    assert (found.vocabulary, found.end_of_text, found.pattern, found.special) == (len(vocab), 0, "gpt2", ("<|endoftext|>",))
    assert found.tokens[0] == b"<|endoftext|>"
    assert found.tokens[vocab["A"]] == b"A"
    assert found.tokens[vocab["Ġthe"]] == b" the"


def test_ids_with_a_hole(small_plain: Plain) -> None:
    small_plain["model"]["vocab"]["zz"] = 1000
    found = describe(json.dumps(small_plain).encode(), where="here")
    assert (found.vocabulary, found.tokens[999], found.tokens[1000]) == (1001, None, b"zz")


def sequence(regex: str, **changes: Any) -> Plain:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False, **changes}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


@pytest.mark.parametrize(("regex", "name"), PATTERNS.items(), ids=PATTERNS.values())
def test_known_patterns(small_plain: Plain, encoder_of: Callable[[Plain], Any], regex: str, name: str) -> None:
    small_plain["pre_tokenizer"] = sequence(regex)
    assert describe(json.dumps(small_plain).encode(), where="here").pattern == name
    encoder = encoder_of(small_plain)
    assert encoder.engine == "fastokens", "one of its fast patterns"
    assert encoder.decode(encoder.encode(_texts("It's 12345 o'clock\n\n  now"))[0].tolist()) == "It's 12345 o'clock\n\n  now"


def _texts(*texts: str) -> Any:
    import pyarrow as pa

    return pa.array(texts, pa.large_string())


def add_token(plain: Plain, **changes: Any) -> None:
    plain["added_tokens"].append({**plain["added_tokens"][0], "id": 900, "content": "<x>", **changes})


REFUSED: dict[str, tuple[Callable[[Plain], object], str]] = {
    "another model": (lambda plain: plain["model"].update(type="WordPiece"), "its model is WordPiece"),
    "dropout": (lambda plain: plain["model"].update(dropout=0.1), "its model has dropout=0.1"),
    "unknown token": (lambda plain: plain["model"].update(unk_token="A"), "its model has unk_token='A'"),
    "normalizer": (lambda plain: plain.update(normalizer={"type": "NFC"}), "it has a normalizer"),
    "added space": (lambda plain: plain["pre_tokenizer"].update(add_prefix_space=True), "its pre-tokenizer is not one of gpt2"),
    "no pattern": (lambda plain: plain["pre_tokenizer"].update(use_regex=False), "its pre-tokenizer is not one of"),
    "hostile pattern": (lambda plain: plain.update(pre_tokenizer=sequence("(a+)+$")), "its pre-tokenizer is not one of"),
    "inverted": (lambda plain: plain.update(pre_tokenizer=sequence(next(iter(PATTERNS)), invert=True)), "is not one of"),
    "no pre-tokenizer": (lambda plain: plain.update(pre_tokenizer=None), "is no tokenizer.json of a byte-level BPE"),
    "no end of text": (lambda plain: plain["added_tokens"].clear(), r"it has no special token <\|endoftext\|>"),
    "stripping": (lambda plain: add_token(plain, lstrip=True), "its added tokens strip"),
    "no byte": (lambda plain: plain["model"]["vocab"].pop("Ā"), "1 of the 256 bytes are not in its vocabulary"),
    "no bytes": (lambda plain: plain["model"]["vocab"].update({"中": 800}), "its token '中' is not made of bytes"),
    "huge id": (lambda plain: plain["model"]["vocab"].update(zz=2**30), "its ids are not integers from 0"),
    "negative id": (lambda plain: plain["model"]["vocab"].update(zz=-1), "its ids are not integers from 0"),
    "no vocabulary": (lambda plain: plain["model"].pop("vocab"), "is no tokenizer.json of a byte-level BPE"),
    "strange vocabulary": (lambda plain: plain["model"].update(vocab=[1]), "is no tokenizer.json of a byte-level BPE"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(small_plain: Plain, change: Callable[[Plain], object], message: str) -> None:
    change(small_plain)
    with pytest.raises(ConfigError, match=f"^my.json: .*{message}"):
        describe(json.dumps(small_plain).encode(), where="my.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"model": 1}', b"\x80\x04."])
def test_what_is_no_tokenizer(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^my.json: is no tokenizer.json"):
        describe(data, where="my.json")


def test_ids_that_the_engines_would_number_otherwise(small_plain: Plain, encoder_of: Callable[[Plain], Any]) -> None:
    add_token(small_plain)
    with pytest.raises(ConfigError, match=r"its added tokens do not have the ids that follow its vocabulary"):
        _ = encoder_of(small_plain).engine


def test_a_file_that_the_engines_refuse(small_plain: Plain, encoder_of: Callable[[Plain], Any]) -> None:
    small_plain["model"]["merges"].append(["no such token", "A"])
    with pytest.raises(ConfigError, match=r"tokenizer.json: cannot be used"):
        _ = encoder_of(small_plain).engine
