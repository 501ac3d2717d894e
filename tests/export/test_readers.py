"""Readers of other tools give the tokens that ours gives. Where none can be installed, the format itself is the judge."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import warnings
from collections.abc import Callable, Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.export.conftest import Packed

WINDOW = 64


def shards(packed: Packed) -> Iterator[tuple[str, list[list[int]]]]:
    """The name of each token shard and the ids of its documents."""
    for split in packed.store.splits:
        for number, shard in enumerate(split.shards):
            yield f"{split.name}/{shard.path.stem}", packed.documents(split.name, number)


def token_bytes(packed: Packed) -> int:
    return packed.store.split("train").dtype.itemsize


def windows(documents: list[list[int]], length: int) -> list[list[int]]:
    """As many whole windows as there are, one after the other."""
    ids = list(chain.from_iterable(documents))
    return [ids[start : start + length] for start in range(0, len(ids) - length + 1, length)]


@pytest.fixture(scope="module")
def indexed_dataset() -> Callable[[str], Any]:
    """Megatron-core's reader, which warns of CUDA libraries when it is imported."""
    pytest.importorskip("megatron.core.package_info", reason="megatron-core has wheels for Linux alone")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("megatron.core.datasets.indexed_dataset").IndexedDataset


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("where", ["view", "store"])
def test_megatron_core_reads_the_view_and_the_store_itself(
    packed: Packed, where: str, mmap: bool, indexed_dataset: Callable[..., Any]
) -> None:
    folder = packed.export("megatron") if where == "view" else packed.root / "tokens"
    for name, documents in shards(packed):
        dataset = indexed_dataset(str(folder / name), mmap=mmap)
        assert [dataset[number].tolist() for number in range(len(dataset))] == documents
        assert dataset.document_indices.tolist() == list(range(len(documents) + 1))


def test_datatrove_reads_it_and_so_does_nanotron_whose_package_has_no_reader_of_tokens(packed: Packed) -> None:
    from datatrove.utils.dataset import DatatroveFolderDataset

    out = packed.export("nanotron")
    for split in packed.store.splits:
        parts = [documents for name, documents in shards(packed) if name.startswith(split.name)]
        dataset = DatatroveFolderDataset(str(out / split.name), WINDOW - 1, token_size=token_bytes(packed), recursive=False)
        wanted = [window for documents in parts for window in windows(documents, WINDOW)]
        assert [dataset[number]["input_ids"].tolist() for number in range(len(dataset))] == wanted
        assert wanted


def test_datatrove_finds_the_documents_by_the_index(packed: Packed) -> None:
    from datatrove.utils.dataset import DatatroveFileDataset

    out = packed.export("nanotron")
    for name, documents in shards(packed):
        path = str(out / f"{name}.ds")
        dataset = DatatroveFileDataset(path, WINDOW - 1, token_size=token_bytes(packed), return_positions=True)
        # Places count from the start of the document, or of the window where it began before.
        places = [place for document in documents for place in range(len(document))]
        wanted = []
        for start in range(0, len(dataset) * WINDOW, WINDOW):
            found = places[start : start + WINDOW]
            inside = found.index(0) if 0 in found else len(found)
            wanted.append([*range(inside), *found[inside:]])
        assert [dataset[number]["positions"].tolist() for number in range(len(dataset))] == wanted


def test_datatrove_writes_the_same_bytes(packed: Packed, tmp_path: Path) -> None:
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile

    out = packed.export("nanotron")
    for number, (name, documents) in enumerate(shards(packed)):
        theirs = TokenizedFile(
            str(tmp_path),
            f"{number}.ds",
            tokenizer_name_or_path=packed.store.tokenizer,
            save_final_metadata=True,
            token_size=token_bytes(packed),
        )
        for document in documents:
            theirs.write(document, None)
        theirs.close()
        for kind in ("ds", "ds.index"):
            assert (out / f"{name}.{kind}").read_bytes() == (tmp_path / f"{number}.{kind}").read_bytes()
        ours, wanted = (
            (path / f"{file}.ds.metadata").read_text().split("\n") for path, file in ((out, name), (tmp_path, number))
        )
        assert ours[:2] == wanted[:2]
        assert len(ours) == len(wanted)


def test_olmo_core_reads_it(packed: Packed, tmp_path: Path) -> None:
    pytest.importorskip("olmo_core", reason="olmo-core 3.0 wants filelock below 4, the lock has 4.2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from olmo_core.data import NumpyFSLDataset
        from olmo_core.data.utils import get_document_indices

    out = packed.export("olmo")
    for split in packed.store.splits:
        parts = [(out / f"{name}.npy", documents) for name, documents in shards(packed) if name.startswith(split.name)]
        dataset = NumpyFSLDataset(
            *(str(path) for path, _ in parts),
            sequence_length=WINDOW,
            pad_token_id=0,
            eos_token_id=0,
            vocab_size=packed.store.vocabulary,
            dtype=split.dtype.type,
        )
        dataset.work_dir = tmp_path
        dataset.prepare()
        wanted = [window for _, documents in parts for window in windows(documents, WINDOW)]
        assert [dataset[number]["input_ids"].tolist() for number in range(len(dataset))] == wanted
        for path, documents in parts:
            ends = list(accumulate(map(len, documents)))
            assert get_document_indices(str(path)) == list(zip([0, *ends[:-1]], ends, strict=True))


def test_olmo_by_its_format_since_olmo_core_wants_another_filelock_than_the_lock(packed: Packed) -> None:
    out = packed.export("olmo")
    for name, documents in shards(packed):
        # What OLMo-core does: raw ids by dtype and offset, and a split at commas of every line of the table.
        ids = np.memmap(out / f"{name}.npy", dtype=packed.store.split("train").dtype, mode="r").tolist()
        lines = gzip.decompress((out / f"{name}.csv.gz").read_bytes()).decode().splitlines()
        spans = [tuple(map(int, line.split(",")[:2])) for line in lines]
        assert [ids[start:end] for start, end in spans] == documents
        assert spans[-1][1] == len(ids)


def test_the_table_for_olmo_leads_back_to_the_text(packed: Packed) -> None:
    import pyarrow.parquet as pq

    out = packed.export("olmo")
    seen = 0
    for name, documents in shards(packed):
        data = gzip.decompress((out / f"{name}.csv.gz").read_bytes()).decode()
        for (_, _, doc_id, src, loc), document in zip(csv.reader(io.StringIO(data)), documents, strict=True):
            row = pq.read_table(packed.root / src).slice(int(loc), 1).to_pylist()[0]
            assert row["doc_id"].hex() == doc_id
            assert len(row["text"].encode()) == len(document) - 1
            seen += 1
    assert seen == 27


@pytest.mark.parametrize("shard_tokens", [1000, 10**6])
def test_nanogpt_which_is_no_package_by_the_call_that_reads(packed_as: Callable[..., Packed], shard_tokens: int) -> None:
    packed = packed_as(shard_tokens=shard_tokens)
    out = packed.export("nanogpt")
    for split in packed.store.splits:
        data = np.memmap(out / f"{split.name}.bin", dtype=np.uint16, mode="r")
        wanted = [number for name, documents in shards(packed) if name.startswith(split.name) for number in chain(*documents)]
        assert data.tolist() == wanted
