"""`tokenmill tokenizer ...`: what goes in comes back, in every form, and mistakes are said in a line."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.tokenizer.test_tokenizer_load import write_ranks
from tokenmill.flows.cli import tokenizer
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.tokenizer.encode import load
from tokenmill.tokenizer.front import train

TEXTS = {"a.txt": "The tokens of the text, and 中文.\n" * 40, "b.txt": "Ein anderer Text über Wörter und Zahlen: 12345.\n" * 40}


def run(*arguments: str | Path, given: bytes = b"") -> str:
    """The command in this process; what it prints."""
    with pytest.MonkeyPatch.context() as patch:
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        patch.setattr(sys, "stdout", printed)
        patch.delenv("COLUMNS", raising=False)
        tokenizer.app([str(one) for one in arguments], result_action="return_value")
        printed.flush()
        return printed.detach().getvalue().decode()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizing")
    (folder / "texts").mkdir()
    for name, text in TEXTS.items():
        (folder / "texts" / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    out = folder / "tokenizer.json"
    said = run("train", folder / "texts", "--out", out, "--vocabulary", "300")
    assert "300 tokens" in said
    assert "embeddings, 4,096 wide" in said
    return out


def test_training_is_the_same_for_any_workers(folder: Path, trained: Path) -> None:
    for workers in ("1", "2"):
        out = folder / f"{workers}.json"
        run("train", folder / "texts", "--out", out, "--vocabulary", "300", "--workers", workers)
        assert out.read_bytes() == trained.read_bytes()
    run("train", folder / "texts", "--out", folder / "o200k.json", "--vocabulary", "290", "--pattern", "o200k", "--digits", "1")
    assert load(folder / "o200k.json").description.pattern.startswith("o200k")


def test_training_counts_what_a_build_counts(folder: Path) -> None:
    """Records whose ids repeat count once, and a sample is one of documents: then documents are written after all."""
    rows = [{"id": number % 150, "text": f"record {number % 150} of {'some ' * (number % 7)}records"} for number in range(151)]
    (folder / "twice.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "once.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:150]))
    lines = "\r\n".join([*(row["text"] for row in rows[:150]), "", "  ", "\u3000", "\ufefflast"])
    (folder / "lines.txt").write_text(lines, newline="")
    found = {}
    for name, *options in (
        ("twice.jsonl",),
        ("once.jsonl",),
        ("once.jsonl", "--sample-bytes", "1500"),
        ("lines.txt", "--sample-by", "line"),
        ("lines.txt", "--sample-by", "line", "--workers", "2"),
        ("lines.txt", "--sample-by", "line", "--kind", "wordpiece"),
    ):
        out = folder / "counted.json"
        said = run("train", folder / name, "--out", out, "--vocabulary", "290", *options)
        found[name, *options] = out.read_bytes()
        assert ("sample:" in said) == ("--sample-bytes" in options)
    assert found["twice.jsonl",] == found["once.jsonl",] != found["once.jsonl", "--sample-bytes", "1500"]
    texts = [*(row["text"] for row in rows[:150]), "last"]
    for kind in ("bpe", "wordpiece"):
        made = train(texts, vocabulary=290, kind=kind)
        assert made.data == found[("lines.txt", "--sample-by", "line", *(("--kind", kind) if kind != "bpe" else ()))]
    assert found["lines.txt", "--sample-by", "line"] == found["lines.txt", "--sample-by", "line", "--workers", "2"]


def test_text_to_lines_of_ids_and_back(folder: Path, trained: Path) -> None:
    lines = run("encode", folder / "texts", "--tokenizer", trained)
    ids = [list(map(int, line.split())) for line in lines.splitlines()]
    encoder = load(trained)
    assert [one[-1] for one in ids] == [encoder.end_of_text] * 2
    assert [encoder.decode(one[:-1]) for one in ids] == list(TEXTS.values())
    assert run("decode", "-", "--tokenizer", trained, given=lines.encode()) == "".join(TEXTS.values())
    (folder / "ids.txt").write_text(lines)
    found = run("decode", folder / "ids.txt", "--tokenizer", trained, "--json").splitlines()
    assert [json.loads(line) for line in found] == [{"text": text} for text in TEXTS.values()]


def test_standard_input_is_one_document_or_one_a_line(trained: Path) -> None:
    text = "one\ntwo\r\n<|endoftext|>\n"
    ids = run("encode", "-", "--tokenizer", trained, given=text.encode())
    assert len(ids.splitlines()) == 1
    assert run("decode", "-", "--tokenizer", trained, given=ids.encode()) == "one\ntwo\n<|endoftext|>\n"
    by_line = run("encode", "-", "--tokenizer", trained, "--sample-by", "line", given=text.encode())
    found = run("decode", "-", "--tokenizer", trained, "--json", given=by_line.encode()).splitlines()
    assert [json.loads(line)["text"] for line in found] == ["one", "two", "<|endoftext|>"]


def test_arrays(folder: Path, trained: Path) -> None:
    run("encode", folder / "texts", "--tokenizer", trained, "--out", folder / "ids.npy")
    ids = np.load(folder / "ids.npy")
    assert ids.dtype == np.uint16
    assert (ids == load(trained).end_of_text).sum() == 2
    run("decode", folder / "ids.npy", "--tokenizer", trained, "--out", folder / "back.txt")
    assert (folder / "back.txt").read_text() == "".join(TEXTS.values())


def test_a_token_store(folder: Path, trained: Path) -> None:
    """Of ranks, which become the store's own tokenizer.json."""
    description = load(trained).description
    tokens = [token for token in description.tokens if token is not None and token != b"<|endoftext|>"]
    ranks = write_ranks(folder / "my.tiktoken", [(token, rank) for rank, token in enumerate(tokens)])
    store = folder / "store"
    run("encode", folder / "texts", "--tokenizer", ranks, "--pattern", "cl100k", "--to", "store", "--out", store)
    assert TokenStore.open(store / "tokens").split("train").documents == 2
    for source in (store, store / "tokens"):
        assert run("decode", source) == "".join(TEXTS.values())


def test_evaluate_and_compare(folder: Path, trained: Path) -> None:
    texts = folder / "texts"
    said = run("evaluate", trained, texts)
    for words in ("bytes/token", "language", "script of tokens", "Latin", "longest tokens"):
        assert words in said
    found = json.loads(run("evaluate", trained, texts / "a.txt", texts / "b.txt", "--json"))
    assert found["total"]["bytes"] == sum(len(text.encode()) for text in TEXTS.values())
    assert set(found["parts"]["source"]) == {"a", "b"}
    assert set(found["parts"]["language"]) == {"en", "de"}
    ids, _ = load(trained).encode(pa.array(list(TEXTS.values()), pa.large_string()))
    assert found["total"]["tokens"] == len(ids)
    smaller = folder / "smaller.json"
    run("train", texts, "--out", smaller, "--vocabulary", "270")
    beside = json.loads(run("compare", trained, smaller, "--on", texts, "--json"))
    assert list(beside) == ["tokenizer.json", "smaller.json"]
    assert beside["smaller.json"]["total"]["tokens"] > beside["tokenizer.json"]["total"]["tokens"] == len(ids)
    table = run("compare", trained, smaller, "--on", texts)
    assert "bytes/token by language" in table
    assert "smaller.json" in table
    assert "against first" in table, "as wide as it is"
    assert "…" not in table


MISTAKES: dict[str, tuple[list[str], bytes, str]] = {
    "no input": (["encode", "--tokenizer", "TRAINED"], b"", "name the files, folders or globs to read"),
    "no such input": (["encode", "nothing", "--tokenizer", "TRAINED"], b"", "'nothing' does not exist"),
    "no tokenizer": (["encode", "-", "--tokenizer", "nothing.json"], b"a", "the tokenizer cannot be read"),
    "another form": (["encode", "-", "--tokenizer", "TRAINED", "--to", "csv"], b"a", "choose text, npy or store"),
    "array to nowhere": (["encode", "-", "--tokenizer", "TRAINED", "--to", "npy"], b"a", "name it with --out"),
    "store to nowhere": (["encode", "-", "--tokenizer", "TRAINED", "--to", "store"], b"a", "name it with --out"),
    "another pattern": (["encode", "-", "--tokenizer", "TRAINED", "--pattern", "o200k"], b"a", "the pattern that you named"),
    "no ids": (["decode", "-", "--tokenizer", "TRAINED"], b"1 2\nthree\n", "line 2 does not hold ids separated by spaces"),
    "high id": (["decode", "-", "--tokenizer", "TRAINED"], b"1 99999\n", "id 99999 is not in the vocabulary"),
    "negative id": (["decode", "-", "--tokenizer", "TRAINED"], b"-1\n", "id -1 is not in the vocabulary"),
    "no text": (["encode", "-", "--tokenizer", "TRAINED"], b"\xff", "stdin.txt: not_utf8"),
    "what to do about it": (["encode", "-", "--tokenizer", "TRAINED"], b"\xff", "Repair them or leave them out"),
    "no array": (["decode", "bad.npy", "--tokenizer", "TRAINED"], b"", "bad.npy: is not an array of ids"),
    "fractions": (["decode", "float.npy", "--tokenizer", "TRAINED"], b"", "is not a 1-D array of integers, but float64"),
    "pickle": (["decode", "object.npy", "--tokenizer", "TRAINED"], b"", "object.npy: is not an array of ids"),
    "ids of what": (["decode", "ids.txt"], b"", "name it with --tokenizer"),
    "nothing to compare": (["compare", "--on", "texts"], b"", "name the tokenizers to compare"),
    "a broken pattern": (["train", "nothing", "--out", "x.json", "--pattern", "("], b"", "no regular expression"),
    "nothing to train on": (["train", "empty.txt", "--out", "x.json"], b"", "no text to learn a tokenizer from"),
}


@pytest.mark.parametrize(("arguments", "given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    folder: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: bytes, message: str
) -> None:
    monkeypatch.chdir(folder)
    Path("bad.npy").write_bytes(b"nothing")
    Path("empty.txt").write_text("")
    np.save("float.npy", np.zeros(3))
    np.save("object.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(TokenmillError, match=re.escape(message)):
        run(*(str(trained) if one == "TRAINED" else one for one in arguments), given=given)
    assert not Path("x.json").exists()


@pytest.mark.parametrize("command", ["train", "encode", "decode", "evaluate", "compare"])
def test_help_has_examples(command: str) -> None:
    said = run(command, "--help")
    assert f"tokenmill tokenizer {command}" in " ".join(said.split())
    assert "For example" in said
