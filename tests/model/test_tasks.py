"""lm-eval on an exported model: a text has the bits per byte that we measure; without lm-eval, what to install is said."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from tests.model.runs import Tiny, windows_of
from tokenmill.flows.cli.draw.tasks import table_of
from tokenmill.model import checkpoint
from tokenmill.model.loss import token_losses
from tokenmill.model.tasks import evaluate_tasks
from tokenmill.model.train import train
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.progress import Silent
from tokenmill.tokenizer.encode import of_corpus

TEXTS = ["Mill.", "Grinds on."]


@pytest.mark.filterwarnings("ignore")  # of lm-eval's and its libraries
def test_a_text_has_our_bits_per_byte(built: Path, tmp_path: Path, tiny: Tiny) -> None:
    pytest.importorskip("lm_eval")
    train(built, tiny(steps=2, batch_windows=1), Silent(), resume=False)
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    task = {
        "task": "mill_texts",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": str(tmp_path / "texts.jsonl"), "cache_dir": str(tmp_path / "cache")},
        "output_type": "loglikelihood_rolling",
        "test_split": "train",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    }
    (tmp_path / "texts.yaml").write_text(json.dumps(task))
    found = evaluate_tasks(built, [str(tmp_path / "texts.yaml")], Silent())
    last = checkpoint.newest(built / "model/checkpoints", Silent())
    assert last is not None
    model = checkpoint.load_model(last).eval()
    encoder = of_corpus(built, manifest.load(built, TOKENIZER))
    nats = 0.0
    for text in TEXTS:
        ids = encoder.encode(pa.array([text], pa.large_string()))[0].tolist()
        with torch.no_grad():
            nats += token_losses(model, windows_of([[encoder.end_of_text, *ids]])).sum().item()
    wanted = nats / math.log(2) / len("".join(TEXTS))
    assert found["mill_texts"]["bits_per_byte,none"] == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(ConfigError, match="--tasks mill_text: lm-eval has no such task"):
        evaluate_tasks(built, ["mill_text"], Silent())
    with pytest.raises(ConfigError, match="names no task"):
        evaluate_tasks(built, [], Silent())
    (tmp_path / "texts.yaml").write_text("task: [")
    with pytest.raises(InputError, match="a task, or its data, cannot be read"):
        evaluate_tasks(built, [str(tmp_path / "texts.yaml")], Silent())
    (tmp_path / "texts.yaml").write_text(json.dumps({**task, "dataset_kwargs": {"data_files": str(tmp_path / "gone")}}))
    with pytest.raises(InputError, match="gone"):
        evaluate_tasks(built, [str(tmp_path / "texts.yaml")], Silent())


def test_without_lm_eval_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ConfigError, match=r"pip install 'tokenmill\[eval\]'"):
        evaluate_tasks(tmp_path, ["arc_easy"], Silent())


def test_metrics_stand_in_a_table_with_their_errors() -> None:
    table = table_of({"arc": {"acc,none": 0.5, "acc_stderr,none": 0.1, "f1,strict": 0.25}})
    assert [list(column.cells) for column in table.columns] == [
        ["arc", "arc"],
        ["acc", "f1"],
        ["none", "strict"],
        ["0.5000", "0.2500"],
        ["0.1000", ""],
    ]
