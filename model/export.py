"""A trained model as a folder that Hugging Face's transformers reads.

Purpose: writes weights, settings and tokenizer of the last checkpoint so that `AutoModelForCausalLM.from_pretrained(folder)`
and `AutoTokenizer.from_pretrained(folder)` give the model and its tokenizer, without code of ours.
Guarantee: the logits are those of our model to 1e-4. A shape that the architectures named here cannot hold is refused with the
settings to change. As in training, a text begins after an end-of-text: the tokenizer puts one in front (`bos_token`). Rows of
the vocabulary's padding are left out. A second export into the same folder replaces the first.
Cost: the weights twice in memory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tokenmill.model import checkpoint
from tokenmill.model.checkpoint import Checkpoint
from tokenmill.model.gpt import GPT
from tokenmill.model.sample import encoder_of
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.export import replace
from tokenmill.pipeline.export.source import Item
from tokenmill.tokenizer.encode import FastEncoder

PLAIN = {"qk_norm": False, "soft_cap": 0.0, "unigram_offset": False}
HELD: Mapping[str, Mapping[str, Any]] = {
    "GPT2LMHeadModel": {**PLAIN, "norm": "layer", "positions": "learned", "mlp": "gelu", "biases": True},
    "LlamaForCausalLM": {**PLAIN, "norm": "rms", "positions": "rope", "mlp": "swiglu"},
}
"""The parts that each architecture has; what is not named may be anything."""
GPT2_NAMES = {
    r"^embedding": "transformer.wte",
    r"^position": "transformer.wpe",
    r"^blocks": "transformer.h",
    r"^norm": "transformer.ln_f",
    r"^head": "lm_head",
    r"norm_": "ln_",
    r"attention\.out": "attn.c_proj",
    r"mlp\.up": "mlp.c_fc",
    r"mlp\.down": "mlp.c_proj",
}
LLAMA_NAMES = {
    r"^embedding": "model.embed_tokens",
    r"^blocks": "model.layers",
    r"^norm": "model.norm",
    r"^head": "lm_head",
    r"norm_1": "input_layernorm",
    r"norm_2": "post_attention_layernorm",
    r"attention\.(\w)\w+": r"self_attn.\1_proj",
    r"mlp\.(\w+)": r"mlp.\1_proj",
}

PADDED = ("embedding.weight", "head.weight")
"""Tensors with a row for each id."""


def export_model(root: Path, out: Path, progress: Progress, *, objective: str | None = None) -> str:
    """Write the last checkpoint of the corpus in `root` to `out`. Returns the name of the architecture.

    Raises ConfigError if no architecture named here can hold the model; NotBuilt without a checkpoint; CorruptFile; StaleInput
    if the corpus has another tokenizer now; InputError if `out` holds something that no export wrote.
    """
    # The version is held until the end: a build that ends meanwhile would remove it, and the encoder reads its file late.
    encoder, _held = encoder_of(root)
    found = checkpoint.speaking(root, encoder.fingerprint, progress, objective=objective)
    architecture = architecture_of(found.state.shape)
    replace(out, _items(found, architecture, encoder), progress)
    progress.end(f"{architecture} of step {found.state.step} in {out}")
    return architecture


def architecture_of(shape: Shape) -> str:
    """The architecture that holds models of this shape. Raises ConfigError with the settings to change for the nearest one."""
    wrong = {name: _missing(shape, held) for name, held in HELD.items()}
    nearest = min(wrong, key=lambda name: len(wrong[name]))
    if wrong[nearest]:
        has = ", ".join(f"train.{name}={getattr(shape, name)}" for name in wrong[nearest])
        change = " ".join(f"--set train.{name}={str(value).lower()}" for name, value in wrong[nearest].items())
        raise ConfigError(f"model: transformers' {nearest}, the nearest one, cannot hold {has}; train again with {change}")
    return nearest


def _missing(shape: Shape, held: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `shape` that an architecture does not have, with the values that it has."""
    wanted = {name: value for name, value in held.items() if getattr(shape, name) != value}
    if shape.groups != shape.heads and held["norm"] == "layer":
        wanted["kv_heads"] = shape.heads
    if 0 < shape.sliding_window < shape.context_tokens:
        wanted["sliding_window"] = shape.context_tokens
    return wanted


def _items(found: Checkpoint, architecture: str, encoder: FastEncoder) -> list[Item]:
    state = found.state
    ends = {"bos_token_id": state.end_of_text, "eos_token_id": state.end_of_text}
    spelled = next(name for name, number in encoder.description.ids.items() if number == state.end_of_text)
    # A reader takes the folder for a model by its config.json, so that comes last.
    plain = {
        "tokenizer.json": _tokenizer(encoder, spelled),
        "tokenizer_config.json": {
            # Named, because the class that belongs to a model's type may cut text in its own way.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": spelled,
            "eos_token": spelled,
            "model_max_length": state.shape.context_tokens,
        },
        "generation_config.json": ends,
        "config.json": {"architectures": [architecture], "dtype": "float32", **ends, **_config(state.shape, architecture)},
    }

    def write(contents: Callable[[], bytes], path: Path) -> int:
        files.write_bytes(path, contents())
        return 0

    def weights() -> bytes:
        tensors = tensors_of(checkpoint.load_model(found), architecture)
        return safetensors.torch.save(tensors, metadata={"format": "pt"})

    made: dict[str, Callable[[], bytes]] = {"model.safetensors": weights}
    made |= {name: functools.partial(files.canonical_json, one) for name, one in plain.items()}
    return [Item(name=name, write=functools.partial(write, one)) for name, one in made.items()]


def _config(shape: Shape, architecture: str) -> dict[str, Any]:
    common = {"vocab_size": shape.vocabulary, "tie_word_embeddings": shape.tied}
    if architecture == "GPT2LMHeadModel":
        return common | {
            "model_type": "gpt2",
            "n_layer": shape.layers,
            "n_head": shape.heads,
            "n_embd": shape.width,
            "n_positions": shape.context_tokens,
            "n_inner": shape.inner,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": shape.norm_epsilon,
            **{f"{part}_pdrop": 0.0 for part in ("attn", "embd", "resid")},
        }
    return common | {
        "model_type": "llama",
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.groups,
        "head_dim": shape.head_width,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "max_position_embeddings": shape.context_tokens,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_base,
        "attention_bias": shape.biases,
        "mlp_bias": shape.biases,
    }


def tensors_of(model: GPT, architecture: str) -> dict[str, Tensor]:
    """The weights of `model` by the names and in the layout of an architecture, without padding."""
    made, gpt2 = dict[str, Tensor](), architecture == "GPT2LMHeadModel"
    for ours, value in model.state_dict().items():
        if ours in PADDED:
            value = value[: model.shape.vocabulary]
        name = name_of(ours, architecture)
        # GPT-2 keeps matrices of layers as [in, out].
        made[name] = (value.T if gpt2 and value.dim() == 2 and ".h." in name else value).contiguous()
    if gpt2:
        # And one matrix for queries, keys and values.
        for key in [name for name in made if "attention.query" in name]:
            parts = [made.pop(key.replace("query", part)) for part in ("query", "key", "value")]
            made[key.replace("attention.query", "attn.c_attn")] = torch.cat(parts, dim=-1)
    return made


def name_of(ours: str, architecture: str) -> str:
    """The name that an architecture has for a tensor of ours. Queries, keys and values of GPT-2 keep their own names."""
    for pattern, theirs in (GPT2_NAMES if architecture == "GPT2LMHeadModel" else LLAMA_NAMES).items():
        ours = re.sub(pattern, theirs, ours)
    return ours


def _tokenizer(encoder: FastEncoder, first: str) -> dict[str, Any]:
    """The corpus's `tokenizer.json`, with `first` put in front of each text."""
    template = [{"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        **{"version": "1.0", "truncation": None, "padding": None},
        **encoder.description.encoding,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": template,
            "pair": [*template, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {first: {"id": first, "ids": [encoder.end_of_text], "tokens": [first]}},
        },
        "decoder": encoder.description.decoder,
    }
