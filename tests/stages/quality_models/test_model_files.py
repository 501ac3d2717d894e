"""fastText's files: whole ones are read, cut and foreign ones are refused before the library sees them."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.stages import fasttext

Trained = Any


ENTRIES = b"".join(
    word + b"\0" + struct.pack("<qb", 1, kind) for word, kind in ((b"a", 0), (b"__label__x", 1), (b"__label__y", 1))
)
OUTPUT = struct.pack("<?qq4f", False, 2, 2, 1, 0, 0, 1)
TEXTS = ("", "a", "a b a a", "b c", "\u6f22\u5b57 a " * 30, "__label__x </s> a")
READ = f"""
import sys, fasttext
for path in sys.argv[1:]:
    print(path, flush=True)
    model = fasttext.load_model(path)
    for text in {TEXTS!r}:
        model.predict(text, k=-1)
"""


def header(*, loss: int = 3, word_ngrams: int = 1, buckets: int = 0, pruned: int = -1) -> bytes:
    settings = (fasttext.MAGIC, 12, 2, 5, 5, 1, 5, word_ngrams, loss, 3, buckets, 0, 0, 100, 1e-4)
    return struct.pack("<14id", *settings) + struct.pack("<iiiqq", 3, 1, 2, 3, pruned)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few kilobytes, written by hand: 2 dimensions, 1 word, 2 labels."""
    path = tmp_path_factory.mktemp("small") / "small.bin"
    path.write_bytes(header() + ENTRIES + struct.pack("<?qq2f", False, 1, 2, 0.5, 0.25) + OUTPUT)
    return path


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `small`, with bigrams in 5 buckets, of which one is left; its matrix in codes."""
    kept = struct.pack("<ii", 3, 0)
    centroids = struct.pack("<512f", *(number / 512 for number in range(512)))
    matrix = struct.pack("<??qqi", True, False, 2, 2, 2) + b"\7\x09" + struct.pack("<4i", 2, 1, 2, 2) + centroids
    path = tmp_path_factory.mktemp("quantised") / "small.ftz"
    path.write_bytes(header(word_ngrams=2, buckets=5, pruned=1) + ENTRIES + kept + matrix + OUTPUT)
    return path


def test_labels_of_a_whole_file(small: Path, trained: Trained) -> None:
    assert fasttext.check(str(small)) == ("__label__x", "__label__y")
    assert sorted(fasttext.check(str(trained.path))) == ["__label__negative", "__label__positive"]
    model = fasttext.load(str(small))
    labels, probabilities = model.predict("a", k=-1)
    assert labels == ("__label__x", "__label__y")
    assert probabilities[0] == pytest.approx(0.5622, abs=1e-3)


def test_a_quantised_file_is_whole(trained: Trained, tmp_path: Path) -> None:
    """fastText itself writes the file that is walked here."""
    text = tmp_path / "examples.txt"
    words = [f"word{number}" for number in range(400)]
    chosen = random.Random(0)
    text.write_text("".join(f"__label__{'ab'[n % 2]} {' '.join(chosen.choices(words, k=8))}\n" for n in range(400)))
    path = tmp_path / "small.ftz"
    # In a process of its own: with one thread fastText learns from memory that it does not set (see `pipeline.stages.quality`).
    learn = (
        "import sys, fasttext; text, model = sys.argv[1:];"
        "made = fasttext.train_supervised(text, dim=100, wordNgrams=2, bucket=100_000, thread=1, verbose=0);"
        "made.quantize(input=text, qnorm=True, cutoff=300, retrain=False, thread=1); made.save_model(model)"
    )
    subprocess.run([sys.executable, "-c", learn, str(text), str(path)], check=True, capture_output=True)
    assert sorted(fasttext.check(str(path))) == ["__label__a", "__label__b"]
    data = path.read_bytes()
    for size in range(0, len(data), 997):
        path.write_bytes(data[:size])
        with pytest.raises(InputError):
            fasttext.check(str(path))


def test_every_cut_and_every_addition_is_refused(small: Path, tmp_path: Path) -> None:
    data = small.read_bytes()
    path = tmp_path / "cut.bin"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"cut\.bin"):
            fasttext.check(str(path))
    path.write_bytes(data + b"\0")
    with pytest.raises(InputError, match="1 bytes after its end"):
        fasttext.check(str(path))


@pytest.mark.parametrize(
    ("at", "layout", "value", "message"),
    [
        (0, "i", 7, "it begins with 7"),
        (4, "i", 13, "format 13"),
        (8, "i", 3, "where 1 x 3 belongs"),
        (28, "i", 2, "0 buckets for n-grams of 2 words"),
        (28, "i", 101, "n-grams of 101 words"),
        (28, "i", -1, "n-grams of -1 words"),
        (32, "i", 0, "the unknown loss 0"),
        (32, "i", 5, "the unknown loss 5"),
        (36, "i", 1, "holds word vectors"),
        (36, "i", 0, "unknown kind 0"),
        (36, "i", 4, "unknown kind 4"),
        (40, "i", 5, "where 6 x 2 belongs"),
        (40, "i", -1, "-1 buckets"),
        (48, "i", 3, "0 buckets for n-grams of 1 words and 3 characters"),
        (48, "i", -1, "-1 characters"),
        (48, "i", 101, "101 characters"),
        (64, "i", -3, "entries"),
        (68, "i", 2, "3 entries of which 2 are words"),
        (84, "q", -2, "-2 buckets left"),
        (84, "q", 0, "its dictionary is pruned"),
        (84, "q", 1 << 32, "its sizes announce"),
        (102, "b", 1, "entry 0 is of kind 1"),
        (122, "b", 0, "entry 1 is of kind 0"),
        (142, "b", 2, "entry 2 is of kind 2"),
        (103, "B", 255, "not UTF-8"),
        (143, "b", 2, "a flag of 2"),
        (168, "b", 2, "a flag of 2"),
    ],
)
def test_what_is_wrong_is_said(small: Path, tmp_path: Path, at: int, layout: str, value: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fasttext.check(changed(small, tmp_path / "wrong.bin", (at, layout, value)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({40: 0}, "0 buckets for n-grams of 2 words"),
        ({147: 1}, "a bucket outside the 1 that are left"),
        ({147: -1}, "a bucket outside the 1 that are left"),
        ({175: 1}, "a quantiser of 1 dimensions"),
        ({179: 2}, "in 2 parts"),
        ({183: 1}, "in 1 parts of 1"),
        ({179: 2, 183: 1, 187: 1}, "2 codes for 2 rows in 2 parts"),
    ],
)
def test_what_is_wrong_with_a_quantised_file(quantised: Path, tmp_path: Path, fields: dict[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fasttext.check(changed(quantised, tmp_path / "wrong.ftz", *((at, "i", value) for at, value in fields.items())))


@pytest.mark.parametrize("occurrences", [-1, 0, 10**15])
def test_labels_are_counted_where_the_counts_make_a_tree(small: Path, tmp_path: Path, occurrences: int) -> None:
    rare = (114, "q", occurrences)
    assert fasttext.check(changed(small, tmp_path / "softmax.bin", rare))
    with pytest.raises(InputError, match=f"a label that occurs {occurrences} times"):
        fasttext.check(changed(small, tmp_path / "tree.bin", (32, "i", 1), rare))


def changed(source: Path, target: Path, *changes: tuple[int, str, int]) -> str:
    data = bytearray(source.read_bytes())
    for at, layout, value in changes:
        struct.pack_into("<" + layout, data, at, value)
    target.write_bytes(data)
    return str(target)


@pytest.mark.parametrize("name", ["small", "quantised"])
def test_whatever_passes_is_read(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Every field and every byte before the floats with values that have ended the process: refused, or harmless."""
    pytest.importorskip("fasttext", reason="fastText has no package for this Python")
    source = request.getfixturevalue(name)
    numbers = (-(2**31), -1, 0, 1, 2, 3, 4, 5, 6, 100, 10**6, 2**31 - 1)
    fields = [(at, "i", value) for at in (*range(8, 56, 4), 64, 68, 72, 76, 84) for value in numbers]
    fields += [(at, "B", value) for at in range(92, 191) for value in (0, 1, 2, 130)]
    passing = []
    for number, change in enumerate(fields):
        path = changed(source, tmp_path / f"{number}", change)
        try:
            fasttext.check(path)
            passing.append(path)
        except InputError:
            Path(path).unlink()
    assert len(passing) > 100
    done = subprocess.run([sys.executable, "-c", READ, *passing], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr)


def test_no_file_and_no_library(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        fasttext.check(str(tmp_path / "none.bin"))
    with pytest.raises(ConfigError, match="cannot be read"):
        fasttext.sha256(str(tmp_path / "none.bin"))
    monkeypatch.setitem(sys.modules, "fasttext", None)
    assert fasttext.check(str(small))
    with pytest.raises(ConfigError, match=r"Python 3\.13"):
        fasttext.load(str(small))
