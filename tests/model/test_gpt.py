"""The model: its shape, its causality, and GPT-2's own logits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from tests.model.runs import windows_of
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.parts import Scope, attend, attend_in_steps
from tokenmill.model.shape import PRESETS, Shape, shape_of
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.config.train import Preset

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
        for part, logits in zip(ids[row].split(parts), together[row].split(parts), strict=True):  # type: ignore[no-untyped-call]
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
    gradient = model.position.weight.grad
    assert gradient is not None
    assert gradient[:4].any(dim=1).all()
    assert not gradient[4:].any(), "positions are counted in the document"


def test_without_the_kernels_of_a_gpu_a_mask_does_what_edges_would(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = GPT(SHAPE).eval(), some_ids(1, 12)
    starts, edges = torch.tensor([[0] * 5 + [5] * 7]), torch.tensor([0, 5, 12], dtype=torch.int32)
    assert torch.equal(model(ids, starts), model.logits(model.hidden(ids, starts, edges=edges)))
    asked: list[torch.Tensor] = []

    def kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *more: Any, **named: Any) -> torch.Tensor:
        asked.append(more[0])
        assert query.shape == key.shape == value.shape == (12, 2, 8)
        assert {query.dtype, key.dtype, value.dtype} == {torch.bfloat16}
        return query

    monkeypatch.setattr("tokenmill.model.gpt.has_flash", lambda device, head_width: True)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    model.hidden(ids, starts, edges=edges)
    assert not asked, "in float32 there are no such kernels"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.hidden(ids, starts, edges=edges)
        assert asked == [edges, edges], "one for each layer"
        GPT(SHAPE, dropout=0.1).train().hidden(ids, starts, edges=edges)
    assert len(asked) == 2, "nor with dropout"


def test_positions_matter() -> None:
    logits = GPT(SHAPE).eval()(torch.full((1, 2), 3))
    assert not torch.allclose(logits[0, 0, :50], logits[0, 1, :50])


def test_head_and_embedding_are_one_tensor() -> None:
    model = GPT(SHAPE)
    assert not any("head" in name for name in model.state_dict())
    next_token_loss(model, windows_of([[1, 2, 3]])).nats.backward()  # type: ignore[no-untyped-call]
    # Id 9 is no input, so its gradient comes from the head alone.
    assert model.embedding.weight.grad is not None
    assert model.embedding.weight.grad[9].abs().sum() > 0


def test_padding_has_no_probability_no_gradient_and_no_weights() -> None:
    model = GPT(SHAPE)
    ids = some_ids(2, 9)
    assert torch.all(model(ids)[..., SHAPE.vocabulary :] == -math.inf)
    next_token_loss(model, windows_of(ids.tolist())).nats.backward()  # type: ignore[no-untyped-call]
    assert model.embedding.weight.grad is not None
    assert not model.embedding.weight.grad[SHAPE.vocabulary :].any()
    assert not model.embedding.weight[SHAPE.vocabulary :].any()


def test_initial_weights_are_those_of_gpt2_and_depend_on_the_seed_alone() -> None:
    shape = Shape(layers=8, heads=2, width=64, context_tokens=64, vocabulary=512)
    model = GPT(shape, seed=1)
    torch.rand(1)
    again, other = GPT(shape, seed=1), GPT(shape, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert not torch.equal(model.embedding.weight, other.embedding.weight)
    named = dict(model.named_parameters())
    assert named["blocks.0.mlp.up.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert named["blocks.0.mlp.down.weight"].std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert not named["blocks.0.attention.query.bias"].any()
    # As good as guessing: every id is about equally likely.
    loss = next_token_loss(model.eval(), windows_of(some_ids(8, 33).tolist())).nats / (8 * 32)
    assert loss.item() == pytest.approx(math.log(512), abs=0.1)


def test_dropout_changes_training_and_not_evaluation() -> None:
    model = GPT(SHAPE, dropout=0.5)
    ids = some_ids(1, 5)
    assert not torch.equal(model.train()(ids), model(ids))
    assert torch.equal(model.eval()(ids), model(ids))


GPT2_NAMES = {
    "wte": "embedding",
    "wpe": "position",
    "h": "blocks",
    "ln_1": "norm_1",
    "ln_2": "norm_2",
    "ln_f": "norm",
    "attn": "attention",
    "mlp": "mlp",
}
LLAMA_NAMES = {
    "embed_tokens": "embedding",
    "layers": "blocks",
    "input_layernorm": "norm_1",
    "post_attention_layernorm": "norm_2",
    "self_attn": "attention",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "out",
    "up_proj": "up",
    "gate_proj": "gate",
    "down_proj": "down",
}


def renamed(name: str, names: dict[str, str]) -> str:
    return ".".join(names.get(part, part) for part in name.split("."))


def shaken(model: torch.nn.Module) -> torch.nn.Module:
    """Fresh biases are 0 and fresh gains 1: a model that forgot one would go unnoticed."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def fill(model: GPT, theirs: dict[str, torch.Tensor]) -> None:
    """Load weights, each of the same shape; those by the id have fewer rows, without padding."""
    weights = model.state_dict()
    assert theirs.keys() == weights.keys()
    for name, value in theirs.items():
        into = weights[name][: len(value)] if name in ("embedding.weight", "head.weight") else weights[name]
        assert into.shape == value.shape, name
        into.copy_(value)


def test_logits_are_those_of_transformers_gpt2() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    settings = GPT2Config(vocab_size=50, n_positions=12, n_embd=16, n_layer=2, n_head=2, bos_token_id=49, eos_token_id=49)
    theirs = GPT2LMHeadModel(settings)
    shaken(theirs)
    plain: dict[str, torch.Tensor] = {}
    for name, value in theirs.transformer.state_dict().items():
        ours = renamed(name, GPT2_NAMES)
        # transformers keeps matrices as [in, out], and one for queries, keys and values.
        value = value.T if value.dim() == 2 and ".c_" in name else value
        if ".c_attn" in name:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                plain[ours.replace("c_attn", part)] = third
        else:
            inner = {"attention.c_proj": "attention.out", "mlp.c_proj": "mlp.down", "mlp.c_fc": "mlp.up"}
            for old, new in inner.items():
                ours = ours.replace(old, new)
            plain[ours] = value
    model = GPT(SHAPE).eval()
    fill(model, plain)
    ids = some_ids(3, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[..., :50], theirs(ids).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_logits_are_those_of_transformers_llama(kv_heads: int) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = dataclasses.replace(SHAPE, heads=4, width=32, kv_heads=kv_heads, **PRESETS["llama"])
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=shape.inner,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=kv_heads,
            max_position_embeddings=12,
            rms_norm_eps=1e-5,
            bos_token_id=49,
            eos_token_id=49,
        )
    )
    shaken(theirs)
    plain = {renamed(name, LLAMA_NAMES): value for name, value in theirs.model.state_dict().items()}
    model = GPT(shape).eval()
    fill(model, {**plain, "head.weight": theirs.lm_head.weight})
    ids = some_ids(3, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(ids)[..., :50], theirs(ids).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_step_by_step_is_the_fast_one(groups: int, masked: bool) -> None:
    generator = torch.Generator().manual_seed(groups)
    query = torch.randn((2, 4, 9, 8), generator=generator)
    key, value = (torch.randn((2, groups, 9, 8), generator=generator) for _ in range(2))
    causal = torch.ones((9, 9), dtype=torch.bool).tril()
    drawn = torch.rand((2, 1, 9, 9), generator=generator) < 0.5
    # Every token attends at least to itself.
    mask = (drawn & causal) | torch.eye(9, dtype=torch.bool) if masked else causal[None, None]
    fast = attend(query, key, value, Scope(mask=mask if masked else None, causal=True, rotation=None))
    torch.testing.assert_close(attend_in_steps(query, key, value, mask), fast, rtol=0, atol=1e-6)


def test_a_sliding_window_hides_what_is_before_it() -> None:
    model = GPT(dataclasses.replace(SHAPE, layers=1, sliding_window=3)).eval()
    ids = some_ids(1, 10)
    changed = ids.clone()
    changed[0, 4] = (changed[0, 4] + 1) % SHAPE.vocabulary
    differs = (model(ids) != model(changed))[0, :, :50].any(dim=1)
    assert differs.tolist() == [4 <= at <= 6 for at in range(10)]


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
@pytest.mark.parametrize(
    "changes", [{}, {"kv_heads": 1, "hidden": 24}, {"positions": "sinusoidal", "biases": True, "norm": "layer"}]
)
def test_presets_count_their_parameters(preset: Preset, changes: dict[str, Any]) -> None:
    shape = dataclasses.replace(SHAPE, **{**PRESETS[preset], **changes})
    model = GPT(shape)
    padding = (shape.padded_vocabulary - shape.vocabulary) * shape.width * (1 if shape.tied else 2)
    assert sum(parameter.numel() for parameter in model.parameters()) - padding == shape.parameters


def test_a_soft_cap_bounds_the_logits() -> None:
    model = GPT(dataclasses.replace(SHAPE, soft_cap=2.0))
    with torch.no_grad():
        model.embedding.weight[:50].mul_(1000)
    logits = model(some_ids(2, 5))
    assert logits[..., :50].abs().max() <= 2.0
    assert torch.isneginf(logits[..., 50:]).all()


@pytest.mark.parametrize(
    "wrong", [{"kv_heads": 3}, {"soft_cap": -1.0}, {"hidden": -1}, {"heads": 16, "positions": "rope"}, {"soft_cap": math.nan}]
)
def test_shapes_that_cannot_be_built_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(SHAPE, **wrong)


def test_settings_change_single_parts_of_a_preset() -> None:
    shape = shape_of(TrainConfig(model="modern", soft_cap=0.0, mlp="swiglu", tied=True), 50)
    assert (shape.norm, shape.soft_cap, shape.mlp, shape.tied, shape.inner) == ("rms", 0.0, "swiglu", True, 384)
    with pytest.raises(ValueError, match="multiple of kv_heads"):
        TrainConfig(kv_heads=3)
