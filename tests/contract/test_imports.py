"""The one-way rule: kernels < contract < executor < stages < tokenizer, model < flows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = (
    *("schema", "config", "errors", "files", "manifest", "state", "edits", "shards", "stage", "executor", "work"),
    "banding",
    "fasttext",
)
HEAVY = {"torch": ("model",), "prefect": ("flows",), "datatrove": ("pipeline.executor", "pipeline.collect")}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("pipeline", "flows", "tokenizer", "model")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def layer(module: str) -> int:
    """0 kernels, 1 contract, 2 stages, 3 tokenizer and model, 4 flows."""
    first, _, rest = module.partition(".")
    if first == "pipeline":
        part = rest.partition(".")[0]
        return 0 if part == "kernels" else 1 if part in CONTRACT or not part else 2
    return {"tokenizer": 3, "model": 3, "flows": 4}[first]


def part_of(module: str) -> str:
    """The stage (or package) a module belongs to: `pipeline.dedup.verify` -> `pipeline.dedup`."""
    return ".".join(module.split(".")[: 2 if module.startswith("pipeline.") else 1])


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(name: str) -> str | None:
    """The module of ours that an imported name lives in."""
    while name:
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


# Token shards and their format are one part that several modules share.
SHARED_STAGES = {"pipeline.tokens"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_one_way(module: str) -> None:
    for name in imports(MODULES[module]):
        target = ours(name)
        if target is None:
            continue
        assert layer(target) <= layer(module), f"{module} imports {target}"
        if layer(module) == 2 == layer(target) and part_of(target) not in SHARED_STAGES:
            assert part_of(target) == part_of(module), f"the stage {module} imports the stage {target}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_heavy_libraries_stay_where_they_belong(module: str) -> None:
    for name in imports(MODULES[module]):
        allowed = HEAVY.get(name.partition(".")[0])
        assert allowed is None or module.startswith(allowed), f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_only_files_writes_and_only_one_module_reads_the_environment(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("write_text", "write_bytes") or ast.unparse(node.value) == "files", f"{module} writes"
            assert node.attr not in ("environ", "getenv") or module == "flows.cli.environment", (
                f"{module} reads the environment"
            )
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "open" and part_of(module) != "pipeline.files":
            mode = ast.unparse(node.args[1]) if len(node.args) > 1 else "'r'"
            assert not set("wax+") & set(mode), f"{module} opens a file for writing"
