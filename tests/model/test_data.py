"""The loader: the ids of the samples that the settings name, in order, for any number of ranks; and errors arrive."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tokenmill.model import data
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss, token_losses
from tokenmill.model.shape import Shape
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
    assert made.targets == 8
    assert made.starts is None, "each row is one document, after the end-of-text that begins it"
    assert made.ids.tolist() == [[49, 4, 5, 6, 7], [49, 1, 2, 3, 49]]


def test_a_window_beyond_the_end_is_filled_up_and_only_what_is_there_counts(make_store: Make) -> None:
    split = TokenStore.open(make_store(train=[[1, 2, 3], [4, 5]]) / "tokens").split("train")
    made = data.windows_at(split, np.array([0, 1]), 5, "document")
    assert made.ids.tolist() == [[49, 1, 2, 3, 49, 4], [4, 5, 49, 49, 49, 49]]
    assert made.kept is not None
    assert made.kept.tolist() == [[False, *[True] * 5], [True] * 3 + [False] * 3]
    assert made.targets == 7 == split.tokens


def test_a_batch_says_where_documents_begin(make_store: Make) -> None:
    split = TokenStore.open(make_store(train=[[1, 2, 3], [4], [5, 6, 7, 8]]) / "tokens").split("train")
    made = data.windows_at(split, np.array([0, 1]), 6, "document")
    assert made.ids.tolist() == [[49, 1, 2, 3, 49, 4, 49], [49, 5, 6, 7, 8, 49, 49]]
    assert made.starts is not None
    assert made.starts.dtype == torch.int64
    assert made.starts.tolist() == [[0, 0, 0, 0, 4, 4], [0, 0, 0, 0, 0, 5]]
    assert made.edges is not None
    assert (made.edges.dtype, made.edges.tolist()) == (torch.int32, [0, 4, 6, 11, 12])
    plain = data.windows_at(split, np.array([0, 1]), 6, "window")
    assert plain.starts is plain.edges is None


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_read_the_samples_of_an_update_between_them(make_store: Make, tiny: Tiny, ranks: int) -> None:
    store = TokenStore.open(make_store() / "tokens")
    config = tiny(batch_windows=2, accumulate=4)
    samples = samples_of(store, config)
    updates: list[list[list[int]]] = [[], []]
    for rank in range(ranks):
        with data.loader(
            data.reader(samples, config.attention), config, first=24, device=CPU, rank=rank, ranks=ranks
        ) as batches:
            for update in updates:
                for windows in islice(batches, 4 // ranks):
                    update += windows.ids.tolist()
    wanted = samples.read(24, 16).ids.tolist()
    assert updates == [wanted[:8], wanted[8:]]


def test_samples_that_cannot_be_shared_are_refused(make_store: Make, tiny: Tiny) -> None:
    samples = samples_of(TokenStore.open(make_store() / "tokens"), tiny())
    with (
        pytest.raises(ConfigError, match="4 samples of a step cannot be shared evenly: rank=0 ranks=3"),
        data.loader(data.reader(samples, "document"), tiny(), first=0, device=CPU, ranks=3),
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
        data.loader(data.reader(samples, "document"), tiny(), first=0, device=CPU) as batches,
    ):
        next(batches)
    assert threading.active_count() == before


def test_no_loss_is_taken_of_what_is_forgotten(make_store: Make) -> None:
    root = make_store(train=[[1, 2, 3], [4, 5, 6, 7], [8, 9]])
    ids = TokenStore.open(root / "tokens").split("train").documents_table()["doc_id"].to_pylist()
    with files.lock(root):
        forget.forget(root, [forget.request_ids("doc_id", ids[1].hex(), [ids[1].hex()])])
    split = TokenStore.open(root / "tokens").split("train")
    windows = data.windows_at(split, np.array([0]), 12, "window")
    assert windows.ids.tolist() == [[49, 1, 2, 3, 49, 49, 49, 49, 49, 49, 8, 9, 49]]
    assert windows.kept is not None
    assert windows.kept.tolist() == [[False] + [True] * 4 + [False] * 5 + [True] * 3]
    assert windows.targets == 7
    model = GPT(Shape(layers=1, heads=1, width=8, context_tokens=12, vocabulary=50)).eval()
    with torch.no_grad():
        logits = model(windows.ids[:, :-1]).log_softmax(-1)[0]
        wanted = -torch.stack([logits[at, windows.ids[0, at + 1]] for at in (0, 1, 2, 3, 9, 10, 11)])
        assert next_token_loss(model, windows).nats.item() == pytest.approx(wanted.sum().item(), rel=1e-5)
        nothing = dataclasses.replace(windows, kept=torch.zeros_like(windows.kept))
        assert next_token_loss(model, nothing).nats.item() == 0


def test_another_document_of_the_same_length_changes_no_loss_outside_it(make_store: Make) -> None:
    """Bit for bit, also of the token that follows it: the end-of-text begins the next document, and sees nothing before."""
    rows = []
    for number, middle in enumerate(([4, 5, 6, 7], [40, 30, 20, 10])):
        root = make_store(train=[[1, 2, 3], middle, [8, 9, 10], [11]], folder=f"one{number}")
        split = TokenStore.open(root / "tokens").split("train")
        windows = data.windows_at(split, np.arange(2), 8, "document")
        model = GPT(Shape(layers=2, heads=1, width=8, context_tokens=8, vocabulary=50)).eval()
        with torch.no_grad():
            rows.append(token_losses(model, windows).flatten()[: split.tokens])
    before, after = rows
    outside = torch.tensor([*range(4), *range(9, 15)])
    assert torch.equal(before[outside], after[outside])
    assert not torch.isclose(before[4:8], after[4:8]).any()


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
        windows = data.windows_at(split, np.array([0]), split.tokens, "document")
        model = GPT(Shape(layers=2, heads=1, width=8, context_tokens=13, vocabulary=50)).eval()
        with torch.no_grad():
            losses.append(next_token_loss(model, windows).nats.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
