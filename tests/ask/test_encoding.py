"""An encoder that gives other ids than it gave, and documents that lost their beginning or their end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tokenmill.flows.build import build
from tokenmill.pipeline.ask.encoding import EncodingAudit, encoding
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.tokens import golden
from tokenmill.tokenizer.encode import FastEncoder, of_corpus

Ids = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoding")
    for number in range(12):
        (folder / "texts").mkdir(exist_ok=True)
        (folder / "texts" / f"{number}.txt").write_text(
            f"The text number {number}, of some words and {'more ' * number}words.\n"
        )
    plain = {"stages": [], "collect": {"paths": [str(folder / "texts")]}, "tokenizer": {"vocabulary": 300}}
    return build(parse(plain, where="here"), folder / "corpus").root


def asked(corpus: Path, change: Callable[[Ids, Counts], tuple[Ids, Counts]]) -> EncodingAudit:
    """The audit with an encoder that changes its ids."""

    class Changed(FastEncoder):
        def encode(self, texts: pa.Array) -> tuple[Ids, Counts]:
            return change(*super().encode(texts))

    def opened(root: Path, made: Manifest) -> FastEncoder:
        encoder = of_corpus(root, made)
        return Changed(**{field.name: getattr(encoder, field.name) for field in dataclasses.fields(encoder)})

    return encoding(open_corpus(corpus), opened)


def test_the_encoder_that_built_a_corpus_gives_its_ids(corpus: Path) -> None:
    found = asked(corpus, lambda ids, counts: (ids, counts))
    assert found.sound
    assert found == EncodingAudit(golden=len(golden.TEXTS), golden_changed=(), documents=12, begin=12, end=12, same=12)


def without_first(ids: Ids, counts: Counts) -> tuple[Ids, Counts]:
    parts = np.split(ids, np.cumsum(counts)[:-1])
    return np.concatenate([part[1:] for part in parts]), np.maximum(counts - 1, 0)


def test_an_encoder_that_changes_is_found(corpus: Path) -> None:
    shifted = asked(corpus, lambda ids, counts: (ids + 1, counts))
    assert not shifted.sound
    assert (shifted.begin, shifted.end, shifted.same) == (0, 0, 0)
    assert shifted.golden_changed == tuple(text for text in golden.TEXTS if text)
    cut = asked(corpus, without_first)
    assert (cut.begin, cut.end, cut.same) == (0, 12, 0)
    assert not cut.sound
