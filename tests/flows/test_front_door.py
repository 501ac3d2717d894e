"""What `import tokenmill` gives: its examples run, tables of many kinds, samples for a trainer, and folders of a user's."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as pa
import pytest

import tokenmill as tm
from tokenmill.flows.cli.application import app
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import samples

TOKENMILL = Path(sys.executable).with_name("tokenmill")
API = Path(tm.__file__).parent
MODULES = (*sorted(path.stem for path in API.glob("*.py") if ">>> " in path.read_text()), "tokenizer.front")
SMALL = {
    "stages": ["language", "dedup", "quality"],
    "language.threshold": 0.0,
    "language.keep": [],
    "quality.recipe": "docs@1",
    "quality.min_words": 1,
    "quality.min_stop_words": 0,
    "quality.max_short_lines": 1.0,
    "quality.max_top_2gram": 1.0,
    "tokenizer.vocabulary": 300,
    "pack.validation_fraction": 0.1,
}
WORDS = "light keeper ship harbour morning letter table window water stairs lamp wall boat sail line coast storm night"


def a_text(number: int) -> str:
    """Seven lines of words that differ from document to document."""
    chosen = random.Random(number)
    lines = (" ".join(chosen.choices(WORDS.split(), k=12)) for _ in range(7))
    return "\n".join(f"The {line} of number {number}." for line in lines)


TEXTS = [a_text(number) for number in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front")
    (folder / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "texts" / f"{number:02}.txt").write_text(text)
    tm.build("text", folder / "corpus", {"collect.paths": str(folder / "texts"), **SMALL}, workers=1, progress=False)
    return folder


@pytest.fixture
def corpus(folder: Path) -> tm.Corpus:
    return tm.open(folder / "corpus")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_front_door_run(name: str, folder: Path, corpus: tm.Corpus) -> None:
    """By import name: by path, the classes would be made a second time."""
    module = importlib.import_module(f"tokenmill.{name}")
    given = {"folder": folder, "corpus": corpus, "small": SMALL, "text": TEXTS[3]}
    result = doctest.testmod(module, extraglobs=given, optionflags=doctest.ELLIPSIS)
    assert (result.failed, result.attempted > 0) == (0, True)


def test_every_call_says_what_it_takes_and_shows_an_example() -> None:
    calls = [
        tm.build,
        tm.open,
        tm.language.identify,
        tm.quality.score,
        tm.dedup.duplicates,
        tm.tokenizer.train,
        tm.tokenizer.load,
    ]
    for owner in (tm.Corpus, tm.Tokens):
        calls += [one for name, one in inspect.getmembers(owner, inspect.isfunction) if not name.startswith("_")]
    for call in calls:
        said = inspect.getdoc(call) or ""
        named = [one for one in inspect.signature(call).parameters if one not in ("self", "progress")]
        assert not named or "Parameters\n----------" in said, call.__qualname__
        assert all(name in said for name in named), (call.__qualname__, named)
        assert "Examples\n--------" in said or call.__name__ == "compact", call.__qualname__


def test_objects_fit_a_screen(corpus: tm.Corpus) -> None:
    shown = [corpus, corpus.funnel(), corpus.tokens, corpus.trace("train/00000:1"), corpus.whatif({"quality.min_words": 70})]
    order = corpus.tokens.samples(length=16, seed=0)
    shown += [corpus.tokens.dataset(length=16, seed=0), tm.tokenizer.load(corpus.root), order, order.read(0, 3)]
    shown += [corpus.tokens.splits, corpus.near(TEXTS[0]), corpus.status(), corpus.audit()]
    for one in shown:
        lines = repr(one).splitlines()
        assert len(lines) <= 40, type(one)
        assert len(repr(one)) <= 24 * 80, type(one)


def test_a_wrong_name_says_the_nearest_right_one(corpus: tm.Corpus) -> None:
    for call, near in (
        (lambda: tm.build("dosc", "x"), "docs"),
        (lambda: corpus.verdicts("dedupe"), "dedup"),
        (lambda: corpus.whatif({"quality.min_word": 3}), "min_words"),
        (lambda: corpus.export("jsnl"), "jsonl"),
        (lambda: tm.quality.score(["x"], "gofer@1"), "gopher@1"),
        (lambda: tm.quality.score(["x"], settings={"min_word": 1}), "min_words"),
        (lambda: tm.language.identify(pa.table({"texts": ["x"]})), "texts"),
    ):
        with pytest.raises((ConfigError, InputError), match=f"did you mean '?{near}"):
            call()
    with pytest.raises(NotBuilt, match="was built without 'repeats'"):
        corpus.verdicts("repeats")


def tables() -> dict[str, Any]:
    plain = pa.table({"text": TEXTS[:3]})
    import datasets

    return {
        "string": plain,
        "large_string": plain.cast(pa.schema([("text", pa.large_string())])),
        "view": plain.cast(pa.schema([("text", pa.string_view())])),
        "dictionary": pa.table({"text": pa.array(TEXTS[:3]).dictionary_encode()}),
        "chunks": pa.concat_tables([plain.slice(0, 1), plain.slice(1)]),
        "pandas": pandas.DataFrame({"text": TEXTS[:3]}),
        "datasets": datasets.Dataset.from_dict({"text": TEXTS[:4][::-1]}).select([3, 2, 1]),
        "series": pandas.Series(TEXTS[:3]),
        "array": pa.chunked_array([TEXTS[:3]]),
        "list": TEXTS[:3],
    }


def test_tables_of_every_kind_are_taken() -> None:
    wanted = tm.language.identify(TEXTS[:3]).to_pylist()
    for kind, table in tables().items():
        assert tm.language.identify(table).to_pylist() == wanted, kind
    for empty in (pa.table({"text": pa.array([], pa.string())}), pandas.DataFrame({"text": []})):
        assert tm.language.identify(empty).num_rows == 0
    assert tm.dedup.duplicates([]).num_rows == 0
    assert tm.quality.score([]).num_rows == 0
    for wrong, said in (
        (pa.table({"text": [1]}), "holds int64, not text"),
        (pa.table({"text": ["x", None]}), "has 1 nulls"),
        (7, "int is no table"),
        (["\ud800"], "no text"),
        (["a", None], "has 1 nulls"),
        (pa.table([["x"], ["y"]], names=["text", "text"]), "has 2 columns 'text'"),
        (pa.table({"text": pa.array([b"\xff"], pa.binary()).view(pa.string())}), "no UTF-8"),
        ([1], "no text"),
    ):
        with pytest.raises(InputError, match=said):
            tm.language.identify(wrong)


def test_duplicates_name_the_row_that_is_kept() -> None:
    longer = TEXTS[4] + "\nAnd one more line."
    found = tm.dedup.duplicates([TEXTS[4], TEXTS[5], longer, TEXTS[5]], threshold=0.5)
    assert found["kept_row"].to_pylist() == [2, None, None, 1]
    assert found["reason"].to_pylist() == ["near_duplicate", "", "", "exact_duplicate"]
    assert 0.5 <= found["jaccard"][0].as_py() < 1
    with pytest.raises(ConfigError, match="threshold"):
        tm.dedup.duplicates(["x"], threshold=2)


def test_a_tokenizer_of_a_table_is_that_of_the_command(folder: Path, tmp_path: Path) -> None:
    made = tm.tokenizer.train(TEXTS, vocabulary=300, out=tmp_path / "made.json")
    app(["tokenizer", "train", str(folder / "texts"), "--out", str(tmp_path / "typed.json"), "--vocabulary", "300"])
    assert made.data == (tmp_path / "typed.json").read_bytes() == (tmp_path / "made.json").read_bytes()
    ids = made.encode(TEXTS[:2])
    assert [made.decode(one) for one in ids] == TEXTS[:2]
    assert made.encode([]) == []


def test_texts_and_verdicts_are_those_of_the_corpus(corpus: tm.Corpus) -> None:
    assert sorted(corpus.texts().read_all()["text"].to_pylist()) == sorted(TEXTS)
    assert corpus.verdicts("quality").read_all()["reason"].to_pylist() == [""] * 40
    assert pandas.DataFrame(corpus.texts().read_pandas()).shape == (40, 5)


def test_samples_and_dataset_read_the_same_ids(corpus: tm.Corpus) -> None:
    order = corpus.tokens.samples(length=16, seed=3)
    batch = order.read(0, order.windows)
    ids = np.asarray(batch, dtype=np.int64)
    whole = corpus.tokens.dataset(length=16, seed=3)
    assert len(whole) == order.windows
    for item, row, kept in zip((whole[at] for at in range(len(whole))), ids, batch.kept, strict=True):
        assert item["input_ids"].tolist() == row[:-1].tolist()
        assert item["labels"].tolist() == np.where(kept[1:], row[1:], -100).tolist()
    assert batch.kept[:, 1:].sum() == order.split.tokens, "an epoch has every token as a label once"
    parts = [corpus.tokens.dataset(length=16, seed=3, rank=rank, ranks=2) for rank in range(2)]
    for at in range(len(parts[0])):
        for rank, part in enumerate(parts):
            assert part[at]["input_ids"].tolist() == ids[2 * at + rank][:-1].tolist()
    again = pickle.loads(pickle.dumps(whole))  # noqa: S301 -- as a DataLoader does
    assert again[5]["input_ids"].tolist() == whole[5]["input_ids"].tolist()
    assert not set(again.__getstate__()) & {"_samples"}
    with pytest.raises(IndexError):
        _ = whole[len(whole)]
    with pytest.raises(ConfigError, match="rank"):
        corpus.tokens.dataset(length=16, seed=3, rank=2, ranks=2)


@pytest.mark.parametrize(
    ("workers", "start"),
    [
        (1, "fork"),
        *(pytest.param(workers, start, marks=pytest.mark.soak) for workers, start in ((2, "fork"), (1, "spawn"), (2, "spawn"))),
    ],
)
def test_workers_of_a_loader_read_the_same_ids(corpus: tm.Corpus, workers: int, start: str) -> None:
    from torch.utils.data import DataLoader

    data = corpus.tokens.dataset(length=16, seed=3)
    alone = [batch["input_ids"].tolist() for batch in DataLoader(data, batch_size=8)]
    loader = DataLoader(data, batch_size=8, num_workers=workers, multiprocessing_context=start)
    assert [batch["input_ids"].tolist() for batch in loader] == alone


def test_a_forgotten_document_brings_no_loss(folder: Path, tmp_path: Path) -> None:
    settings = {"collect.paths": str(folder / "texts"), **SMALL, "pack.validation_fraction": 0.0}
    corpus = tm.build("text", tmp_path / "corpus", settings, workers=1, progress=False)
    doc_id = corpus.trace("train/00000:0")["document"]["doc_id"]
    assert corpus.forget(doc_ids=[doc_id])[0].documents == 1
    assert corpus.texts().read_all().num_rows == 39
    (text,) = [text for text in TEXTS if corpus.near(text).found[0][0].doc_id == doc_id]
    assert [(one.kept, one.forgotten) for one in corpus.near(text).found[0]] == [(True, True)]
    assert (corpus.status().forgotten, "1 documents forgotten" in repr(corpus)) == (1, True)
    data = corpus.tokens.dataset(length=16, seed=0)
    store = TokenStore.open(corpus.root / "tokens")
    kept = samples(store, length=16, seed=0).read(0, len(data)).kept[:, 1:]
    assert [(data[at]["labels"] != -100).tolist() for at in range(len(data))] == kept.tolist()
    assert not kept.all()
    assert corpus.compact().documents == 1
    assert corpus.verify() == ()


COMMANDS = (
    *(
        ["status"],
        ["report"],
        ["whatif", "--set", "quality.min_words=80"],
        ["near", "FILE"],
        ["trace", "train/00000:1"],
        ["audit"],
    ),
    *(["forget", "--source", "files"], ["compact"], ["export", "--to", "jsonl"], ["train"], ["sample"]),
)


def test_settings_that_were_edited_by_hand_are_refused_by_every_command(
    folder: Path, corpus: tm.Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus.root / "config.toml"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"threshold = 0.8", b"threshold = 0.7"))
    (tmp_path / "file").write_text("x")
    try:
        for command in COMMANDS:
            arguments = [
                command[0],
                str(corpus.root),
                *(str(tmp_path / "file") if one == "FILE" else one for one in command[1:]),
            ]
            with pytest.raises(
                StaleInput, match=r"config\.toml: was changed after the corpus was built.* run `tokenmill build"
            ):
                app(arguments, result_action="return_value")
        with pytest.raises(tm.TokenmillError, match="1 problem"):
            app(["verify", str(corpus.root)], result_action="return_value")
        assert f"{path}: other bytes" in capsys.readouterr().err
    finally:
        path.write_bytes(whole)


def test_files_of_a_user_with_the_names_of_our_folders_are_not_imported(folder: Path, tmp_path: Path) -> None:
    for name in ("model", "pipeline", "tokenizer", "flows"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')\n")
    script = "import sys, tokenmill as tm; print(tm.open(sys.argv[1]).tokens.samples(length=64, seed=0).read(0, 1).ids.shape)"
    done = subprocess.run(
        [sys.executable, "-c", script, folder / "corpus"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("(1, 65)\n", "")
    small = ["train.steps=2", "train.layers=1", "train.heads=1", "train.width=8", "train.context_tokens=16", "train.device=cpu"]
    command = [TOKENMILL, "train", folder / "corpus", *(part for one in small for part in ("--set", one))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


PLAIN = """
import sys, tokenmill as tm
print("once")
settings = {"collect.paths": sys.argv[1], "stages": [], "tokenizer.vocabulary": 300}
print(tm.build("text", sys.argv[2], settings, workers=2, progress=False).funnel()[0].kept)
"""


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_a_plain_script_builds_with_workers(way: str, folder: Path, tmp_path: Path) -> None:
    """Without a guard around its calls: workers do not run it again."""
    (tmp_path / "plain.py").write_text(PLAIN)
    command = [sys.executable, "plain.py" if way == "file" else "-", folder / "texts", tmp_path / "corpus"]
    done = subprocess.run(command, cwd=tmp_path, input=PLAIN, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("once\n40\n", "")


def test_what_callers_give_by_mistake_is_refused(corpus: tm.Corpus, folder: Path, tmp_path: Path) -> None:
    settings = {"collect.paths": folder / "texts", **SMALL}
    for call, said in (
        (lambda: tm.build("text", tmp_path / "c", settings, workers=0), "workers=0"),
        (lambda: tm.build("text", tmp_path / "c", settings, workers="2"), "workers='2'"),  # type: ignore[arg-type]
        (lambda: tm.build("text", tmp_path / "c", {"collect.paths": ""}), "a path is empty; write . for"),
        (lambda: tm.build("text", tmp_path / "c", {5: 1}), "not by 5"),  # type: ignore[dict-item]
        (lambda: corpus.near("x", threshold=float("nan")), "threshold=nan"),
        (lambda: corpus.near("x", limit=0), "limit=0"),
        (lambda: corpus.near(["x", None]), "nulls"),  # type: ignore[list-item]
        (lambda: corpus.tokens.samples(length=0, seed=0), "length=0"),
        (lambda: corpus.tokens.samples(length=8, seed=-1), "seed=-1"),
        (lambda: corpus.tokens.dataset(length=8, seed=0, epoch=-1), "epoch=-1"),
        (lambda: corpus.tokens.dataset(length=8, seed=0, rank=5, ranks=10**9), "fewer than ranks="),
        (lambda: corpus.forget(sources="files"), "not single strings"),
    ):
        with pytest.raises((ConfigError, InputError), match=said):
            call()
    assert TokenStore.open(str(corpus.root)).vocabulary == 300
    assert tm.__version__


def test_the_package_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tokenmill", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: tokenmill COMMAND")
    with open("/dev/full", "w") as full:
        done = subprocess.run([TOKENMILL, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: the help cannot be written: No space left on device\n")
