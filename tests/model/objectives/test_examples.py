"""Files of examples: what is read of them, and what is said of a line that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenmill.model.objectives import examples
from tokenmill.model.objectives.examples import Labelled
from tokenmill.pipeline.base.errors import InputError


def messages(*turns: str, first: str = "user") -> dict[str, object]:
    roles = ["user", "assistant"] if first == "user" else ["system", "user", "assistant"]
    return {"messages": [{"role": roles[at] if at < 3 else "user", "content": text} for at, text in enumerate(turns)]}


@pytest.mark.parametrize(
    ("line", "turns"),
    [
        (messages("a", "b"), (("a", "b"),)),
        (messages("be kind", "a", "b", first="system"), (("be kind\na", "b"),)),
        ({"instruction": "add", "input": "1 2", "output": "3"}, (("add\n1 2", "3"),)),
        ({"instruction": "add", "input": "", "output": "3", "more": 1}, (("add", "3"),)),
        ({"prompt": "a", "completion": "b"}, (("a", "b"),)),
        ({"question": "a", "answer": "\u00fc"}, (("a", "\u00fc"),)),
    ],
)
def test_conversations_are_read(tmp_path: Path, line: object, turns: object) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f"\ufeff\n{json.dumps(line, ensure_ascii=False)}\r\n\n", encoding="utf-8")
    assert examples.conversations(path)[0] == [turns]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is no JSON in UTF-8; mend the line"),
        ("[" * 100_000, "line 2 is no JSON in UTF-8"),
        ("[]", "line 2 is no JSON object"),
        ('{"a": 1}', 'line 2 holds no conversation: it needs "messages", or "instruction" and "output", or "prompt"'),
        ('{"prompt": 1, "completion": "x"}', 'line 2 has no text as its "prompt"'),
        ('{"prompt": "\\ud800", "completion": "x"}', 'line 2 has a "prompt" that is not UTF-8'),
        (json.dumps(messages("a")), 'line 2 has "messages" that are not of user and assistant in turn'),
        ('{"messages": []}', 'line 2 has "messages" that are not'),
        ('{"messages": "x"}', "line 2 has .* that are no list of objects"),
    ],
)
def test_a_line_that_is_no_example_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n' + line)
    with pytest.raises(InputError, match=message):
        examples.conversations(path)


def test_a_file_that_is_missing_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read .No such file"):
        examples.conversations(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no examples"):
        examples.conversations(tmp_path / "x.jsonl")


def test_labels_are_texts_or_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": "b", "label": "good"}')
    assert examples.labelled(path)[0] == [Labelled(text="a", label="1"), Labelled(text="b", label="good")]
    path.write_text('{"text": "a", "label": 1.5}')
    with pytest.raises(InputError, match='no text or whole number as its "label"'):
        examples.labelled(path)


def test_what_is_held_out_depends_on_the_example_alone() -> None:
    some = [Labelled(text=str(number), label="x") for number in range(2000)]
    learned, held_out = examples.divided(some, 0.1)
    assert len(held_out) == pytest.approx(200, abs=60)
    assert examples.divided(some[::-1], 0.1) == (learned[::-1], held_out[::-1])
    assert examples.divided(some, 0.0) == (some, [])
