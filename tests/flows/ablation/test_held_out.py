"""What is left of held-out sets when the variants have read a part of them."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from tests.folders import smallest
from tokenmill.flows.ablation import held_out
from tokenmill.flows.build import build
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.corpus import CorpusFolder

WORDS = ("mill", "corn", "river", "wheel", "stone", "house", "baker", "bread", "flour", "water", "grain", "sack", "door")


def line(seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=12))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusFolder:
    folder = tmp_path_factory.mktemp("held-out")
    (folder / "in").mkdir()
    for number in range(60):
        (folder / "in" / f"{number}.txt").write_text("\n".join(line(10 * number + row) for row in range(4)))
    (folder / "in" / "short.txt").write_text("Short lines.\nNone is looked for.\n")
    return build(smallest(folder, pack={"validation_fraction": 0.4}), folder / "corpus")


def test_lines_and_sentences_are_found_with_the_text_that_they_are_of() -> None:
    texts = pa.array([f"{line(1)}. {line(2)}!\n too short \n{line(3)}", "", line(4)], pa.large_string())
    sentences, parents = held_out.split(texts)
    assert sentences.to_pylist() == [line(1), line(2), line(3), line(4)]
    assert parents.tolist() == [0, 0, 0, 2]


def test_documents_that_a_variant_trains_on_are_left_out(corpus: CorpusFolder, tmp_path: Path) -> None:
    validation = held_out.validation_texts(corpus, 10**9).to_pylist()
    everything = {path.read_text() for path in (corpus.root.parent / "in").iterdir()}
    assert 10 < len(validation) < 50
    assert set(validation) < everything
    trained = sorted(everything - set(validation), key=len)
    short, whole = trained[0], trained[1]
    most = "\n".join([*whole.split("\n")[:3], *(line(10_000 + row) for row in range(1))])
    quarter = "\n".join([whole.split("\n")[0], *(line(20_000 + row) for row in range(3))])
    fresh = ["\n".join(line(30_000 + 10 * number + row) for row in range(4)) for number in range(10)]
    texts = [short, whole, most + "\n", quarter, *fresh]
    sets = {"mine": pa.array(texts, pa.large_string()), "val": pa.array(validation, pa.large_string())}
    found = held_out.without_trained(sets, {"v": corpus})
    assert found["mine"].texts.to_pylist() == [quarter, *fresh]
    assert found["mine"].left_out == 3
    assert found["mine"].shared["v"] == pytest.approx(
        len(whole.split("\n")[0].encode()) / sum(len(one) for text in [quarter, *fresh] for one in text.split("\n"))
    )
    assert found["val"].texts.to_pylist() == validation
    assert (found["val"].left_out, found["val"].shared["v"]) == (0, 0.0)
    assert found["val"].text_bytes.tolist() == [len(text.encode()) for text in validation]


def test_a_set_that_variants_train_on_is_refused(corpus: CorpusFolder) -> None:
    texts = pa.array([path.read_text() for path in sorted((corpus.root.parent / "in").iterdir())][:12], pa.large_string())
    with pytest.raises(InputError, match=r"held_out\.all: has \d documents of 12, since the variants train on the others"):
        held_out.without_trained({"all": texts}, {"v": corpus})


def test_a_part_of_a_large_validation_split_is_the_same_at_every_call(corpus: CorpusFolder) -> None:
    whole = held_out.validation_texts(corpus, 10**9).to_pylist()
    part = held_out.validation_texts(corpus, 2_000).to_pylist()
    assert 2_000 <= sum(map(len, part)) < 2_000 + max(map(len, whole))
    assert part == held_out.validation_texts(corpus, 2_000).to_pylist()
    assert set(part) < set(whole)
