"""tokenmill: raw text in, pretraining corpora out.

    import tokenmill as tm

    corpus = tm.build("docs", "corpora/docs")      # or tm.open("corpora/docs")
    corpus.funnel()                                # what each step kept and dropped
    corpus.texts()                                 # the surviving text, as Arrow
    corpus.tokens.dataset(length=1024, seed=0)     # samples for a PyTorch trainer

Stages also work on tables of your own, without a folder: `tm.language.identify`, `tm.quality.score`, `tm.dedup.duplicates`,
`tm.personal.mask` and `tm.tokenizer.train`. A table is anything that gives an Arrow stream: pyarrow, polars, pandas,
`datasets`.

Importing tokenmill imports nothing heavy: what a call needs is imported by that call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if __name__ != "tokenmill":
    raise ImportError(f"this file is the package `tokenmill`; as {__name__!r} it would be loaded a second time")

if TYPE_CHECKING:
    from tokenmill import dedup, language, personal, quality, tokenizer
    from tokenmill.answers import Answer, Funnel
    from tokenmill.corpus import Corpus
    from tokenmill.opening import build
    from tokenmill.opening import open_ as open
    from tokenmill.pipeline.base.errors import TokenmillError
    from tokenmill.tokens import Tokens

__all__ = [
    "Answer",
    "Corpus",
    "Funnel",
    "TokenmillError",
    "Tokens",
    "build",
    "dedup",
    "language",
    "open",
    "personal",
    "quality",
    "tokenizer",
]

_HOMES = {
    "Answer": ("tokenmill.answers", "Answer"),
    "Corpus": ("tokenmill.corpus", "Corpus"),
    "Funnel": ("tokenmill.answers", "Funnel"),
    "Tokens": ("tokenmill.tokens", "Tokens"),
    "TokenmillError": ("tokenmill.pipeline.base.errors", "TokenmillError"),
    "build": ("tokenmill.opening", "build"),
    "open": ("tokenmill.opening", "open_"),
}
_MODULES = ("dedup", "language", "personal", "quality", "tokenizer")


def __getattr__(name: str) -> Any:
    """Names of the front door are imported when they are first used (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"tokenmill.{name}")
    if name in _HOMES:
        module, attribute = _HOMES[name]
        found = globals()[name] = getattr(importlib.import_module(module), attribute)
        return found
    if name == "__version__":
        from importlib.metadata import version

        return version("tokenmill")
    import difflib

    near = difflib.get_close_matches(name, __all__, n=1)
    raise AttributeError(f"module 'tokenmill' has no attribute {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def __dir__() -> list[str]:
    return __all__
