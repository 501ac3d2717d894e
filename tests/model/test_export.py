"""Models as transformers reads them: the same logits, the same ids, and refusals by name."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from tests.command import tokenmill
from tests.model.runs import Make, Tiny
from tokenmill.model import checkpoint, export
from tokenmill.model.gpt import GPT
from tokenmill.model.shape import BY_OBJECTIVE, PRESETS, Shape
from tokenmill.model.train import train
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.progress import Silent
from tokenmill.tokenizer.encode import of_corpus

SHAPE = Shape(layers=2, heads=4, width=32, context_tokens=16, vocabulary=50)


def trained(root: Path, tiny: Tiny, **changes: object) -> GPT:
    train(root, tiny(**{"steps": 2, "batch_windows": 1, "dropout": 0.0, **changes}), Silent(), resume=False)
    found = checkpoint.newest(root / "model/checkpoints", Silent())
    assert found is not None
    return checkpoint.load_model(found).eval()


@pytest.mark.parametrize(
    ("changes", "architecture"),
    [
        ({"model": "gpt2", "heads": 4, "hidden": 40}, "GPT2LMHeadModel"),
        ({"model": "gpt2", "tied": False, "sliding_window": 16}, "GPT2LMHeadModel"),
        ({"model": "llama", "heads": 4, "kv_heads": 2}, "LlamaForCausalLM"),
        ({"model": "llama", "tied": True, "biases": True}, "LlamaForCausalLM"),
    ],
)
def test_transformers_gives_the_same_logits_and_ids(
    built: Path, tmp_path: Path, tiny: Tiny, changes: dict[str, object], architecture: str
) -> None:
    transformers = pytest.importorskip("transformers")
    model = trained(built, tiny, **changes)
    assert export.export_model(built, tmp_path / "out", Silent()) == architecture
    theirs, said = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert type(theirs).__name__ == architecture
    assert not any(said.values()), said
    assert theirs.dtype == torch.float32
    ids = torch.randint(0, model.shape.vocabulary, (3, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = theirs.eval()(ids).logits
        torch.testing.assert_close(logits, model(ids)[..., : model.shape.vocabulary], rtol=0, atol=1e-4)
    encoder = of_corpus(built, manifest.load(built, TOKENIZER))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    plain = "It's 2024;  the MILL grinds, naïve\n\n grinds\tagain 漢字 1234567."
    wanted = encoder.encode(pa.array([plain], pa.large_string()))[0].tolist()
    assert tokenizer(plain).input_ids == [encoder.end_of_text, *wanted], "a text begins after an end-of-text"
    assert tokenizer.decode(wanted) == plain
    end = encoder.end_of_text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, theirs.generation_config.eos_token_id) == (end, end, end)


def test_a_second_export_replaces_the_first_and_nothing_else(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    trained(built, tiny)
    out = tmp_path / "out"
    export.export_model(built, out, Silent())
    assert not (built / "export-model").exists()
    names = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} < names.keys()
    assert load_file(out / "model.safetensors")["transformer.wte.weight"].shape == (260, 16), "without padding"
    done = tokenmill("export-model", built, "--out", out)
    assert (done.returncode, "GPT2LMHeadModel of step 2 in" in done.stdout) == (0, True), done
    assert names == {path.name: path.read_bytes() for path in out.iterdir()}
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("x")
    with pytest.raises(InputError, match="holds no export"):
        export.export_model(built, tmp_path / "full", Silent())
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_the_commands_say_what_to_do(built: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(built, tiny, model="modern")
    done = tokenmill("export-model", built)
    assert (done.returncode, "train again with --set train.qk_norm=false" in done.stderr) == (1, True), done
    assert not (built / "export-model").exists()
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    done = tokenmill("evaluate", built, "--tasks", "arc_easy")
    assert (done.returncode, "pip install 'tokenmill[eval]'" in done.stderr) == (1, True), done


def test_what_is_not_there_is_said(built: Path, make_store: Make, tmp_path: Path, tiny: Tiny) -> None:
    with pytest.raises(NotBuilt, match="run the build first"):
        export.export_model(tmp_path / "nowhere", tmp_path / "out", Silent())
    shutil.rmtree(built / "model", ignore_errors=True)
    with pytest.raises(NotBuilt, match="train it first"):
        export.export_model(built, tmp_path / "out", Silent())
    model = trained(built, tiny)
    assert model.shape.vocabulary == 260
    path = next((built / "model/checkpoints").glob("*.json"))
    found = json.loads(path.read_text())
    assert found["tokenizer"] == of_corpus(built, manifest.load(built, TOKENIZER)).fingerprint
    other = make_store()
    train(other, tiny(steps=1), Silent())
    (tmp_path / "mixed").mkdir()
    for name in ("tokenizer", "manifest.json"):
        (tmp_path / "mixed" / name).symlink_to(built / name)
    (tmp_path / "mixed/model").symlink_to(other / "model")
    with pytest.raises(StaleInput, match="with the tokenizer ffff"):
        export.export_model(tmp_path / "mixed", tmp_path / "out", Silent())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("preset", "changes", "message"),
    [
        (
            "gpt2",
            {"soft_cap": 30.0},
            "GPT2LMHeadModel, the nearest one, cannot hold train.soft_cap=30.0; .* train.soft_cap=0.0$",
        ),
        ("gpt2", {"kv_heads": 2}, "train.kv_heads=2; train again with --set train.kv_heads=4$"),
        ("gpt2", {"biases": False}, "train.biases=False; train again with --set train.biases=true$"),
        ("llama", {"qk_norm": True}, "LlamaForCausalLM, .* cannot hold train.qk_norm=True; .* --set train.qk_norm=false$"),
        ("llama", {"sliding_window": 8}, "train.sliding_window=8; train again with --set train.sliding_window=16$"),
        ("llama", {"positions": "sinusoidal"}, "train.positions=sinusoidal; train again with --set train.positions=rope$"),
        (
            "modern",
            {},
            "LlamaForCausalLM, .* with --set train.qk_norm=false --set train.soft_cap=0.0 --set train.unigram_offset=false "
            "--set train.mlp=swiglu$",
        ),
    ],
)
def test_shapes_that_no_architecture_holds_are_refused(preset: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export.architecture_of(dataclasses.replace(SHAPE, **{**PRESETS[preset], **changes}))


def test_every_part_of_a_shape_is_held_or_checked() -> None:
    """A new switch of the shape must not be exported as if it were not there."""
    config = {"layers", "heads", "width", "context_tokens", "vocabulary", "kv_heads", "hidden", "tied", "biases"}
    config |= {"norm_epsilon", "rope_base"}
    checked = {*export.HELD["GPT2LMHeadModel"], "sliding_window"}
    # What an objective decides is refused by `checkpoint.load_model`.
    assert {field.name for field in dataclasses.fields(Shape)} == config | checked | {"initialisation"} | BY_OBJECTIVE
