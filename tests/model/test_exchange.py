"""Models of transformers, in and out again: the same bytes, the same logits, and refusals by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.runs import Tiny, Told
from tokenmill.flows import training
from tokenmill.model import checkpoint, exchange, export
from tokenmill.model.generate import Choice
from tokenmill.model.sample import open_speaker, sample
from tokenmill.pipeline.base.errors import InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.progress import Silent

transformers = pytest.importorskip("transformers")

GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24, "bos_token_id": None, "eos_token_id": None}
LLAMA = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40},
    **{"max_position_embeddings": 24, "bos_token_id": None, "eos_token_id": None},
}


def made(folder: Path, tokenizer: Path, kind: str = "gpt2", **changes: Any) -> Any:
    """Write a small random model of transformers with the tokenizer of the corpus."""
    torch.manual_seed(0)
    if kind == "gpt2":
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**{"vocab_size": 260, **GPT2, **changes}))
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{"vocab_size": 260, **LLAMA, **changes}))
    with torch.no_grad():
        for one in model.parameters():
            one.add_(torch.randn_like(one) * 0.1)
    model.save_pretrained(folder)
    shutil.copy(tokenizer / "tokenizer/tokenizer.json", folder)
    return model.eval()


def taken(root: Path, folder: Path, tiny: Tiny, **how: Any) -> exchange.Imported:
    return exchange.import_model(root, folder, tiny(), Silent(), replace=True, **how)


def changed(folder: Path, values: Mapping[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {}),
        ("gpt2", {"tie_word_embeddings": False, "n_inner": 24, "layer_norm_epsilon": 1e-4}),
        ("llama", {}),
        ("llama", {"num_key_value_heads": 2, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5}),
        ("llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    ],
)
def test_there_and_back(built: Path, tmp_path: Path, tiny: Tiny, kind: str, changes: dict[str, Any]) -> None:
    theirs = made(tmp_path / "in", built, kind, **changes)
    assert taken(built, tmp_path / "in", tiny).architecture == type(theirs).__name__
    model = open_speaker(built).model.eval()
    ids = torch.randint(0, 260, (3, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = theirs(ids).logits
        torch.testing.assert_close(model(ids)[..., :260], logits, rtol=0, atol=1e-4)
        export.export_model(built, tmp_path / "out", Silent())
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
        torch.testing.assert_close(again(ids).logits, logits, rtol=0, atol=1e-4)
    assert (tmp_path / "in/model.safetensors").read_bytes() == (tmp_path / "out/model.safetensors").read_bytes()
    # What was exported comes in again, though its tokenizer puts an end-of-text in front of a text.
    taken(built, tmp_path / "out", tiny)


def test_shards_older_names_and_other_types_are_read(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    made(tmp_path / "in", built)
    whole = load_file(tmp_path / "in/model.safetensors")
    (tmp_path / "in/model.safetensors").unlink()
    # As the first GPT-2 was published: without a prefix, with its masks, here in bfloat16 and in two files.
    plain = {name.removeprefix("transformer."): value.bfloat16() for name, value in whole.items()}
    plain["h.0.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.uint8)
    parts = [{name: value for number, (name, value) in enumerate(plain.items()) if number % 2 == odd} for odd in (0, 1)]
    index = {}
    for number, part in enumerate(parts):
        save_file(part, tmp_path / f"in/model-{number}.safetensors")
        index |= dict.fromkeys(part, f"model-{number}.safetensors")
    (tmp_path / "in/model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    taken(built, tmp_path / "in", tiny)
    export.export_model(built, tmp_path / "out", Silent())
    again = load_file(tmp_path / "out/model.safetensors")
    assert {name: value.bfloat16().float().tolist() for name, value in whole.items()} == {
        name: value.tolist() for name, value in again.items()
    }


def test_a_shorter_context_and_ids_that_no_token_has(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    theirs, told = made(tmp_path / "in", built, vocab_size=300), Told()
    exchange.import_model(built, tmp_path / "in", tiny(), told, context_tokens=8, replace=True)
    assert [line.split(":")[0] for line in told.lines] == [
        "40 rows of the vocabulary are left out",
        "the context length is 8 tokens, that of the folder is 24",
    ]
    ids = torch.arange(8)[None]
    with torch.no_grad():
        torch.testing.assert_close(open_speaker(built).model(ids)[..., :260], theirs(ids).logits[..., :260], rtol=0, atol=1e-4)
    with pytest.raises(InputError, match="context of 2 to 24 tokens"):
        taken(built, tmp_path / "in", tiny, context_tokens=25)
    with pytest.raises(InputError, match="vocab_size=100, but the tokenizer of the corpus has 260 ids"):
        made(tmp_path / "small", built, vocab_size=100)
        taken(built, tmp_path / "small", tiny)


FEW = {
    "train.steps": "3",
    "train.batch_windows": "1",
    "train.warmup_steps": "1",
    "train.device": "cpu",
    "train.sample_tokens": "0",
}


def test_training_goes_on_with_the_model_and_its_shape(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    made(tmp_path / "in", built, "llama", num_key_value_heads=2)
    training.import_model(built, tmp_path / "in", Silent(), replace=True)
    said = "".join(sample(built, "The", tokens=3, choice=Choice(), seed=0))
    assert said.startswith("The")
    before = open_speaker(built).model
    # Nothing was read yet: seed and optimizer may be others than at import.
    training.run(built, {**FEW, "train.optimizer": "adamw", "train.seed": "7"}, Silent())
    found = checkpoint.newest(built / "model/checkpoints", Silent())
    assert found is not None
    assert (found.state.step, found.state.seed, found.state.imported) == (3, 7, "LlamaForCausalLM")
    assert found.state.shape == before.shape
    moved = open_speaker(built).model.embedding.weight - before.embedding.weight
    assert 0 < moved.abs().max() < 0.1, "small steps from the weights that came in"
    # Without the shape in its settings, the run goes on; with another one, it is refused and not begun anew.
    training.run(built, {**FEW, "train.optimizer": "adamw", "train.seed": "7", "train.steps": "4"}, Silent())
    with pytest.raises(StaleInput, match=r"shape.layers was 2 and is 3; .*import-model"):
        training.run(
            built, {**FEW, "train.layers": "3", "train.seed": "7", "train.optimizer": "adamw"}, Silent(), restart_if_stale=True
        )
    with pytest.raises(InputError, match="--replace"):
        training.import_model(built, tmp_path / "in", Silent())
    training.run(built, FEW, Silent(), restart=True)
    found = checkpoint.newest(built / "model/checkpoints", Silent())
    assert found is not None
    assert found.state.imported is None


def test_a_restart_leaves_no_imported_model(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    made(tmp_path / "in", built)
    taken(built, tmp_path / "in", tiny)
    training.run(built, {**FEW, "train.steps": "1"}, Silent(), restart=True)
    assert checkpoint.published(built / "model/checkpoints") == [1]


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("gpt2", {"activation_function": "relu"}, "a GPT2LMHeadModel with activation_function='relu'"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("gpt2", {"n_layer": "2"}, "n_layer='2'"),
        ("gpt2", {"n_layer": 2**40}, f"n_layer={2**40}"),
        ("gpt2", {"n_layer": 2**30}, "weights are too small"),
        ("gpt2", {"n_head": 3}, "multiple of its heads"),
        ("gpt2", {"layer_norm_epsilon": 0}, "layer_norm_epsilon=0"),
        ("gpt2", {"quantization_config": {"bits": 4}, "x": 1}, r"quantization_config={'bits': 4}, x=1 is more"),
        (
            "gpt2",
            {"architectures": ["GPT2ForSequenceClassification"]},
            "is a 'GPT2ForSequenceClassification' of the type 'gpt2'",
        ),
        ("gpt2", {"tie_word_embeddings": False}, "no weights named lm_head.weight"),
        ("gpt2", {"n_embd": 32}, "too small|has the shape"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "rope_parameters={'rope_type': 'llama3'"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling="),
        ("llama", {"rope_scaling": "yarn"}, "rope_scaling='yarn'"),
        ("llama", {"attention_bias": True}, "attention_bias=True and mlp_bias=False"),
        ("llama", {"head_dim": 8}, "head_dim=8"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ("llama", {"sliding_window": 4}, "sliding_window=4"),
        ("llama", {"num_key_value_heads": 3}, "multiple of its kv_heads"),
        ("llama", {"intermediate_size": 48}, "which is not what config.json describes"),
        ("llama", {"num_hidden_layers": 1}, "has weights that LlamaForCausalLM has no place for: model.layers.1"),
        ("llama", {"tie_word_embeddings": True}, "lm_head.weight is another matrix"),
        ("llama", {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}, "is a 'MistralForCausalLM' of the type"),
        ("llama", {"architectures": None, "model_type": "qwen3"}, "is a 'qwen3'"),
    ],
)
def test_what_our_parts_do_not_hold_is_named(
    built: Path, tmp_path: Path, tiny: Tiny, kind: str, change: dict[str, Any], said: str
) -> None:
    made(tmp_path / "in", built, kind)
    before = {path: path.read_bytes() for path in (built / "model").rglob("*.json")}
    changed(tmp_path / "in", change)
    with pytest.raises(InputError, match=said):
        taken(built, tmp_path / "in", tiny)
    assert before == {path: path.read_bytes() for path in (built / "model").rglob("*.json")}, "nothing was lost"


def test_folders_that_are_no_model(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    folder = tmp_path / "in"
    with pytest.raises(NotBuilt, match=r"config\.json: is no file"):
        taken(built, folder, tiny)
    made(folder, built)
    weights = folder / "model.safetensors"
    held = load_file(weights)

    def refused(said: str) -> None:
        with pytest.raises(InputError, match=said):
            taken(built, folder, tiny)

    save_file(held | {"transformer.wte.weight": held["transformer.wte.weight"] * torch.nan}, weights)
    refused("wte.weight holds numbers that are not finite")
    save_file({name: value.double() for name, value in held.items()}, weights)
    refused("is torch.float64")
    weights.write_bytes(weights.read_bytes()[:-5])
    refused("is not a safetensors file")
    weights.rename(folder / "pytorch_model.bin")
    refused("has pytorch_model.bin, a pickle, which runs what it holds")
    (folder / "pytorch_model.bin").unlink()
    refused("has no model.safetensors")
    index = folder / "model.safetensors.index.json"
    for wrong in (
        '{"weight_map": {"a": "../other.safetensors"}}',
        '{"weight_map": {"a": "/etc/passwd"}}',
        '{"weight_map": {}}',
    ):
        index.write_text(wrong)
        refused("names files that are no safetensors beside it")
    for wrong in ("[]", "{", '{"weight_map": [1]}'):
        index.write_text(wrong)
        refused("is no index of safetensors")
    index.write_text('{"weight_map": {"a": "gone.safetensors"}}')
    refused("has no gone.safetensors")
    for wrong in ("[]", "{", "[" * 100_000):
        (folder / "config.json").write_text(wrong)
        refused("is not")


def test_another_tokenizer_is_stale(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    made(tmp_path / "in", built)
    path = tmp_path / "in/tokenizer.json"
    plain = json.loads(path.read_text())
    ids = plain["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    path.write_text(json.dumps(plain))
    with pytest.raises(StaleInput, match=r"gives other ids .* --set tokenizer.path="):
        taken(built, tmp_path / "in", tiny)
    path.unlink()
    with pytest.raises(NotBuilt, match="holds no tokenizer"):
        taken(built, tmp_path / "in", tiny)
