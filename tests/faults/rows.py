"""Checks that every row of `ROWS.toml` names tests that exist: `python -m tests.faults.rows`, a part of `make check`.

Guarantee: tests are found in the source, by their names; nothing is imported. Cost: one parse of every test module named.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = Path(__file__).with_name("ROWS.toml")
FIELDS = {"row": {"what", "holds", "tests"}, "open": {"what", "why"}}


def problems(rows: Path = ROWS, tests: Path = TESTS) -> Iterator[str]:
    """What is wrong with the rows, one line each."""
    plain = tomllib.loads(rows.read_text())
    if plain.keys() - FIELDS.keys() or not plain.get("row"):
        yield f"{rows.name}: holds tables {sorted(plain)}, not {sorted(FIELDS)}"
        return
    seen = set()
    for kind, fields in FIELDS.items():
        for row in plain.get(kind, ()):
            what = row.get("what", "a row without `what`")
            if row.keys() != fields or not all(row.values()):
                yield f"{rows.name}: {what!r}: needs {', '.join(sorted(fields))}, none of them empty"
            if what in seen:
                yield f"{rows.name}: {what!r} appears twice"
            seen.add(what)
            for test in row.get("tests", ()):
                if not _exists(test, tests):
                    yield f"{rows.name}: {what!r}: there is no test {test}"


def _exists(test: str, tests: Path) -> bool:
    name, _, function = test.partition("::")
    path = tests / name
    if not function.startswith("test_") or not path.name.startswith("test_") or not path.is_file():
        return False
    defined = (
        node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return function in defined


def main() -> int:
    """Print the problems. Returns 1 if there are any."""
    found = list(problems())
    print("\n".join(found) if found else f"{ROWS.name}: every row has its tests")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
