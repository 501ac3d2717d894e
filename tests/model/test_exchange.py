"""Models of transformers, in and out again: the same bytes, the same logits, and refusals by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.runs import Tiny
from tokenmill.model import exchange, export
from tokenmill.model.sample import open_speaker
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
