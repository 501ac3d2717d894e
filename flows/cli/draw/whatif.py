"""Draws the answer of `tokenmill whatif`.

Guarantee: drawing only. Text of documents is escaped, so it cannot control the terminal.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.pipeline.ask.whatif import NEAREST, preview


def show(answer: Mapping[str, Any], console: Console) -> None:
    """Draw the answer."""
    for name, values in answer["settings"].items():
        console.print(f"{name}: {values['before']} -> {values['after']}", markup=False)
    if not answer["settings"]:
        console.print("These are the settings of the corpus: nothing changes.")
    funnel = _table("stage", "read", "kept", "not scored", "undecided", words=("stage",))
    dropped = _table("stage", "reason", "dropped", words=("stage", "reason"))
    for stage in answer["stages"]:
        name, before, after = stage["stage"], stage["before"], stage["after"]
        numbers = (_step(before["read"], after["read"]), _step(before["kept"], after["kept"]))
        funnel.add_row(name, *numbers, f"{after['not_scored']:,}", f"{after['undecided']:,}")
        for reason in sorted({**before["dropped"], **after["dropped"]}):
            dropped.add_row(name, reason, _step(before["dropped"].get(reason, 0), after["dropped"].get(reason, 0)))
    if "extraction" in answer:
        _show_extraction(answer["extraction"], console)
    console.print(funnel)
    console.print()
    console.print(dropped)
    documents = answer["documents"]
    console.print(f"\ndocuments: {_step(documents['before'], documents['after'])}")
    if documents["unknown"] and "extraction" not in answer:
        console.print(
            f"{documents['unknown']:,} more are not known: a stage has no scores of them yet, or they are duplicates of a "
            "document that would be dropped. A build decides them, and may then decide other documents differently."
        )
    if answer["changes"]:
        sides = _table("stage", "now", "reason", "documents", words=("stage", "now", "reason"))
        for change in answer["changes"]:
            now = "dropped" if change["now"] == "dropped" else "kept, was"
            sides.add_row(change["stage"], now, change["reason"], f"{change['documents']:,}")
        console.print("\nDocuments that change sides", style="bold")
        console.print(sides)
    for margin in answer["margins"]:
        console.print(f"\n{margin['setting']}: nearest values to {margin['threshold']:g}", style="bold")
        near = _table("documents", *(f"{number:,}{_ordinal(number)}" for number in NEAREST), words=())
        for side, verb in (("fails", "fail"), ("passes", "pass")):
            values = margin[side]["nearest"]
            cells = (f"{values[str(number)]:.6g}" if str(number) in values else "" for number in NEAREST)
            near.add_row(f"{margin[side]['documents']:,} {verb}", *cells)
        console.print(near)
    if answer["samples"]:
        console.print("\nExamples", style="bold")
    for sample in answer["samples"]:
        if "characters" in sample:
            measure = f", characters {_step(sample['characters']['before'], sample['characters']['after'])}"
        else:
            measure = "" if sample["column"] is None else f" {sample['value']:.6g} against {sample['threshold']:.6g}"
        head = f"{sample['doc_id']} now {sample['now']}, {sample['stage']}: {sample['reason']}{measure}"
        where = " ".join(preview(part, None) for part in (sample["source"], sample["url"]) if part)
        console.print(Text(head))
        console.print(Text(f"    {where}\n    {sample['preview']}", style="dim"))


def _show_extraction(found: Mapping[str, Any], console: Console) -> None:
    """What another bias does to the texts of web pages, by source, and what only a build can tell."""
    headings = ("pages", "changed", "dropped", "undecided", "characters", "blocks", "blocks added", "blocks dropped")
    table = _table("source", *headings, words=("source",))
    rows = [*found["sources"].items()]
    if len(rows) > 1:
        rows.append(("all", found))
    for name, one in rows:
        pages, characters, blocks = one["pages"], one["characters"], one["blocks"]
        counts = (pages["before"], pages["changed"], sum(pages["dropped"].values()), pages["undecided"])
        table.add_row(
            preview(name, None),
            *(f"{number:,}" for number in counts),
            _step(characters["before"], characters["after"]),
            *(f"{blocks[kind]:,}" for kind in ("before", "added", "dropped")),
        )
    console.print("\nTexts of web pages", style="bold")
    console.print(table)
    for sentence in found["not_known"]:
        console.print(sentence, markup=False)
    console.print()


def _table(*headings: str, words: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in words else "right", no_wrap=True)
    return table


def _step(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} -> {after:,}"


def _ordinal(number: int) -> str:
    return "st" if number == 1 else "th"
