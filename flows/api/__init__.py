"""tokenmill: raw text in, pretraining corpora out."""

from __future__ import annotations

if __name__ != "tokenmill":
    raise ImportError(f"this file is the package `tokenmill`; as {__name__!r} it would be loaded a second time")
