"""Strings from outside as UTF-8.

Guarantee: a string that UTF-8 cannot hold, such as one of undecodable bytes of a terminal, is refused by name. Cost: none.
"""

from __future__ import annotations

from tokenmill.pipeline.base.errors import InputError


def as_utf8(text: str, *, where: str) -> bytes:
    """The bytes of a string. Raises InputError, with `where` first, for a lone surrogate, which UTF-8 cannot hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: {text[:80]!r} is not text (character {error.start} is a surrogate); give UTF-8") from error
