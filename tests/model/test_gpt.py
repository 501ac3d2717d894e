"""The model: its shape, its causality, and GPT-2's own logits."""

from __future__ import annotations

import math

import pytest
import torch

from tokenmill.model.gpt import GPT, Shape, next_token_loss

SHAPE = Shape(layers=2, heads=2, width=16, context_tokens=12, vocabulary=50)


def some_ids(rows: int, tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, SHAPE.vocabulary, (rows, tokens), generator=torch.Generator().manual_seed(seed))


def test_logits_have_one_row_per_token_and_one_column_per_padded_id() -> None:
    assert GPT(SHAPE)(some_ids(3, 7)).shape == (3, 7, 128)


@pytest.mark.parametrize(("vocabulary", "padded"), [(1, 128), (128, 128), (129, 256), (50_257, 50_304)])
def test_the_vocabulary_is_padded_to_a_multiple_of_128(vocabulary: int, padded: int) -> None:
    assert Shape(layers=1, heads=1, width=8, context_tokens=4, vocabulary=vocabulary).padded_vocabulary == padded


def test_parameters_are_those_of_gpt2_small() -> None:
    small = Shape(layers=12, heads=12, width=768, context_tokens=1024, vocabulary=50_257)
    assert small.parameters == 124_439_808


def test_parameters_count_every_tensor_without_padding() -> None:
    model = GPT(SHAPE)
    padding = (SHAPE.padded_vocabulary - SHAPE.vocabulary) * SHAPE.width
    assert sum(parameter.numel() for parameter in model.parameters()) - padding == SHAPE.parameters


def test_a_later_token_changes_no_earlier_logit() -> None:
    model = GPT(SHAPE).eval()
    ids = some_ids(2, 10)
    changed = ids.clone()
    changed[:, 6] = (changed[:, 6] + 1) % SHAPE.vocabulary
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:, :50], after[:, 6:, :50])


def test_documents_of_a_window_have_the_logits_that_they_have_alone() -> None:
    torch.manual_seed(0)
    model = GPT(SHAPE).eval()
    ids = some_ids(2, 12)
    lengths = [[5, 1, 6], [12]]
    starts = torch.tensor([[0] * 5 + [5] + [6] * 6, [0] * 12])
    together = model(ids, starts)
    for row, parts in enumerate(lengths):
        for part, logits in zip(ids[row].split(parts), together[row].split(parts), strict=True):
            torch.testing.assert_close(logits[:, :50], model(part[None])[0, :, :50], rtol=0, atol=1e-6)
    changed = ids.clone()
    changed[0, :6] = (changed[0, :6] + 1) % SHAPE.vocabulary
    after = model(changed, starts)
    assert torch.equal(after[0, 6:], together[0, 6:])
    assert not torch.allclose(after[0, :6, :50], together[0, :6, :50])
    assert not torch.allclose(model(changed)[0, 6:, :50], model(ids)[0, 6:, :50]), "without starts they see each other"


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_of_documents_stay_in_them(dropout: float) -> None:
    torch.manual_seed(0)
    model = GPT(SHAPE, dropout=dropout).train()
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7]])
    model(ids, torch.tensor([[0, 0, 0, 3, 3, 3, 3]]))[0, 3:, :50].log_softmax(-1)[:, 8].sum().backward()
    assert model.wpe.weight.grad is not None
    assert model.wpe.weight.grad[:4].any(dim=1).all()
    assert not model.wpe.weight.grad[4:].any(), "positions are counted in the document"


def test_positions_matter() -> None:
    logits = GPT(SHAPE).eval()(torch.full((1, 2), 3))
    assert not torch.allclose(logits[0, 0, :50], logits[0, 1, :50])


def test_head_and_embedding_are_one_tensor() -> None:
    model = GPT(SHAPE)
    assert not any("head" in name for name in model.state_dict())
    next_token_loss(model, torch.tensor([[1, 2, 3]])).backward()
    # Id 9 is no input, so its gradient comes from the head alone.
    assert model.wte.weight.grad is not None
    assert model.wte.weight.grad[9].abs().sum() > 0


def test_padding_has_no_probability_no_gradient_and_no_weights() -> None:
    model = GPT(SHAPE)
    ids = some_ids(2, 9)
    assert torch.all(model(ids)[..., SHAPE.vocabulary :] == -math.inf)
    next_token_loss(model, ids).backward()
    assert model.wte.weight.grad is not None
    assert not model.wte.weight.grad[SHAPE.vocabulary :].any()
    assert not model.wte.weight[SHAPE.vocabulary :].any()


def test_initial_weights_are_those_of_gpt2_and_depend_on_the_seed_alone() -> None:
    shape = Shape(layers=8, heads=2, width=64, context_tokens=64, vocabulary=512)
    model = GPT(shape, seed=1)
    torch.rand(1)
    again, other = GPT(shape, seed=1), GPT(shape, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.wte.weight, other.wte.weight)
    assert model.h[0].mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model.h[0].mlp.c_proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert not model.h[0].attn.c_attn.bias.any()
    # As good as guessing: every id is about equally likely.
    assert next_token_loss(model.eval(), some_ids(8, 33)).item() == pytest.approx(math.log(512), abs=0.1)


def test_dropout_changes_training_and_not_evaluation() -> None:
    model = GPT(SHAPE, dropout=0.5)
    ids = some_ids(1, 5)
    assert not torch.equal(model.train()(ids), model(ids))
    assert torch.equal(model.eval()(ids), model(ids))


def test_logits_equal_those_of_transformers_with_the_same_weights() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    settings = GPT2Config(vocab_size=50, n_positions=12, n_embd=16, n_layer=2, n_head=2, bos_token_id=49, eos_token_id=49)
    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(settings).eval()
    with torch.no_grad():
        # Fresh biases are 0 and fresh gains 1: a model that forgot one would go unnoticed.
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    ours = GPT(SHAPE).eval()
    weights = ours.state_dict()
    for name, value in theirs.transformer.state_dict().items():
        if name == "wte.weight":
            weights[name][:50] = value
        else:
            # transformers keeps these four as [in, out].
            turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
            assert weights[name].shape == (value.T if turned else value).shape, name
            weights[name].copy_(value.T if turned else value)
    ids = some_ids(3, 12)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids)[..., :50], theirs(ids).logits, rtol=0, atol=1e-4)
