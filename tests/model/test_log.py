"""What the log says of updates and evaluations: batches that grow, phases, the share of the peak, languages, samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.folders import smallest
from tests.model.runs import Make, StopAt, Stopped, Tiny, log_of, published
from tokenmill.flows.build import build
from tokenmill.model import phases
from tokenmill.model.groups import by_language
from tokenmill.model.phases import Phases
from tokenmill.model.run import run_of
from tokenmill.model.sample import encoder_of
from tokenmill.model.shape import Shape
from tokenmill.model.train import train
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.tokens import TokenStore

SMALL = {"layers": 1, "heads": 1, "width": 8, "context_tokens": 16, "batch_windows": 2, "device": "cpu"}


def test_a_batch_that_grows(make_store: Make, tiny: Tiny) -> None:
    config = tiny(accumulate=4, ramp_steps=6, steps=12, batch_windows=1)
    sizes = [config.batches(step) for step in range(12)]
    assert sizes == [1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4]
    assert [config.samples_before(step) for step in (0, 3, 12)] == [0, 4, 36]
    root = make_store()
    train(root, config, Silent())
    assert [line["tokens"] for line in log_of(root) if "loss" in line] == [16 * sum(sizes[: n + 1]) for n in range(12)]


@pytest.mark.parametrize("stop", [3, 5, 7])
def test_a_batch_that_grows_goes_on_where_it_was(make_store: Make, tiny: Tiny, stop: int) -> None:
    config = tiny(accumulate=3, ramp_steps=8, steps=9, batch_windows=1, checkpoint_every=2)
    whole, cut = make_store(folder="whole"), make_store(folder="cut")
    train(whole, config, Silent())
    with pytest.raises(Stopped):
        train(cut, config, StopAt(stop))
    train(cut, config, Silent())
    assert published(cut) == published(whole)


def test_the_samples_of_a_growing_batch_are_known(built: Path) -> None:
    shutil.rmtree(built / "model", ignore_errors=True)
    config = TrainConfig.model_validate(SMALL | {"accumulate": 2, "ramp_steps": 3, "steps": 4, "layers": 1})
    train(built, config, Silent())
    corpus = open_corpus(built)
    run = run_of(corpus, TokenStore.open(built / "tokens"))
    assert run.firsts.tolist() == [0, 2, 4, 6, 10], "1, 1, 1 and 2 batches of two windows"
    shutil.rmtree(built / "model")


def test_phases_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 3.5, 5.0, 9.0, 10.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    taken = Phases(torch.device("cpu"))
    for phase in ("data", "forward", "backward", "", "data", "forward", ""):
        taken.mark(phase)
    assert taken.taken(2) == {"data": 2.5, "forward": 1.5, "backward": 0.25}
    assert taken.taken(2) == {}


def test_the_share_of_the_peak(make_store: Make, tiny: Tiny) -> None:
    shape = Shape(layers=2, heads=2, width=16, context_tokens=16, vocabulary=50)
    products = 2 * (4 * 16 * 16 + 2 * 16 * 64) + 50 * 16
    vectors = 2 * (4 * 16 + 64 + 16 + 2 * 2 * 16) + 2 * 16
    assert shape.flops_per_token == 6 * (products + vectors) + 12 * 2 * 16 * 16
    root = make_store()
    train(root, tiny(peak_teraflops=1e-3, steps=10), Silent())
    (*_, line) = (one for one in log_of(root) if "loss" in one)
    assert line["mfu"] == pytest.approx(line["tokens_per_second"] * shape.flops_per_token / 1e9, rel=1e-2)
    assert set(line["seconds"]) == {"data", "forward", "backward", "optimizer"}  # type: ignore[call-overload]


def test_no_peak_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert phases.peak_teraflops(torch.device("cpu"), torch.float32) is None
    gpu = torch.device("cuda")
    for name, peak in {"NVIDIA H100 80GB HBM3": 989.0, "NVIDIA H100 PCIe": 756.0, "GeForce": None}.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert phases.peak_teraflops(gpu, torch.bfloat16) == peak
        assert phases.peak_teraflops(gpu, torch.float32) is None


@pytest.fixture(scope="module")
def bilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of English and German documents, a third of them for validation."""
    folder = tmp_path_factory.mktemp("bilingual")
    (folder / "in").mkdir()
    english = "The mill stands by the river, and the miller grinds the corn of the whole village there."
    german = "Die Mühle steht am Fluss, und der Müller mahlt dort das Korn des ganzen Dorfes, Tag für Tag."
    for number in range(12):
        for name, text in (("e", english), ("g", german)):
            (folder / "in" / f"{name}{number}.txt").write_text(f"{text} ({number})\n" * (2 + number))
    settings = smallest(
        folder, stages=["language"], language={"keep": ["en", "de"], "threshold": 0.1}, pack={"validation_fraction": 0.3}
    )
    return build(settings, folder / "corpus").root


def test_languages_and_samples_are_in_the_log(bilingual: Path) -> None:
    made = train(bilingual, TrainConfig.model_validate(SMALL | {"steps": 4, "evaluate_every": 2, "sample_tokens": 5}), Silent())
    lines = log_of(bilingual)
    said = [line for line in lines if "sample" in line]
    assert [line["step"] for line in said] == [0, 2, 4]
    assert all(isinstance(line["sample"], str) for line in said)
    assert set(made.evaluations[-1].languages) == {"de", "en"}
    assert dict(lines[0])["languages"] == made.evaluations[0].languages  # type: ignore[comparison-overlap]


def test_each_token_has_the_language_of_its_document(bilingual: Path) -> None:
    split = TokenStore.open(bilingual / "tokens").split("val")
    groups = by_language(split, open_corpus(bilingual))
    assert groups is not None
    table = split.documents_table()
    ends = np.cumsum(table["tokens"].to_numpy())
    assert groups.edges.tolist() == ends[:-1].tolist()
    tokens = dict.fromkeys(groups.names, 0)
    for number, size in zip(groups.numbers.tolist(), table["tokens"].to_pylist(), strict=True):
        tokens[groups.names[number]] += size
    evaluation = train(bilingual, TrainConfig.model_validate(SMALL | {"steps": 4}), Silent(), resume=False).evaluations[-1]
    mean = sum(loss * tokens[name] for name, loss in evaluation.languages.items()) / sum(tokens.values())
    assert evaluation.loss == pytest.approx(mean, rel=1e-6)
    labels = dict(zip(groups.names, range(len(groups.names)), strict=True))
    codec, _ = encoder_of(bilingual)
    for number, first, size in zip(groups.numbers.tolist(), [0, *ends[:-1].tolist()], table["tokens"].to_pylist(), strict=True):
        text = codec.decode(split.read(first, first + size).tolist())
        assert number == labels["de" if "ü" in text else "en"]


def test_a_corpus_without_languages_has_none(built: Path) -> None:
    assert by_language(TokenStore.open(built / "tokens").split("train"), open_corpus(built)) is None


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # Torch's compiler uses what torch deprecates, and fails where that is an error.
@pytest.mark.parametrize("changes", [{}, {"recompute": True}])
def test_compiled_layers_learn_the_same(make_store: Make, tiny: Tiny, changes: dict[str, object]) -> None:
    losses = []
    for number, compiled in enumerate((False, True)):
        root = make_store(folder=str(number))
        result = train(root, tiny(compile=compiled, dropout=0.0, **changes), Silent())
        losses.append([one.loss for one in result.evaluations])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
