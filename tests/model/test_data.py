"""The loader: the ids of the samples that the settings name, in order, for any number of ranks; and errors arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tokenmill.model import data
from tokenmill.model.gpt import GPT, Shape, next_token_loss
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import TokenStore, forget
from tokenmill.pipeline.tokens.samples import samples_of

CPU = torch.device("cpu")

Make = Callable[..., Path]
Tiny = Callable[..., TrainConfig]


def test_a_batch_holds_the_ids_of_its_windows(make_store: Make) -> None:
    split = TokenStore.open(make_store(train=[[1, 2, 3], [4, 5, 6, 7]]) / "tokens").split("train")
    made = data.windows_at(split, np.array([1, 0]), 4, "document")
    assert made.ids.dtype == torch.int64
    assert made.kept is None
    assert made.starts is None, "each row is inside one document, whose end-of-text is its last input"
    assert made.ids.tolist() == [[4, 5, 6, 7, 49], [1, 2, 3, 49, 4]]


def test_a_batch_says_where_documents_begin(make_store: Make) -> None:
    split = TokenStore.open(make_store(train=[[1, 2, 3], [4], [5, 6, 7, 8]]) / "tokens").split("train")
    made = data.windows_at(split, np.array([0, 1]), 5, "document")
    assert made.ids.tolist() == [[1, 2, 3, 49, 4, 49], [49, 5, 6, 7, 8, 49]]
    assert made.starts is not None
    assert made.starts.dtype == torch.int64
    assert made.starts.tolist() == [[0, 0, 0, 0, 4], [0, 1, 1, 1, 1]]
    assert data.windows_at(split, np.array([0, 1]), 5, "window").starts is None


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_read_the_samples_of_an_update_between_them(make_store: Make, tiny: Tiny, ranks: int) -> None:
    store = TokenStore.open(make_store() / "tokens")
    config = tiny(batch_windows=2, accumulate=4)
    samples = samples_of(store, config)
    updates: list[list[list[int]]] = [[], []]
    for rank in range(ranks):
        with data.loader(samples, config, first=24, device=CPU, rank=rank, ranks=ranks) as batches:
            for update in updates:
                for windows in islice(batches, 4 // ranks):
                    update += windows.ids.tolist()
    wanted = samples.read(24, 16).ids.tolist()
    assert updates == [wanted[:8], wanted[8:]]


def test_samples_that_cannot_be_shared_are_refused(make_store: Make, tiny: Tiny) -> None:
    samples = samples_of(TokenStore.open(make_store() / "tokens"), tiny())
    with (
        pytest.raises(ConfigError, match="4 samples of a step cannot be shared evenly: rank=0 ranks=3"),
        data.loader(samples, tiny(), first=0, device=CPU, ranks=3),
    ):
        pass


def test_what_cannot_be_read_is_raised_where_it_is_asked_for_and_no_thread_is_left(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    before = threading.active_count()
    samples = samples_of(TokenStore.open(root / "tokens"), tiny())
    path = root / "tokens/train/00000.bin"
    path.write_bytes(bytes(path.stat().st_size))
    with (
        pytest.raises(CorruptFile, match="00000.bin: block 0"),
        data.loader(samples, tiny(), first=0, device=CPU) as batches,
    ):
        next(batches)
    assert threading.active_count() == before


def test_no_loss_is_taken_of_what_is_forgotten(make_store: Make) -> None:
    root = make_store(train=[[1, 2, 3], [4, 5, 6, 7], [8, 9]])
    ids = TokenStore.open(root / "tokens").split("train").documents_table()["doc_id"].to_pylist()
    with files.lock(root):
        forget.forget(root, [forget.request_ids("doc_id", ids[1].hex(), [ids[1].hex()])])
    split = TokenStore.open(root / "tokens").split("train")
    windows = data.windows_at(split, np.array([0]), 11, "window")
    assert windows.ids.tolist() == [[1, 2, 3, 49, 49, 49, 49, 49, 49, 8, 9, 49]]
    assert windows.kept is not None
    assert windows.kept.tolist() == [[True] * 4 + [False] * 5 + [True] * 3]
    model = GPT(Shape(layers=1, heads=1, width=8, context_tokens=11, vocabulary=50)).eval()
    with torch.no_grad():
        logits = model(windows.ids[:, :-1]).log_softmax(-1)[0]
        wanted = -torch.stack([logits[at, windows.ids[0, at + 1]] for at in (0, 1, 2, 8, 9, 10)])
        assert next_token_loss(model, windows.ids, kept=windows.kept).item() == pytest.approx(wanted.mean().item(), rel=1e-5)
        total = next_token_loss(model, windows.ids, kept=windows.kept, reduction="sum").item()
        assert total == pytest.approx(wanted.sum().item(), rel=1e-5)
        nothing = next_token_loss(model, windows.ids, kept=torch.zeros_like(windows.kept))
        assert nothing.item() == 0


@pytest.mark.parametrize("lengths", [(4, 2), (1, 1)])
def test_with_attention_in_documents_what_is_forgotten_changes_nothing(make_store: Make, lengths: tuple[int, int]) -> None:
    """Neither its ids, nor how long it is: the losses of a window are those of one in which it is another."""
    losses = []
    for length in lengths:
        root = make_store(train=[[1, 2, 3], [4 + length] * length, [8, 9, 10]], folder=f"forgot{length}")
        ids = TokenStore.open(root / "tokens").split("train").documents_table()["doc_id"].to_pylist()
        with files.lock(root):
            forget.forget(root, [forget.request_ids("doc_id", ids[1].hex(), [ids[1].hex()])])
        split = TokenStore.open(root / "tokens").split("train")
        windows = data.windows_at(split, np.array([0]), split.tokens - 1, "document")
        model = GPT(Shape(layers=2, heads=1, width=8, context_tokens=12, vocabulary=50)).eval()
        with torch.no_grad():
            losses.append(next_token_loss(model, windows.ids, kept=windows.kept, starts=windows.starts).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
