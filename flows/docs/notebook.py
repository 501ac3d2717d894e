"""Tutorials as notebooks for Jupyter: their Python blocks as cells, and the words around them.

Purpose: a reader downloads what the page shows. The form is nbformat 4.5 (https://nbformat.readthedocs.io).
Guarantee: the cells are the blocks of the page, in their order. What a page says of output is left out: cells have none yet.
Cost: none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PYTHON = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"^```text\n.*?^```\n", re.MULTILINE | re.DOTALL)
LINKED = re.compile(r"\]\((\S+\.ipynb)\)")


def made(pages: Path) -> dict[str, str]:
    """The notebooks that pages link to, by their paths below the folder of pages."""
    found = {}
    for path in sorted(pages.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for name in LINKED.findall(text):
            found[path.with_name(name).relative_to(pages).as_posix()] = json.dumps(of_page(text), indent=1, ensure_ascii=False)
    return found


def of_page(page: str) -> dict[str, Any]:
    """A page as a notebook."""
    cells = [{"id": f"cell-{number}", **cell} for number, cell in enumerate(_cells(OUTPUT.sub("", page)))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _cells(page: str) -> Iterator[dict[str, Any]]:
    for number, part in enumerate(PYTHON.split(page)):
        source = part.strip().splitlines(keepends=True)
        if number % 2:
            yield {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
        elif source:
            yield {"cell_type": "markdown", "metadata": {}, "source": source}
