"""Fine-tuning: what answers and labels bring a loss, and runs that begin with the causal model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.objectives.conftest import Learn
from tests.model.runs import StopAt, Stopped, Tiny, Told, log_of, published
from tests.model.test_chat import PLAIN, Bytes
from tokenmill.model import checkpoint, data
from tokenmill.model.chat import ChatTemplate
from tokenmill.model.encoders import Classifier
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.objectives import classes, instructions
from tokenmill.model.objectives.examples import Labelled, Turns
from tokenmill.model.objectives.packing import Rows, packed
from tokenmill.model.sample import open_speaker
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.model.train import train
from tokenmill.pipeline.ask import verify
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt, StaleInput
from tokenmill.pipeline.base.progress import Silent
from tokenmill.tokenizer.encode import of_corpus

SHAPE = Shape(layers=1, heads=2, width=32, context_tokens=96, vocabulary=257)
TALKS: list[Turns] = [(("1+1", "2"), ("2+2", " 4.\n")), (("What?", "Nothing at all"),), (("Who?", "I"),)]


def rows_of(talks: list[Turns], length: int = 96, template: ChatTemplate = PLAIN) -> Rows:
    made, _ = instructions.examples_of(talks, template, Bytes(), most=length - 1)
    return packed(made, length=length, seed=0, end_of_text=256)


def kept_texts(rows: Rows) -> list[str]:
    """What is kept, in runs; <> for an end-of-text."""
    found: list[str] = []
    for ids, kept in zip(rows.ids.tolist(), rows.kept.tolist(), strict=True):
        for place, one in enumerate(ids):
            if kept[place]:
                found += [] if kept[place - 1] else [""]
                found[-1] += "<>" if one == 256 else chr(one)
    return found


@pytest.mark.parametrize(
    ("template", "first", "last"),
    [
        (r"User: {user}\nAssistant: {assistant}\n", [" 2\n", " 4.\n<>"], "User: Who?\nAssistant: I\n"),
        ("<|u|>{user}<|a|>{assistant}<|e|>", ["2<|e|>", "4.<|e|><>"], "<|u|>Who?<|a|>I<|e|>"),
        ("Q {user} A {assistant}", [" 2", " 4.<>"], "Q Who? A I"),
    ],
)
def test_answers_and_what_ends_them_are_kept(template: str, first: list[str], last: str) -> None:
    parsed = ChatTemplate.parse(template)
    assert kept_texts(rows_of(TALKS[:1], template=parsed)) == first
    rows = rows_of(TALKS[2:], template=parsed)
    assert bytes(rows.ids[0, 1 : 1 + len(last)].tolist()).decode() == last
    joined = "".join(text for text, _ in instructions.pieces(TALKS[2], parsed))
    assert joined == last
    assert joined.startswith(parsed.text([], "Who?"))


def test_tokens_of_prompts_have_a_gradient_of_exactly_0() -> None:
    windows = data.windows_of(rows_of(TALKS).batch(np.arange(1)), "document")
    model = GPT(SHAPE, seed=1)
    logits: list[torch.Tensor] = []
    head = model.logits

    def listened(hidden: torch.Tensor) -> torch.Tensor:
        logits.append(head(hidden))
        logits[0].retain_grad()
        return logits[0]

    model.logits = listened  # type: ignore[method-assign]
    next_token_loss(model, windows).nats.backward()  # type: ignore[no-untyped-call]
    assert windows.kept is not None
    assert logits[0].grad is not None
    learned = logits[0].grad.abs().sum(dim=1) > 0
    assert learned.tolist() == windows.kept[0, 1:].tolist()
    assert (logits[0].grad[~learned] == 0).all()
    assert windows.targets == learned.sum() > 0


def test_a_conversation_longer_than_the_context_is_cut_and_one_without_an_answer_left_out() -> None:
    made, cut = instructions.examples_of([(("x" * 100, "y"),), (("x", "y" * 100),)], PLAIN, Bytes(), most=40)
    assert (len(made), cut) == (1, 2)
    assert (len(made[0].ids), made[0].kept[-1]) == (40, False)


def test_answers_are_learnt_by_heart(by_heart: Learn) -> None:
    windows = data.windows_of(rows_of(TALKS).batch(np.arange(1)), "document")
    assert by_heart(GPT(SHAPE, seed=1), windows, next_token_loss) < 0.05


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_labels_are_learnt_by_heart_and_depend_on_their_own_text(by_heart: Learn, preset: str) -> None:
    texts = [Labelled(text=text, label=text[0]) for text in ("ab", "ba", "cab", "b", "a" * 50)]
    made, cut = classes.examples_of(texts, ("a", "b", "c"), Bytes(), most=31)
    rows = packed(made, length=32, seed=0, end_of_text=256)
    some = classes.batch(rows, np.arange(len(rows)))
    assert (cut, len(rows), some.targets) == (1, 2, 5)
    parts = PRESETS[preset]  # type: ignore[index]
    model = Classifier(Shape(**{**vars(SHAPE), "context_tokens": 32, "classes": 3, **parts}), seed=1)
    assert by_heart(model, some, classes.loss) < 0.05
    assert classes.right(model, some) == 5
    model.eval()
    together = model(some.ids, some.starts, some.edges, some.ends)
    for number, one in enumerate(some.labels.tolist()):
        assert together[number].argmax() == one
    alone = packed(made[1:2], length=32, seed=0, end_of_text=256)
    lone = classes.batch(alone, np.arange(1))
    found = model(lone.ids, lone.starts, lone.edges, lone.ends)[0]
    assert min((found - row).abs().max().item() for row in together) < 1e-5


@pytest.fixture(scope="module")
def based(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A corpus with a causal model, conversations, and texts with labels."""
    folder = tmp_path_factory.mktemp("examples")
    talks = [{"prompt": f"{a}+{b}", "completion": str(a + b)} for a in range(4) for b in range(4)]
    texts = [{"text": f"{'good' if k % 2 else 'bad'} {k}", "label": k % 2} for k in range(40)]
    for name, lines in (("chat", talks), ("texts", texts)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    root = folder / "corpus"
    shutil.copytree(built, root, symlinks=True)
    return root, folder / "chat.jsonl", folder / "texts.jsonl"


def test_models_stand_beside_one_another_and_each_is_taken_for_what_it_is(based: tuple[Path, Path, Path], tiny: Tiny) -> None:
    root, talks, texts = based
    common = {"context_tokens": 48, "width": 32, "dropout": 0.0, "checkpoint_every": 20, "batch_windows": 2, "sample_tokens": 0}
    tuning = {**common, "context_tokens": 8, "layers": 1, "steps": 20, "held_out": 0.2, "evaluate_every": 20}
    wanted = tiny(**{**tuning, "objective": "instructions", "examples": str(talks)})
    with pytest.raises(NotBuilt, match="no trained model"):
        train(root, wanted, Silent())
    train(root, tiny(**{**common, "steps": 20, "model": "llama"}), Silent())
    told = Told()
    made = train(root, wanted, told)
    assert any("examples in" in line and "% full" in line for line in told.lines)
    assert made.evaluations[-1].loss < made.evaluations[0].loss
    labelled = train(root, tiny(**{**tuning, "objective": "classes", "examples": str(texts)}), Silent())
    assert labelled.evaluations[-1].accuracy == 1.0
    said = classes.classify(root, ["good 11", "bad 10", "good 5", "bad 2"])
    assert [label for label, _ in said] == ["1", "0", "1", "0"]
    assert all(0.5 < probability <= 1 for _, probability in said)
    assert classes.classify(root, []) == []
    for name in ("masked", "spans"):
        train(root, tiny(**{**common, "steps": 2, "objective": name}), Silent())
    tokenizer = open_speaker(root).encoder.fingerprint
    causal, tuned = (checkpoint.speaking(root, tokenizer, Silent(), objective=name) for name in ("causal", None))
    assert (causal.state.objective, tuned.state.objective) == ("causal", "instructions")
    assert (tuned.state.shape, tuned.state.step) == (causal.state.shape, 20)
    assert open_speaker(root).template == wanted.template
    with pytest.raises(ConfigError, match="model of the objective masked does not continue texts; take one of: causal, instr"):
        checkpoint.speaking(root, tokenizer, Silent(), objective="masked")
    for name in ("masked", "spans", "classes"):
        found = checkpoint.last(root, tokenizer, Silent(), objective=name)
        assert checkpoint.load(found).shape == found.state.shape
        with pytest.raises(ConfigError, match=f"objective {name}, which does not continue texts"):
            checkpoint.load_model(found)
    assert checkpoint.last(root, tokenizer, Silent(), objective="classes").state.labels == ("0", "1")
    assert not list(verify.problems(root, Silent(), of_corpus))
    train(root, tiny(**{**common, "steps": 21, "model": "llama"}), Silent())
    assert checkpoint.speaking(root, tokenizer, Silent()).state.objective == "causal"
    with pytest.raises(StaleInput, match="order was .* after the model"):
        train(root, wanted, Silent())
    before = talks.read_text()
    talks.write_text(before + '{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(StaleInput, match="order was 'rows of 48 targets of the examples"):
        train(root, wanted, Silent())
    talks.write_text(before)


@pytest.mark.parametrize("objective", ["masked", "spans", "instructions", "classes"])
def test_a_run_that_is_stopped_ends_with_the_same_bytes(based: tuple[Path, Path, Path], tiny: Tiny, objective: str) -> None:
    root, talks, texts = based
    path = str(texts if objective == "classes" else talks)
    wanted = tiny(objective=objective, examples=path, context_tokens=48, steps=4, checkpoint_every=2, sample_tokens=0)
    train(root, wanted, Silent(), resume=False)
    whole = {name: held for name, held in published(root).items() if f"/{objective}/" in name}
    with pytest.raises(Stopped):
        train(root, wanted, StopAt(3), resume=False)
    train(root, wanted, Silent())
    assert {name: held for name, held in published(root).items() if f"/{objective}/" in name} == whole
    assert whole
    assert len(log_of(root)) > 0
