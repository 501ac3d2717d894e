"""Draws statistics of tokenizers as tables on the terminal, and converts them to JSON.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.pipeline.base.words import count, plain, raw, share, size
from tokenmill.pipeline.report.vocabulary import TextPart, Token, VocabularyStatistics
from tokenmill.pipeline.tokens.facts import Size

ROWS = 15
WIDTHS = (768, 4_096)


def show(found: VocabularyStatistics, console: Console) -> None:
    """Print all statistics of one tokenizer."""
    console.print(
        f"{count(found.ids)} ids; of {count(found.tokens)} tokens that stand for text, {count(found.unused)} "
        f"({share(found.unused, found.tokens)}) never occur and {count(found.rare)} occur fewer than {found.rare_below} times\n"
    )
    for heading, parts in found.parts.items():
        table = _table(heading, "documents", "text", "tokens", "bytes/token", "tokens/word", "single bytes", *_lossy(found))
        for name, part in [*list(parts.items())[:ROWS], ("all", found.total)]:
            ratios = (f"{part.bytes_per_token:.3f}", f"{part.tokens_per_word:.2f}", share(part.single, part.tokens))
            unknown = (share(part.unknown, part.tokens),) if found.lossy else ()
            table.add_row(Text(plain(name)), count(part.documents), size(part.bytes), count(part.tokens), *ratios, *unknown)
        console.print(table, "")
    table = _table("script of tokens", "tokens", "used tokens", "uses", "share of uses", "characters/token")
    for script in found.scripts[:ROWS]:
        length = f"{script.characters / script.uses:.2f}" if script.characters else "-"
        numbers = (count(script.tokens), count(script.used), count(script.uses), share(script.uses, found.total.tokens))
        table.add_row(script.name, *numbers, length)
    console.print(table, "")
    console.print(Text(f"longest tokens: {_spelled(found.longest)}"))
    console.print(Text(f"longest tokens that never occur: {_spelled(found.longest_unused)}"))


def compare(found: Mapping[str, VocabularyStatistics], console: Console) -> None:
    """Print tokenizers side by side on the same text. "against first" is the number of tokens relative to the first one."""
    lossy = any(one.lossy for one in found.values())
    headings = ("tokenizer", "ids", "tokens", "against first", "bytes/token", "tokens/word", "single bytes", "unused")
    table = _table(*headings, *(("unknown",) if lossy else ()))
    first = next(iter(found.values())).total.tokens
    for name, one in found.items():
        total = one.total
        ratios = (f"{total.bytes_per_token:.3f}", f"{total.tokens_per_word:.2f}", share(total.single, total.tokens))
        unused = share(one.unused, one.tokens)
        unknown = (share(total.unknown, total.tokens),) if lossy else ()
        table.add_row(Text(name), count(one.ids), count(total.tokens), share(total.tokens, first), *ratios, unused, *unknown)
    console.print(table, "")
    for heading, parts in next(iter(found.values())).parts.items():
        table = _table(f"bytes/token by {heading}", "text", *found)
        for name in list(parts)[:ROWS]:
            numbers = (f"{one.parts[heading][name].bytes_per_token:.3f}" for one in found.values())
            table.add_row(Text(plain(name)), size(parts[name].bytes), *numbers)
        console.print(table, "")


def sizes(found: Sequence[Size], console: Console) -> None:
    """Print what vocabularies of several sizes cost: tokens of the text, and parameters of the embeddings."""
    table = _table("vocabulary", "tokens", "bytes/token", *(f"embeddings, {width:,} wide" for width in WIDTHS))
    for one in found:
        costs = (count(one.embedding_parameters(width)) for width in WIDTHS)
        table.add_row(count(one.vocabulary), count(one.tokens), f"{one.bytes_per_token:.3f}", *costs)
    console.print(table, "")


def names(paths: Sequence[Path]) -> list[str]:
    """A short name for each path: its last part, or as many parts as make the names distinct."""
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        short = [str(Path(*path.parts[-parts:])) for path in paths]
        if len(set(short)) == len(short):
            return short
    return [f"{number}: {path}" for number, path in enumerate(paths, 1)]


def as_json(found: VocabularyStatistics) -> dict[str, Any]:
    """The statistics as JSON values. Tokens are text, with `\\xff` for bytes that are not UTF-8."""
    parts = {heading: {name: _part(part) for name, part in these.items()} for heading, these in found.parts.items()}
    tokens = {
        key: [{"token": raw(one.data), "uses": one.uses} for one in getattr(found, key)]
        for key in ("longest", "longest_unused")
    }
    scripts = [dataclasses.asdict(script) for script in found.scripts]
    about = {key: getattr(found, key) for key in ("ids", "tokens", "unused", "rare", "rare_below")}
    return {**about, "total": _part(found.total), "parts": parts, "scripts": scripts, **tokens}


def _lossy(found: VocabularyStatistics) -> tuple[str, ...]:
    return ("unknown",) if found.lossy else ()


def _part(part: TextPart) -> dict[str, float]:
    ratios = {key: getattr(part, key) for key in ("bytes_per_token", "tokens_per_word", "single_share", "unknown_share")}
    return dataclasses.asdict(part) | ratios


def _spelled(tokens: Sequence[Token]) -> str:
    return " ".join(plain(repr(raw(token.data))) for token in tokens[:ROWS])


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    return table
