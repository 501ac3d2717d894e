"""The exceptions of `tokenizers`, made ours.

Purpose: the library has no exception class of its own, so the two ways in which it refuses are told apart here alone.
Guarantee: any other exception passes unchanged. Cost: none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tokenmill.pipeline.base.errors import ConfigError, InputError


@contextlib.contextmanager
def loading(what: str) -> Iterator[None]:
    """Raise ConfigError, `what` with the library's words, when it refuses a file or a regular expression."""
    try:
        yield
    except Exception as error:
        # The library raises `Exception` itself, or UnicodeEncodeError for a lone surrogate.
        if type(error) not in (Exception, UnicodeEncodeError):
            raise
        raise ConfigError(f"{what} ({str(error)[:200]})") from error


@contextlib.contextmanager
def giving_up() -> Iterator[None]:
    """Raise InputError when the library gives up on a text, after some ten million steps of a regular expression."""
    try:
        yield
    except BaseException as error:
        # The library panics with a class that can neither be imported nor be pickled for another process.
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(f"the pattern of the tokenizer gives up on a text ({str(error)[:200]}); use another one") from error
