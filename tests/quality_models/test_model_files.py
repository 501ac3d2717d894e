"""fastText's files: whole ones are read, cut and foreign ones are refused before the library sees them."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import fasttext
from pipeline.errors import ConfigError, InputError

Trained = Any


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a few kilobytes, written by hand: 2 dimensions, 1 word, 2 labels."""
    entries = b"".join(
        word + b"\0" + struct.pack("<qb", 1, kind) for word, kind in ((b"a", 0), (b"__label__x", 1), (b"__label__y", 1))
    )
    header = struct.pack("<14id", fasttext.MAGIC, 12, 2, 5, 5, 1, 5, 1, 3, 3, 0, 0, 0, 100, 1e-4)
    dictionary = struct.pack("<iiiqq", 3, 1, 2, 3, -1) + entries
    matrices = struct.pack("<?qq2f", False, 1, 2, 0.5, 0.25) + struct.pack("<?qq4f", False, 2, 2, 1, 0, 0, 1)
    path = tmp_path_factory.mktemp("small") / "small.bin"
    path.write_bytes(header + dictionary + matrices)
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
    # In a process of its own: with one thread fastText learns from memory that it does not set (see pipeline.quality.train).
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
    ("at", "value", "message"),
    [
        (0, 7, "it begins with 7"),
        (4, 13, "format 13"),
        (8, 3, "where 1 x 3 belongs"),
        (36, 1, "holds word vectors"),
        (40, 5, "where 6 x 2 belongs"),
        (64, -3, "entries"),
        (68, 2, "3 entries of which 2 are words"),
        (88, 1, "its sizes announce"),
    ],
)
def test_what_is_wrong_is_said(small: Path, tmp_path: Path, at: int, value: int, message: str) -> None:
    data = bytearray(small.read_bytes())
    struct.pack_into("<i", data, at, value)
    path = tmp_path / "wrong.bin"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        fasttext.check(str(path))


def test_no_file_and_no_library(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        fasttext.check(str(tmp_path / "none.bin"))
    with pytest.raises(ConfigError, match="cannot be read"):
        fasttext.sha256(str(tmp_path / "none.bin"))
    monkeypatch.setitem(sys.modules, "fasttext", None)
    assert fasttext.check(str(small))
    with pytest.raises(ConfigError, match=r"Python 3\.13"):
        fasttext.load(str(small))
