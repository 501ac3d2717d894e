"""Draws the answer of `tokenmill diff`.

Guarantee: drawing only. Names, values and text of documents are escaped, so they cannot control the terminal.
Cost: none.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.pipeline.ask.whatif import preview
from tokenmill.pipeline.base.words import NARROW_SPACE, clip, plain, ratio, share, size

LONGEST_VALUE = 60
"""Characters of a setting that are shown."""
MOST_LABELS = 12
"""Languages and reasons that are shown; JSON has all."""
TOLD = {"dropped": "kept in A, not in B", "kept": "kept in B, not in A", "neither": "kept in neither, for another reason"}


def show(answer: Mapping[str, Any], console: Console) -> None:
    """Draw the answer."""
    for side in "ab":
        console.print(Text(f"{side.upper()}: {_corpus(answer['corpora'][side])}"))
    if answer["same"]:
        console.print("Every step has the same result in both.")
    _settings(answer["settings"], console)
    _funnel(answer, console)
    _documents(answer["documents"], console)
    _changes(answer["changes"], console)
    _shares("Sources", "source", answer["sources"], _source, console)
    if answer["languages"] is not None:
        _shares("Languages of kept documents", "language", answer["languages"], _language, console)
    _tokens(answer["tokens"], console)


def _corpus(corpus: Mapping[str, Any]) -> str:
    said = preview(corpus["folder"], None)
    said += f", version {corpus['version']}" if corpus["version"] is not None else ""
    if not corpus["finished"]:
        return said + ", not finished: its steps so far"
    return said + (", a newer build is unfinished" if corpus["newer_build_unfinished"] else "")


def _settings(settings: Mapping[str, Any], console: Console) -> None:
    _heading("Settings that differ", console)
    if not settings:
        console.print("none")
    for name, values in settings.items():
        a, b = _from_first_difference(values["a"], values["b"])
        line = f"{name}: {_value(a)} -> {_value(b)}"
        console.print(Text(plain(line)))


def _from_first_difference(a: Any, b: Any) -> tuple[Any, Any]:
    """Two lists without what both begin with, so that a clipped line shows what differs."""
    if not (isinstance(a, list) and isinstance(b, list)):
        return a, b
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    before = ["..."] if same else []
    return [*before, *a[same:]], [*before, *b[same:]]


def _value(value: Any) -> str:
    return (
        "not set"
        if value is None
        else clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), LONGEST_VALUE)
    )


def _funnel(answer: Mapping[str, Any], console: Console) -> None:
    _heading("Funnel (A -> B)", console)
    table = _table(("step",), ("read", "kept", "dropped", "quarantined", "text kept"))
    for row in answer["funnel"]:
        numbers = [_step(row, name) for name in ("read", "kept", "dropped", "quarantined")]
        table.add_row(Text(plain(row["stage"])), *numbers, _step(row, "bytes_kept", size))
    console.print(table)
    changed = [row for row in answer["reasons"] if row["a"] != row["b"]]
    changed.sort(key=lambda row: -abs((row["b"] or 0) - (row["a"] or 0)))
    if changed:
        _heading("Reasons that changed (A -> B)", console)
        table = _table(("step", "reason"), ("dropped",))
        for row in changed[:MOST_LABELS]:
            table.add_row(Text(plain(row["stage"])), Text(plain(row["reason"])), _both(row["a"], row["b"], _count))
        console.print(table)
        _more(len(changed) - MOST_LABELS, console)


def _documents(documents: Mapping[str, Any], console: Console) -> None:
    collected, kept = documents["collected"], documents["kept"]
    _heading("Documents", console)
    table = _table(("documents",), ("in both", "only in A", "only in B", "share of A", "share of B"))
    for name, one in (("collected", collected), ("kept", kept)):
        shares = (_percent(one["in_both"], one[side]) for side in "ab")
        table.add_row(name, *(_count(one[key]) for key in ("in_both", "only_a", "only_b")), *shares)
    console.print(table)
    if collected["by_text"]:
        console.print(f"{collected['by_text']:,} of those collected in both have the same text under another id")
    if collected["changed_text"]:
        console.print(f"{collected['changed_text']:,} of those with the same id have another text")


def _changes(changes: Sequence[Mapping[str, Any]], console: Console) -> None:
    _heading("Documents that changed sides", console)
    if not any(one["now"] != "neither" for one in changes):
        console.print("none")
    if not changes:
        return
    table = _table(("now", "in A", "in B"), ("documents",))
    for one in changes:
        cells = (TOLD[one["now"]], Text(_fate(one["a"])), Text(_fate(one["b"])))
        table.add_row(*cells, _count(one["documents"]))
    console.print(table)
    # Those that changed no side fill a screen; JSON and the page have them.
    for one in (one for one in changes if one["now"] != "neither"):
        for sample in one["samples"]:
            ids = sample["doc_id"] + (f" ({sample['doc_id_in_b']} in B)" if sample["doc_id_in_b"] else "")
            where = " ".join(preview(part, None) for part in (sample["source"], sample["url"]) if part)
            text = "the text is forgotten" if sample["text"] is None else preview(sample["text"])
            console.print(Text(f"\n{ids} {_fate(one['a'])} -> {_fate(one['b'])}"))
            text += f"\n    in B: {preview(sample['text_in_b'])}" if sample["text_in_b"] is not None else ""
            console.print(Text(f"    {where}\n    {text}", style="dim"))
            for side in "ab":
                for said in sample[side] or ():
                    console.print(Text(f"    {side.upper()}: {_measure(said)}"))


def _fate(fate: Mapping[str, Any]) -> str:
    return "kept" if fate["kept"] else plain(f"{fate['stage']}: {fate['reason']}")


def _measure(said: Mapping[str, Any]) -> str:
    if "threshold" not in said:
        return plain(f"{said['name']} {said['value']}")
    passed = "passed" if said["passed"] else "failed"
    return plain(f"{said['name']} {said['value']:.6g} against {said['setting']} = {said['threshold']:.6g}, {passed}")


def _shares(
    title: str, name: str, rows: Sequence[Mapping[str, Any]], cells: Callable[..., Iterable[str]], console: Console
) -> None:
    _heading(f"{title} (A -> B)", console)
    headings = ("kept", "kept share", "text kept", "share of text", "tokens") if name == "source" else ("documents", "share")
    table = _table((name,), headings)
    for row in rows[:MOST_LABELS]:
        table.add_row(Text(plain(row[name])), *cells(row["a"], row["b"]))
    console.print(table)
    _more(len(rows) - MOST_LABELS, console)


def _source(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Iterable[str]:
    yield _both(a and a["kept"], b and b["kept"], _count)
    yield _both(a and _percent(a["kept"], a["collected"]), b and _percent(b["kept"], b["collected"]), str)
    yield _both(a and a["bytes_kept"], b and b["bytes_kept"], size)
    yield _both(a and a["share_of_text"], b and b["share_of_text"], lambda value: _percent(value, 1))
    yield _both(a and a["tokens"], b and b["tokens"], _count)


def _language(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> Iterable[str]:
    yield _both(a and a["documents"], b and b["documents"], _count)
    yield _both(a and a["share"], b and b["share"], lambda value: _percent(value, 1))


def _tokens(tokens: Mapping[str, Any], console: Console) -> None:
    a, b = tokens["a"], tokens["b"]
    _heading("Tokens (A -> B), each tokenizer on the text of its own corpus", console)
    if a is None and b is None:
        console.print("neither corpus has a tokenizer yet")
        return
    a, b = a or {}, b or {}
    table = _table(("",), ("",))
    table.show_header = False
    for name, key, form in (
        ("tokens", "tokens", _count),
        ("bytes per token", "bytes_per_token", lambda value: ratio(value, 1, 3)),
        ("vocabulary", "vocabulary", _count),
        ("pattern", "pattern", lambda value: plain(clip(value, LONGEST_VALUE))),
        ("forgotten documents", "forgotten", _count),
    ):
        table.add_row(name, Text(_both(a.get(key), b.get(key), form)))
    console.print(table)
    both = tokens["in_both"]
    if both is not None and both["documents"]:
        on_both = _both(both["a"]["bytes_per_token"], both["b"]["bytes_per_token"], lambda value: ratio(value, 1, 3))
        console.print(f"bytes per token of the {both['documents']:,} documents that both packed: {on_both}")
    if a and b:
        console.print("the tokenizer is the same" if a["fingerprint"] == b["fingerprint"] else "the tokenizers differ")


def _heading(title: str, console: Console) -> None:
    console.print(Text(f"\n{title}", style="bold"))


def _table(words: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _more(number: int, console: Console) -> None:
    if number > 0:
        console.print(f"{number:,} more: --json or --html has all", style="dim")


def _step(row: Mapping[str, Any], name: str, form: Callable[[Any], str] | None = None) -> str:
    return _both(row["a"] and row["a"][name], row["b"] and row["b"][name], form or _count)


def _both(a: Any, b: Any, form: Callable[[Any], str]) -> str:
    """Both values, or one if they are shown alike; a dash where a corpus has none."""
    first, second = ("–" if value is None else form(value).replace(NARROW_SPACE, " ") for value in (a, b))
    return first if first == second else f"{first} -> {second}"


def _count(value: int) -> str:
    return f"{value:,}"


def _percent(part: float, whole: float) -> str:
    return share(part, whole).replace(NARROW_SPACE, " ")
