"""What is accepted as a tokenizer, and what is refused."""

from __future__ import annotations

import hashlib
import json
import random
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tokenizers

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.tokenizer.description import LARGEST_FILE_BYTES
from tokenmill.tokenizer.encode import Models, load
from tokenmill.tokenizer.formats import STEPS, byte_alphabet, describe
from tokenmill.tokenizer.pretokenize import PATTERNS, pattern

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


KNOWN = next(iter(PATTERNS))
NOT_KNOWN = "its pre-tokenizer is not made of known patterns"
LEVEL: Plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def steps(*pre_tokenizers: Plain) -> Plain:
    return {"type": "Sequence", "pretokenizers": list(pre_tokenizers)}


def sequence(regex: str, **changes: Any) -> Plain:
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False, **changes}
    return steps(split, LEVEL)


@pytest.mark.parametrize(("regex", "name"), PATTERNS.items(), ids=PATTERNS.values())
def test_known_patterns(small_plain: Plain, encoder_of: Callable[[Plain], Any], regex: str, name: str) -> None:
    small_plain["pre_tokenizer"] = sequence(regex)
    assert describe(json.dumps(small_plain).encode(), where="here").pattern == name
    encoder = encoder_of(small_plain)
    assert encoder.engine == "fastokens", "one of its fast patterns"
    assert encoder.decode(encoder.encode(_texts("It's 12345 o'clock\n\n  now"))[0].tolist()) == "It's 12345 o'clock\n\n  now"


IN_USE: dict[str, tuple[Plain, str]] = {
    "StarCoder": (steps({"type": "Digits", "individual_digits": True}, {**LEVEL, "use_regex": True}), "digits + gpt2"),
    "Falcon": (
        steps(
            {"type": "Punctuation", "behavior": "Contiguous"},
            {**LEVEL, "use_regex": True},
            {"type": "Digits", "individual_digits": False},
            {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": False},
        ),
        "punctuation + gpt2 + digits + three digits",
    ),
    "DeepSeek": (
        steps(
            *(
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
                for regex, name in STEPS.items()
                if name in ("1 to 3 digits", "Chinese and Japanese", "deepseek")
            ),
            LEVEL,
        ),
        "1 to 3 digits + Chinese and Japanese + deepseek",
    ),
    "inverted": (sequence(KNOWN, behavior="Removed", invert=True), PATTERNS[KNOWN]),
    "line breaks as they are": (
        sequence(pattern("llama3").regex.replace(r"\r", "\r").replace(r"\n", "\n")),
        PATTERNS[pattern("llama3").regex],
    ),
}


@pytest.mark.parametrize(("pre", "name"), IN_USE.values(), ids=IN_USE)
def test_sequences_of_steps(
    small_plain: Plain, encoder_of: Callable[[Plain], Any], pre: Plain, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    small_plain["pre_tokenizer"] = pre
    encoder = encoder_of(small_plain)
    text = "It's 12345 o'clock\n\n  now: 日本語のテキスト, don't"
    ids, _ = encoder.encode(_texts(text))
    judge = tokenizers.Tokenizer.from_str(json.dumps(small_plain))
    assert encoder.description.pattern == name
    assert ids.tolist() == judge.encode(text, add_special_tokens=False).ids
    assert encoder.decode(ids) == text
    assert encoder.engine == ("tokenizers" if "punctuation" in name else "fastokens")
    assert ("fastokens cannot use it" in caplog.text) == ("punctuation" in name)


def test_a_pattern_of_the_users_own(small_plain: Plain, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    small_plain["pre_tokenizer"] = sequence(r"\w+|\s+|[^\w\s]+")
    path.write_text(json.dumps(small_plain))
    with pytest.raises(ConfigError, match=NOT_KNOWN):
        load(path)
    encoder = load(path, r"\w+|\s+|[^\w\s]+")
    assert encoder.description.pattern == "own"
    assert encoder.decode(encoder.encode(_texts("one, two"))[0]) == "one, two"
    with pytest.raises(ConfigError, match=NOT_KNOWN):
        load(path, r"\w+")


@pytest.mark.parametrize("engine", ["fastokens", "tokenizers"])
def test_a_pattern_that_gives_up(small_plain: Plain, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Models, "_same", lambda *_: engine == "fastokens")
    path = tmp_path / "tokenizer.json"
    small_plain["pre_tokenizer"] = sequence("(q+)+$")
    path.write_text(json.dumps(small_plain))
    encoder = load(path, "(q+)+$")
    assert encoder.engine == engine
    begun = time.process_time()
    with pytest.raises(InputError, match="the pattern of the tokenizer gives up"):
        encoder.encode(_texts("q" * 100 + "!"))
    assert time.process_time() - begun < 50


def test_normal_form_c(small_plain: Plain, encoder_of: Callable[[Plain], Any]) -> None:
    """As in Qwen's and GPT-NeoX's files: what comes back is the text's NFC."""
    small_plain["normalizer"] = {"type": "NFC"}
    encoder = encoder_of(small_plain)
    text = "e\u0301 \u212b \u1100\u1161"
    assert encoder.description.nfc
    assert encoder.decode(encoder.encode(_texts(text))[0]) == unicodedata.normalize("NFC", text) != text


def test_the_end_of_text_by_other_names(small_plain: Plain) -> None:
    last = len(small_plain["model"]["vocab"])
    small_plain["added_tokens"][0]["content"] = "<|other|>"
    small_plain["model"]["vocab"]["<|other|>"] = small_plain["model"]["vocab"].pop("<|endoftext|>")
    add_token(small_plain, id=last, content="</s>")
    assert describe(json.dumps(small_plain).encode(), where="here").end_of_text == last


def test_an_unknown_token_is_of_no_use(small_plain: Plain, encoder_of: Callable[[Plain], Any]) -> None:
    small_plain["model"].update(unk_token="<|endoftext|>", fuse_unk=True, byte_fallback=True)
    encoder = encoder_of(small_plain)
    assert encoder.decode(encoder.encode(_texts("\x00 中\U0010ffff"))[0]) == "\x00 中\U0010ffff"


def _texts(*texts: str) -> pa.Array:
    return pa.array(texts, pa.large_string())


def add_token(plain: Plain, **changes: Any) -> None:
    plain["added_tokens"].append({**plain["added_tokens"][0], "id": 900, "content": "<x>", **changes})


def merge(plain: Plain, *parts: str) -> None:
    plain["model"]["merges"].append(list(parts))


REFUSED: dict[str, tuple[Callable[[Plain], object], str]] = {
    "another model": (lambda plain: plain["model"].update(type="Unigram"), "its model is 'Unigram'"),
    "dropout": (lambda plain: plain["model"].update(dropout=0.1), "its model has dropout=0.1"),
    "normalizer": (lambda plain: plain.update(normalizer={"type": "Lowercase"}), "it has a normalizer other than NFC"),
    "added space": (lambda plain: plain["pre_tokenizer"].update(add_prefix_space=True), NOT_KNOWN),
    "no pattern": (lambda plain: plain["pre_tokenizer"].update(use_regex=False), NOT_KNOWN),
    "catastrophic pattern": (lambda plain: plain.update(pre_tokenizer=sequence("(a+)+$")), NOT_KNOWN),
    "huge pattern": (lambda plain: plain.update(pre_tokenizer=sequence("(a|b)*" * 1_700_000)), NOT_KNOWN),
    "no regular expression": (lambda plain: plain.update(pre_tokenizer=sequence("(((")), NOT_KNOWN),
    "removing": (lambda plain: plain.update(pre_tokenizer=sequence(KNOWN, behavior="Removed")), NOT_KNOWN),
    "two byte levels": (lambda plain: plain.update(pre_tokenizer=steps(LEVEL, LEVEL)), NOT_KNOWN),
    "no byte level": (
        lambda plain: plain.update(pre_tokenizer=steps({"type": "Digits", "individual_digits": True})),
        NOT_KNOWN,
    ),
    "white space": (lambda plain: plain.update(pre_tokenizer=steps({"type": "Whitespace"}, LEVEL)), NOT_KNOWN),
    "no pre-tokenizer": (lambda plain: plain.update(pre_tokenizer=None), "is no tokenizer.json of a byte-level BPE"),
    "no end of text": (lambda plain: plain["added_tokens"].clear(), r"it has no special token that ends a document"),
    "stripping": (lambda plain: add_token(plain, lstrip=True, special=False), "its added tokens strip"),
    "no byte": (lambda plain: plain["model"]["vocab"].pop("Ā"), "1 of the 256 bytes are not in its vocabulary"),
    "no bytes": (lambda plain: plain["model"]["vocab"].update({"中": 800}), "its token '中' is not made of bytes"),
    "half a character": (lambda plain: plain["model"]["vocab"].update({"\ud800": 800}), "is not made of bytes"),
    "huge id": (lambda plain: plain["model"]["vocab"].update(zz=2**30), "its ids are not integers from 0"),
    "negative id": (lambda plain: plain["model"]["vocab"].update(zz=-1), "its ids are not integers from 0"),
    "true as an id": (lambda plain: plain["model"]["vocab"].update(zz=True), "its ids are not integers from 0"),
    "fraction as an id": (lambda plain: plain["model"]["vocab"].update(zz=800.0), "its ids are not integers from 0"),
    "an id twice": (lambda plain: plain["model"]["vocab"].update(zz=9), "an id stands for two tokens"),
    "an added id twice": (lambda plain: add_token(plain, id=0), "an id stands for two tokens"),
    "another token's id": (lambda plain: add_token(plain, id=9), "an id stands for two tokens"),
    "another id of a token": (
        lambda plain: add_token(plain, content="A"),
        "an id stands for two tokens, or a token for two ids",
    ),
    "merge of nothing": (lambda plain: merge(plain, "no such token", "A"), "its merge .* uses or makes a token"),
    "merge into nothing": (lambda plain: merge(plain, "A", "Ā"), "its merge .* uses or makes a token"),
    "a merge twice": (lambda plain: merge(plain, *plain["model"]["merges"][0]), "its merge .* appears twice"),
    "merge of one": (lambda plain: merge(plain, "A"), "is no tokenizer.json of a byte-level BPE"),
    "cyclic merges": (
        lambda plain: (plain["model"]["vocab"].update({"": 800}), merge(plain, "", "A"), merge(plain, "A", "")),
        "it has an empty token, so merges could go on for ever",
    ),
    "no merges": (lambda plain: plain["model"].pop("merges"), "is no tokenizer.json of a byte-level BPE"),
    "merges of numbers": (lambda plain: plain["model"].update(merges=[1, 2]), "is no tokenizer.json of a byte-level BPE"),
    "no vocabulary": (lambda plain: plain["model"].pop("vocab"), "is no tokenizer.json of a byte-level BPE"),
    "strange vocabulary": (lambda plain: plain["model"].update(vocab=[1]), "is no tokenizer.json of a byte-level BPE"),
    "vocabulary of lists": (lambda plain: plain["model"]["vocab"].update(zz=[]), "its ids are not integers from 0"),
    "long token": (lambda plain: plain["model"]["vocab"].update({"中" * 1_000_000: 800}), "is not made of bytes"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(small_plain: Plain, change: Callable[[Plain], object], message: str) -> None:
    change(small_plain)
    data = json.dumps(small_plain).encode()
    begun = time.process_time()
    with pytest.raises(ConfigError, match=f"^my.json: .*{message}") as caught:
        describe(data, where="my.json")
    assert time.process_time() - begun < 50
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"model": 1}', b"\x80\x04."])
def test_what_is_no_tokenizer(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^my.json: is no tokenizer.json"):
        describe(data, where="my.json")


def test_ids_that_the_engines_would_number_otherwise(small_plain: Plain, encoder_of: Callable[[Plain], Any]) -> None:
    add_token(small_plain)
    with pytest.raises(ConfigError, match=r"its added tokens do not have the ids that follow its vocabulary"):
        _ = encoder_of(small_plain).engine


def test_keys_that_are_repeated(small: str) -> None:
    data = small.replace('"A":', '"B":').encode()
    with pytest.raises(ConfigError, match=r"^my.json: .*'B' appears twice"):
        describe(data, where="my.json")


def test_a_file_that_is_too_large() -> None:
    with pytest.raises(ConfigError, match=r"^my.json: has 67,108,865 bytes"):
        describe(bytes(LARGEST_FILE_BYTES + 1), where="my.json")


def test_changed_at_random(small: str) -> None:
    """A changed file is refused with a reason, or it encodes and gives text back."""
    rng = random.Random(5)
    texts = pa.array(["The token's 中文 12 \n", "<|endoftext|>"], pa.large_string())
    reasons = []
    for _ in range(150):
        changed = bytearray(small.encode())
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(changed))
            piece = bytes(rng.choices(b'0123456789{}[]":,-ABctrue.e \\ \xc4\xff\x00', k=rng.randrange(3)))
            changed[place : place + rng.randrange(4)] = piece
        try:
            models = Models(describe(bytes(changed), where="my.json"), "my.json")
        except ConfigError as error:
            reasons.append(str(error))
            continue
        ids, _ = models.encode(texts.to_pylist())
        tokens = models.description.tokens
        assert b"".join(tokens[number] or b"?" for number in ids.tolist()).decode() == "".join(texts.to_pylist())
    assert 0 < len(reasons) < 150
    assert all(reason.startswith("my.json: ") for reason in reasons)


def test_a_file_that_the_engines_refuse(small_plain: Plain, encoder_of: Callable[[Plain], Any]) -> None:
    del small_plain["added_tokens"][0]["lstrip"]
    with pytest.raises(ConfigError, match=r"tokenizer.json: cannot be used"):
        _ = encoder_of(small_plain).engine
