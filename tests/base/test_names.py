"""A class name names one class: whoever reads or searches for it finds one definition."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("pipeline", "tokenizer", "model", "flows")


def test_class_names_are_unique() -> None:
    """Private names count without their underscore, so that `_Run` and `Run` are the same name."""
    places: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places[node.name.lstrip("_")].append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert len(places) > 200, "the folders hold the classes"
    offenders = [f"{name}: {', '.join(found)}" for name, found in sorted(places.items()) if len(found) > 1]
    assert not offenders, "\n".join(offenders)
