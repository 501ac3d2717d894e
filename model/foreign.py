"""The `config.json` of a folder for transformers, as a shape of ours.

Guarantee: every field of the file either becomes a part of the shape, has the one value that our parts have, or changes nothing
that a model computes; any other is refused by name, all of them at once. Fields that are missing have the values that
transformers gives them. Cost: none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.model.shape import PRESETS, ROPE_BASE, Shape
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt
from tokenmill.pipeline.config.train import LARGEST, MOST, SMALLEST, Preset

CONFIG = "config.json"
LARGEST_FILE_BYTES = 1 << 20
TYPES: Mapping[str, tuple[str, Preset]] = {"GPT2LMHeadModel": ("gpt2", "gpt2"), "LlamaForCausalLM": ("llama", "llama")}
"""By architecture: the `model_type` of transformers, and our preset."""
SIZES: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "GPT2LMHeadModel": {
        "n_layer": ("layers", 12),
        "n_head": ("heads", 12),
        "n_embd": ("width", 768),
        "n_positions": ("context_tokens", 1024),
        "n_inner": ("hidden", 0),
        "vocab_size": ("vocabulary", 50_257),
    },
    "LlamaForCausalLM": {
        "num_hidden_layers": ("layers", 32),
        "num_attention_heads": ("heads", 32),
        "num_key_value_heads": ("kv_heads", 0),
        "hidden_size": ("width", 4096),
        "intermediate_size": ("hidden", 11_008),
        "max_position_embeddings": ("context_tokens", 2048),
        "vocab_size": ("vocabulary", 32_000),
    },
}
"""Fields that are whole numbers: our name, and what transformers takes if the field is missing. 0 or null: as usual."""
HELD: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "GPT2LMHeadModel": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    "LlamaForCausalLM": {"hidden_act": ("silu", "swish")},
}
"""Fields with the values that our parts have."""
SILENT = (
    *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "use_cache", "initializer_range"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "attn_pdrop", "embd_pdrop", "resid_pdrop", "attention_dropout"),
    *("n_ctx", "reorder_and_upcast_attn", "pretraining_tp", "task_specific_params", "summary_activation", "summary_type"),
    *("summary_first_dropout", "summary_proj_to_labels", "summary_use_proj", "_name_or_path", "rope_interleaved"),
)
"""Fields that change no logits: ids, dropout (`train.dropout` is ours), how something is stored or computed."""


def read_config(source: Path, vocabulary: int, context_tokens: int | None = None) -> tuple[str, Shape, list[str]]:
    """The architecture of the model in `source`, its shape for that many ids, and what is said of rows that are left out.

    `context_tokens`: a shorter context length than the model's. Raises NotBuilt without a `config.json`, InputError.
    """
    path = source / CONFIG
    config = _fields(path)
    architecture = _architecture(config, path)
    faults: list[str] = []
    sizes = {ours: _size(config, name, usual, faults) for name, (ours, usual) in SIZES[architecture].items()}
    known = {*SIZES[architecture], *HELD[architecture], *SILENT, "tie_word_embeddings"}
    switches, names = (_gpt2 if architecture == "GPT2LMHeadModel" else _llama)(config, sizes, faults)
    for name, allowed in HELD[architecture].items():
        if name in config and not any(config[name] is one or (config[name] == one and type(one) is str) for one in allowed):
            faults.append(f"{name}={_shown(config[name])}")
    tied = config.get("tie_word_embeddings", architecture == "GPT2LMHeadModel")
    if type(tied) is not bool:
        faults.append(f"tie_word_embeddings={_shown(tied)}")
    # A part that is not there, or empty, changes nothing.
    faults += [
        f"{name}={_shown(value)}"
        for name, value in config.items()
        if name not in known | names and value is not None and value is not False and value not in ({}, [])
    ]
    if faults:
        raise InputError(
            f"{path}: a {architecture} with {', '.join(faults)} is more than the parts of tokenmill hold; a field that changes "
            "nothing may be removed from the file"
        )
    longest, rows = sizes["context_tokens"], sizes["vocabulary"]
    if context_tokens is not None and not 2 <= context_tokens <= longest:
        raise InputError(f"--context-tokens {context_tokens}: the model has a context of 2 to {longest:,} tokens")
    if rows < vocabulary:
        raise InputError(f"{path}: vocab_size={rows}, but the tokenizer of the corpus has {vocabulary:,} ids")
    said = []
    if rows > vocabulary:
        said.append(f"{rows - vocabulary:,} rows of the vocabulary are left out: the tokenizer has no such ids")
    if context_tokens is not None and context_tokens < longest:
        said.append(f"the context length is {context_tokens:,} tokens, that of the folder is {longest:,}")
    sizes |= {"context_tokens": context_tokens or longest, "vocabulary": vocabulary}
    try:
        return architecture, Shape(**{**PRESETS[TYPES[architecture][1]], **sizes, **switches, "tied": tied}), said
    except ConfigError as error:
        raise InputError(f"{path}: {error}") from error


def _fields(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotBuilt(f"{path}: is no file; give the folder of a model for transformers")
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise InputError(f"{path}: has {path.stat().st_size:,} bytes, more than any settings of a model")
        config = json.loads(files.read_bytes(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({type(error).__name__})") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: is not a JSON object")
    return config


def _architecture(config: Mapping[str, Any], path: Path) -> str:
    """The architecture of the model. Raises InputError with its name if it is another one than those we have."""
    kind, named = config.get("model_type"), config.get("architectures")
    usual = next((name for name, (model_type, _) in TYPES.items() if kind == model_type), kind)
    name = named[0] if isinstance(named, list) and named else usual
    if not isinstance(name, str) or name not in TYPES or kind not in (None, TYPES[name][0]):
        what = _shown(name) if kind is None else f"{_shown(name)} of the type {_shown(kind)}"
        raise InputError(f"{path}: is a {what}; tokenmill reads {' and '.join(TYPES)}")
    return name


def _gpt2(config: Mapping[str, Any], sizes: Mapping[str, int], faults: list[str]) -> tuple[dict[str, Any], set[str]]:
    """Parts of GPT-2, and the fields that say so."""
    return {"norm_epsilon": _number(config, "layer_norm_epsilon", 1e-5, faults)}, {"layer_norm_epsilon"}


def _llama(config: Mapping[str, Any], sizes: Mapping[str, int], faults: list[str]) -> tuple[dict[str, Any], set[str]]:
    """Parts of a Llama, and the fields that say so."""
    biases = [config.get(name, False) for name in ("attention_bias", "mlp_bias")]
    if biases[0] is not biases[1] or type(biases[0]) is not bool:
        faults += [f"attention_bias={_shown(biases[0])} and mlp_bias={_shown(biases[1])}"]
    wide = config.get("head_dim")
    if wide is not None and wide != sizes["width"] / max(1, sizes["heads"]):
        faults.append(f"head_dim={_shown(wide)} (not hidden_size / num_attention_heads)")
    base = _number(config, "rope_theta", ROPE_BASE, faults)
    for name in ("rope_scaling", "rope_parameters"):
        turning = config.get(name)
        if turning is None:
            continue
        usual = isinstance(turning, dict) and not turning.keys() - {"rope_type", "type", "rope_theta"}
        if not usual or any(turning.get(key, "default") != "default" for key in ("rope_type", "type")):
            faults.append(f"{name}={_shown(turning)}")
        else:
            base = _number(turning, "rope_theta", base, faults)
    made = {
        "biases": biases[0],
        "norm_epsilon": _number(config, "rms_norm_eps", 1e-6, faults),
        "rope_base": base,
        "kv_heads": 0 if sizes["kv_heads"] == sizes["heads"] else sizes["kv_heads"],
    }
    names = {"attention_bias", "mlp_bias", "head_dim", "rope_theta", "rope_scaling", "rope_parameters", "rms_norm_eps"}
    return made, names


def _size(config: Mapping[str, Any], name: str, usual: int, faults: list[str]) -> int:
    value = config.get(name, usual)
    if value is None and usual == 0:
        return 0
    if type(value) is int and (0 < value <= MOST or (value == 0 and usual == 0)):
        return value
    faults.append(f"{name}={_shown(value)}")
    return 1


def _number(config: Mapping[str, Any], name: str, usual: float, faults: list[str]) -> float:
    value = config.get(name, usual)
    if type(value) in (int, float) and SMALLEST <= value <= LARGEST:
        return float(value)
    faults.append(f"{name}={_shown(value)}")
    return usual


def _shown(value: object) -> str:
    """A value for a message, shortened because the file may be hostile."""
    said = repr(value)
    return said if len(said) <= 80 else f"{said[:77]}..."
