"""Draws the answer of `tokenmill trace`.

Guarantee: drawing only. Text of documents is escaped, so it cannot control the terminal.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from tokenmill.pipeline.ask.whatif import preview

SHOWN_STEPS = 50


def show(answer: Mapping[str, Any], console: Console) -> None:
    """Draw the answer to any question of `tokenmill trace`."""
    if "text" in answer:
        _text(answer["text"], console)
    if "document" in answer:
        _document(answer["document"], console)
        for stage in answer["stages"]:
            _stage(stage, console)
    if "exposure" in answer:
        _exposure(answer["exposure"], console)
    if "samples" in answer:
        _samples(answer, console)


def _say(console: Console, line: str) -> None:
    console.print(Text(preview(line, None)))


def _text(text: Mapping[str, Any], console: Console) -> None:
    console.print(f"token id {text['id']}, byte {text['byte']} of the packed text:", style="bold")
    console.print(_marked(text["before"], text["token"], text["after"]))
    console.print(f"\nbytes {text['stored_start']} to {text['stored_end']} of the stored text:", style="bold")
    console.print(_marked(text["stored_before"], text["stored"], text["stored_after"]))
    console.print()


def _marked(before: str, middle: str, after: str) -> Text:
    return Text.assemble(preview(before, None), (preview(middle, None) or "<end of text>", "reverse"), preview(after, None))


def _document(document: Mapping[str, Any], console: Console) -> None:
    console.print(f"document {document['doc_id']}", style="bold")
    _say(console, f"source {document['source']}, url {document['url'] or '-'}")
    last = document["first_token"] + document["tokens"] - 1
    _say(
        console, f"row {document['row']} of documents/{document['shard']}.parquet, {document['text_bytes']:,} bytes when packed"
    )
    _say(console, f"tokens {document['first_token']} to {last} of {document['token_shard']}")
    if document["forgotten"]:
        console.print("forgotten: readers mask it", style="bold")


def _stage(stage: Mapping[str, Any], console: Console) -> None:
    reason = {None: "", "": ": kept"}.get(stage.get("reason"), f": {stage.get('reason')}")
    console.print(f"\n{stage['stage']}{reason}", style="bold", markup=False)
    for key, value in {**stage.get("evidence", {}), **({"metadata": stage["metadata"]} if "metadata" in stage else {})}.items():
        _say(console, f"  {key} {value}")
    compared = stage.get("limits", [])
    for one in compared:
        needed = ">=" if one["drops"] == "below" else "<="
        verdict = "passed" if one["passed"] else f"failed: {one['reason']}"
        _say(console, f"  {one['score']}: {_number(one['value'])} {needed} {_number(one['threshold'])}, {verdict}")
    rest = {key: value for key, value in stage.get("scores", {}).items() if key not in {one["score"] for one in compared}}
    for key, value in rest.items():
        _say(console, f"  {key} {value}")
    for edit in stage.get("edits", []):
        what = f"replaced by {edit['replacement']!r}" if edit["replacement"] else "removed"
        _say(console, f"  bytes {edit['start']} to {edit['end']} of the stored text {what}")


def _number(value: float) -> str:
    """Format a number with at most six significant digits: 50.0 as 50."""
    return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}"


def _exposure(exposure: Mapping[str, Any], console: Console) -> None:
    steps = exposure["steps"]
    listed = ", ".join(map(str, steps[:SHOWN_STEPS])) + (f" and {len(steps) - SHOWN_STEPS} more" if steps[SHOWN_STEPS:] else "")
    console.print(f"\nread in {exposure['samples']} samples, at {len(steps)} of {exposure['steps_done']} steps", style="bold")
    if steps:
        console.print(f"steps {listed}")


def _samples(answer: Mapping[str, Any], console: Console) -> None:
    run = answer["run"]
    done = "nothing was trained yet" if run["steps_done"] is None else f"{run['steps_done']} steps done"
    console.print(
        f"seed {run['seed']}, {run['samples_per_step']} samples a step, {run['tokens_per_sample']} tokens each; {done}"
    )
    for sample in answer["samples"]:
        console.print(f"\nsample {sample['sample']}", style="bold")
        for one in sample["documents"]:
            first, last = one["from_token"], one["to_token"] - 1
            place = f"{one['token_shard']}:{one['first_token'] + first}"
            forgotten = ", forgotten: masked" if one["forgotten"] else ""
            _say(console, f"  {place}  tokens {first} to {last} of {one['tokens']} of {one['doc_id']}{forgotten}")
            _say(console, f"      source {one['source']}, url {one['url'] or '-'}")
