"""Tokenizers in the formats of others: the ids that their own tools give, and files that are refused."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tokenizers

from tests.tokenizer.bpe_peers import ranks_of
from tests.tokenizer.test_tokenizer_encode import texts_of
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt
from tokenmill.tokenizer.encode import PROBE, FastEncoder, load
from tokenmill.tokenizer.files import LARGEST_FILE_BYTES, RANKS, read
from tokenmill.tokenizer.pretokenize import pattern

Plain = dict[str, Any]


def write_ranks(path: Path, ranks: Iterable[tuple[bytes, object]]) -> Path:
    path.write_bytes(b"".join(base64.b64encode(token) + f" {rank}\n".encode() for token, rank in ranks))
    return path


def ranks_in(encoder: FastEncoder) -> dict[bytes, int]:
    return ranks_of(encoder.description)


def test_gpt2_files_are_what_tokenizers_makes_of_them(small_plain: Plain, tmp_path: Path) -> None:
    model = small_plain["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(merge) + "\n" for merge in model["merges"]))
    judge = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")))
    judge.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    for path in (tmp_path, tmp_path / "vocab.json"):
        encoder = load(path)
        assert (encoder.vocabulary, encoder.end_of_text, encoder.engine) == (len(model["vocab"]), 0, "fastokens")
        for text in (*PROBE, "the tokens of every document"):
            assert encoder.encode(texts_of(text))[0].tolist() == judge.encode(text, add_special_tokens=False).ids


def test_an_end_of_text_is_added(small_plain: Plain, tmp_path: Path) -> None:
    vocab = {token: number for token, number in small_plain["model"]["vocab"].items() if token != "<|endoftext|>"}
    (tmp_path / "my-encoder.json").write_text(json.dumps(vocab))
    (tmp_path / "my-vocab.bpe").write_text("\n".join(" ".join(merge) for merge in small_plain["model"]["merges"]))
    assert load(tmp_path / "my-encoder.json").end_of_text == len(vocab) + 1


def test_the_folder_of_a_corpus(small: str, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match=r"holds no tokenizer \(tokenizer.json, "):
        load(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(small)
    assert load(tmp_path).vocabulary == len(json.loads(small)["model"]["vocab"])


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "llama3", "qwen2", "o200k"])
def test_ranks_give_the_ids_of_tiktoken(encoder: FastEncoder, tmp_path: Path, name: str) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = ranks_in(encoder)
    ours = load(write_ranks(tmp_path / "my.tiktoken", ranks.items()), name)
    theirs = tiktoken.Encoding("my", pat_str=pattern(name).regex, mergeable_ranks=ranks, special_tokens={})
    assert ours.end_of_text == encoder.vocabulary
    for text in (*PROBE, "the tokens of every document, 中文 and الكلمات"):
        assert ours.encode(texts_of(text))[0].tolist() == theirs.encode_ordinary(text)


def test_any_ranks_give_the_ids_of_tiktoken(tmp_path: Path) -> None:
    """Also where tokens cannot be merged from others, or only by merges of higher ranks."""
    tiktoken = pytest.importorskip("tiktoken")
    rng = random.Random(3)
    for number in range(40):
        tokens = {bytes(rng.choices(b"abc", k=rng.randrange(2, 6))) for _ in range(30)}
        order = [bytes([byte]) for byte in range(256)] + rng.sample(sorted(tokens), len(tokens))
        ranks = {token: rank for rank, token in enumerate(order)}
        ours = load(write_ranks(tmp_path / f"{number}.tiktoken", ranks.items()), "gpt2")
        theirs = tiktoken.Encoding("my", pat_str=pattern("gpt2").regex, mergeable_ranks=ranks, special_tokens={})
        for _ in range(50):
            text = "".join(rng.choices("abc ", k=30))
            assert ours.encode(texts_of(text))[0].tolist() == theirs.encode_ordinary(text), (order[256:], text)


def test_published_ranks_are_known_by_name(encoder: FastEncoder, tmp_path: Path) -> None:
    ranks = ranks_in(encoder)
    made = load(write_ranks(tmp_path / "cl100k_base.tiktoken", ranks.items()))
    assert (made.description.pattern, made.end_of_text, made.vocabulary) == ("cl100k", 100_257, 100_277)
    assert made.decode([100_276]) == "<|endofprompt|>"
    with pytest.raises(ConfigError, match="ranks do not say how text is cut; name the pattern"):
        load(write_ranks(tmp_path / "other.tiktoken", ranks.items()))


LETTERS = [(bytes([byte]), byte) for byte in range(256)]
BAD_RANKS: dict[str, tuple[list[tuple[bytes, object]], str]] = {
    "nothing": ([], "a token or a rank appears twice, or the file or a token is empty"),
    "a rank twice": ([*LETTERS, (b"ab", 7)], "a token or a rank appears twice"),
    "a token twice": ([*LETTERS, (b"a", 300)], "a token or a rank appears twice"),
    "empty": ([*LETTERS, (b"", 300)], "is no file of ranks"),
    "no number": ([*LETTERS, (b"ab", "x")], "is no file of ranks"),
    "huge number": ([*LETTERS, (b"ab", "9" * 10_000)], "is no file of ranks"),
    "high rank": ([*LETTERS, (b"ab", 2**40)], "its ids are not integers from 0 to"),
    "negative": ([*LETTERS, (b"ab", -1)], "its ids are not integers from 0 to"),
    "no byte": (LETTERS[1:], "1 of the 256 bytes are not in its vocabulary"),
    "a long token": ([*LETTERS, (b"a" * 10_000_000, 300)], "its longest token has 10,000,000 bytes"),
    "many tokens": ([*LETTERS, *((b"ab" * 60 + b"%d" % rank, rank) for rank in range(300, 10_000))], "its longest token has"),
}


@pytest.mark.parametrize(("ranks", "message"), BAD_RANKS.values(), ids=BAD_RANKS)
def test_ranks_that_are_refused(tmp_path: Path, ranks: list[tuple[bytes, object]], message: str) -> None:
    path = write_ranks(tmp_path / "bad.tiktoken", ranks)
    begun = time.process_time()
    with pytest.raises(ConfigError, match=message) as caught:
        load(path, "gpt2")
    assert time.process_time() - begun < 50
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"YQ== 1 2\n", b"a", b"not base64 1\n", b"\x80\x04."])
def test_no_ranks_at_all(tmp_path: Path, data: bytes) -> None:
    (tmp_path / f"bad{RANKS}").write_bytes(data)
    with pytest.raises(ConfigError, match="is no file of ranks"):
        load(tmp_path / f"bad{RANKS}", "gpt2")


@pytest.mark.parametrize(
    ("vocab", "merges"),
    [("[]", ""), ("3", ""), ("{}", ""), ("[" * 100_000, ""), ('{"a": "b"}', ""), ('{"a": 1}', "a"), ('{"a": 1}', "\udcff")],
)
def test_gpt2_files_that_are_refused(tmp_path: Path, vocab: str, merges: str) -> None:
    (tmp_path / "vocab.json").write_text(vocab)
    (tmp_path / "merges.txt").write_bytes(merges.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match="are no GPT-2 vocabulary and merges"):
        load(tmp_path)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "my.tiktoken"):
        with open(tmp_path / name, "wb") as handle:
            handle.truncate(LARGEST_FILE_BYTES + 1)
        with pytest.raises(ConfigError, match="a tokenizer has at most"):
            read(tmp_path / name, "gpt2")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="tokenizer cannot be read"):
        load(tmp_path / "none.json")


def test_transformers_reads_what_we_read(encoder: FastEncoder, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    made = load(write_ranks(tmp_path / "my.tiktoken", ranks_in(encoder).items()), "o200k")
    (tmp_path / "tokenizer.json").write_bytes(read(tmp_path / "my.tiktoken", "o200k"))
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), eos_token="<|endoftext|>")
    text = "The tokens' OF every document, 中文\n\n  12345\n"
    ids = made.encode(texts_of(text))[0].tolist()
    assert theirs.encode(text) == ids
    assert theirs.decode(ids) == text
    assert theirs.eos_token_id == made.end_of_text


def llama_cpp(folder: Path, name: str) -> tuple[list[str], list[list[int]]]:
    """llama.cpp's hard strings and their ids."""
    lists = folder / "tok/llama_cpp"
    texts = (lists / f"ggml-vocab-{name}.gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    wanted = [list(map(int, line.split())) for line in (lists / f"ggml-vocab-{name}.gguf.out").read_text().splitlines()]
    # The last string is empty, and has no line.
    assert (len(texts), texts[-1], len(wanted)) == (47, "", 46)
    return texts, [*wanted, []]


@pytest.mark.parametrize("made", ["pair", pytest.param("ranks", marks=pytest.mark.soak)])
def test_gpt2_gives_the_published_ids(
    shared_data: Path, tmp_path: Path, made: str, gpt2_encoder: FastEncoder, split_ids: Callable[..., list[list[int]]]
) -> None:
    """GPT-2's own vocabulary on llama.cpp's strings."""
    gpt2 = gpt2_encoder
    assert (gpt2.vocabulary, gpt2.end_of_text, gpt2.engine) == (50_257, 50_256, "fastokens")
    if made == "ranks":
        gpt2 = load(write_ranks(tmp_path / "r50k_base.tiktoken", ranks_in(gpt2).items()))
    texts, wanted = llama_cpp(shared_data, "gpt-2")
    assert split_ids(*gpt2.encode(texts_of(*texts))) == wanted


def test_roberta_numbers_gpt2s_tokens_otherwise(
    shared_data: Path, gpt2_encoder: FastEncoder, split_ids: Callable[..., list[list[int]]]
) -> None:
    """RoBERTa has GPT-2's merges and other ids: between them there is one number for one, in all of llama.cpp's strings."""
    texts, wanted = llama_cpp(shared_data, "roberta-bpe")
    found = split_ids(*gpt2_encoder.encode(texts_of(*texts)))
    assert [len(ids) for ids in found] == [len(ids) for ids in wanted]
    pairs = {pair for ours, theirs in zip(found, wanted, strict=True) for pair in zip(ours, theirs, strict=True)}
    assert len(pairs) == len({ours for ours, _ in pairs}) == len({theirs for _, theirs in pairs}) > 100


@pytest.mark.parametrize("name", ["falcon", "mpt", "starcoder"])
def test_others_give_the_published_ids(shared_data: Path, name: str, split_ids: Callable[..., list[list[int]]]) -> None:
    path = shared_data / "tok" / name / "tokenizer.json"
    if not path.is_file():
        pytest.skip(f"needs the vocabulary of {name}, which is not in the real data: {path.relative_to(shared_data)}")
    texts, wanted = llama_cpp(shared_data, name)
    assert split_ids(*load(path).encode(texts_of(*texts))) == wanted


def test_types(encoder: FastEncoder) -> None:
    ids, counts = encoder.encode(pa.array(["a", "b"], pa.string()))
    assert (ids.dtype, counts.dtype) == (np.uint32, np.int64)
