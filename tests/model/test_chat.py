"""Conversations: written by the template, ended where the next question would begin, and never longer than the context."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.model.runs import Make, Tiny
from tokenmill.model import sample
from tokenmill.model.chat import Chat, ChatTemplate
from tokenmill.model.generate import Choice
from tokenmill.model.gpt import GPT
from tokenmill.model.sample import Speaker, open_speaker
from tokenmill.model.shape import Shape
from tokenmill.model.train import train
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.base.progress import Silent

PLAIN = ChatTemplate.parse(r"User: {user}\nAssistant: {assistant}\n")


class Bytes:
    """A tokenizer of bytes."""

    fingerprint = "f" * 64
    vocabulary = 257
    end_of_text = 256

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        rows = [text.encode() for text in texts.to_pylist()]
        return np.frombuffer(b"".join(rows), np.uint8).astype(np.uint32), np.array([len(row) for row in rows], np.int64)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return bytes(ids)


def chat(monkeypatch: pytest.MonkeyPatch, says: str, *, context: int = 80, **changes: Any) -> tuple[Chat, list[str]]:
    """A chat with a model that always says the same, and the prompts that it is given."""
    prompts: list[str] = []

    def generate(model: GPT, texts: list[list[int]], *, tokens: int, **_: Any) -> Any:
        prompts.append(bytes(texts[0][1:]).decode())
        return ([one] for one in says.encode()[:tokens])

    monkeypatch.setattr(sample, "generate", generate)
    model = GPT(Shape(layers=1, heads=1, width=4, context_tokens=context, vocabulary=257))
    speaker = Speaker(model=model, encoder=Bytes(), end_of_text=256)
    return Chat(speaker=speaker, template=PLAIN, tokens=20, choice=Choice(), seed=0, **changes), prompts


def test_a_conversation_is_one_text_and_an_answer_ends_where_the_next_question_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    talk, prompts = chat(monkeypatch, " Yes.\nUser: and")
    assert "".join(talk.answer("Is it?")) == "Yes."
    assert "".join(talk.answer("Really?")) == "Yes."
    assert prompts == ["User: Is it?\nAssistant:", "User: Is it?\nAssistant: Yes.\nUser: Really?\nAssistant:"]
    assert talk.turns == [("Is it?", "Yes."), ("Really?", "Yes.")]


def test_the_oldest_turns_are_forgotten_where_the_context_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    talk, prompts = chat(monkeypatch, " No.\nUser:")
    for number in range(4):
        list(talk.answer(f"Question {number}"))
    assert prompts[-1] == "User: Question 2\nAssistant: No.\nUser: Question 3\nAssistant:", "60 of 80 tokens hold one turn"
    assert all(len(prompt) < 60 for prompt in prompts)
    list(talk.answer("x" * 500))
    assert prompts[-1] == f"User: {'x' * 500}\nAssistant:", "a question alone is not cut here: the model goes on with its end"


def test_an_answer_that_is_stopped_stays_as_far_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    talk, _ = chat(monkeypatch, " one two three")
    pieces = talk.answer("Count")
    assert next(piece for piece in pieces if piece) == "o"
    pieces.close()
    assert talk.turns == [("Count", "o")]


@pytest.mark.parametrize(
    ("text", "marker", "prompt"),
    [
        (r"User: {user}\nAssistant: {assistant}\n", "\nUser:", "User: a\nAssistant: b\nUser: c\nAssistant:"),
        ("<u>{user}</u><a>{assistant}</a>", "</a>", "<u>a</u><a>b</a><u>c</u><a>"),
        (r"{user}\n{assistant}\n\n", "\n\n", "a\nb\n\nc\n"),
    ],
)
def test_templates(text: str, marker: str, prompt: str) -> None:
    template = ChatTemplate.parse(text)
    assert template.marker == marker
    assert template.text([("a", "b")], "c") == prompt


@pytest.mark.parametrize(
    "text", ["", "{user}", "{assistant} {user}", "{user}{assistant}\n", "{user} {assistant}", "a{user} {user}{assistant}"]
)
def test_a_template_that_cannot_end_an_answer_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)template .*must hold \{user\} once"):
        ChatTemplate.parse(text)


def test_bytes_that_are_no_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    talk, _ = chat(monkeypatch, "")
    with pytest.raises(InputError, match="is not text"):
        list(talk.answer("caf\udce9"))
    with pytest.raises(InputError, match="template: .* is not text"):
        ChatTemplate.parse("\udce9{user}: {assistant}")


def test_a_trained_model_answers_the_same_twice(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    root = make_store()
    train(root, tiny(steps=1), Silent())

    class Letters(Bytes):
        def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
            ids, counts = super().encode(texts)
            return ids % 40, counts

    said = []
    for _ in range(2):
        talk = Chat(speaker=open_speaker(root, Letters()), template=PLAIN, tokens=5, choice=Choice(), seed=2**63 - 1)
        said.append(["".join(talk.answer("a")), "".join(talk.answer("b"))])
    assert said[0] == said[1]
