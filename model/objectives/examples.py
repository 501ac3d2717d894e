"""Lines of a file of examples: conversations, or texts with labels.

Purpose: reads what others write: lists of messages, Alpaca's instructions, prompts with completions, texts with labels.
Guarantee: a line that is none of these ends the run, with its number and what is missing. Nothing is left out. Whether an
example is held out depends on it alone, so equal ones stay together. Cost: the file in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.utf8 import as_utf8

Turns = tuple[tuple[str, str], ...]
"""Questions and answers, one after the other."""
PAIRS = (("instruction", "output"), ("prompt", "completion"), ("prompt", "response"), ("question", "answer"))
"""Keys of a line that is one question and one answer."""
ROLES = ("user", "assistant")
HASHED_BITS = 64

Parsed = TypeVar("Parsed")


class _Wrong(ValueError):
    """What is wrong with a line."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A text and the name of its class."""

    text: str
    label: str


def conversations(path: Path) -> tuple[list[Turns], str]:
    """The conversations of a JSONL file, and the SHA-256 of the file in hex. Raises InputError."""
    return _read(path, _turns)


def labelled(path: Path) -> tuple[list[Labelled], str]:
    """The texts and labels of a JSONL file, and the SHA-256 of the file in hex. Raises InputError."""
    return _read(path, lambda line: Labelled(text=_text(line, "text"), label=_label(line.get("label"))))


def divided(examples: Sequence[Parsed], share: float) -> tuple[list[Parsed], list[Parsed]]:
    """The examples to learn from, and about a `share` of them that is held out, by a hash of each."""
    parts: tuple[list[Parsed], list[Parsed]] = ([], [])
    for one in examples:
        digest = hashlib.blake2b(repr(one).encode("utf-8", "surrogatepass"), digest_size=HASHED_BITS // 8).digest()
        parts[int.from_bytes(digest, "little") < share * 2**HASHED_BITS].append(one)
    return parts


def _read(path: Path, parse: Callable[[Mapping[str, Any]], Parsed]) -> tuple[list[Parsed], str]:
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise InputError(f"train.examples={path}: cannot be read ({error.strerror}); name a JSONL file") from error
    found = [one for number, line in _lines(data) for one in [_parsed(path, number, line, parse)]]
    if not found:
        raise InputError(f"train.examples={path}: holds no examples; each line is one, as a JSON object")
    return found, hashlib.sha256(data).hexdigest()


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1."""
    return ((number, line) for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1) if line.strip())


def _parsed(path: Path, number: int, line: bytes, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed:
    try:
        held = json.loads(line)
        if not isinstance(held, dict):
            raise _Wrong("is no JSON object")
        return parse(held)
    except _Wrong as error:
        raise InputError(f"train.examples={path}: line {number} {error}; mend the line, or remove it") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"train.examples={path}: line {number} is no JSON in UTF-8; mend the line, or remove it") from error


def _turns(line: Mapping[str, Any]) -> Turns:
    """The turns of a line. Text of the system stands before the first question, "input" after the instruction."""
    if "messages" in line:
        return _of_messages(line["messages"])
    for asked, answered in PAIRS:
        if asked in line and answered in line:
            more = _text(line, "input") if line.get("input") else ""
            return ((_text(line, asked) + (f"\n{more}" if more else ""), _text(line, answered)),)
    known = ", or ".join(f'"{asked}" and "{answered}"' for asked, answered in PAIRS)
    raise _Wrong(f'holds no conversation: it needs "messages", or {known}')


def _of_messages(messages: Any) -> Turns:
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise _Wrong('has "messages" that are no list of objects')
    roles, texts = [one.get("role") for one in messages], [_text(one, "content") for one in messages]
    before = ""
    if roles[:1] == ["system"]:
        before, roles, texts = f"{texts[0]}\n", roles[1:], texts[1:]
    if not roles or roles != [*ROLES] * (len(roles) // 2):
        raise _Wrong(
            'has "messages" that are not of user and assistant in turn, assistant last, after at most one of the system'
        )
    return tuple(zip([before + texts[0], *texts[2::2]], texts[1::2], strict=True))


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise _Wrong(f'has no text as its "{key}"')
    try:
        as_utf8(value, where=key)
    except InputError as error:
        raise _Wrong(f'has a "{key}" that is not UTF-8') from error
    return value


def _label(value: Any) -> str:
    if not isinstance(value, str | int) or value == "":
        raise _Wrong('has no text or whole number as its "label"')
    return str(value)
