"""Each room imports only those that it may, heavy libraries stay where they belong, and one package alone writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("pipeline", "tokenizer", "model", "flows")
PIPELINE = ("base", "external", "kernels", "config", "stages", "corpus", "collect", "tokens", "report", "export", "ask")
BELOW = {
    "pipeline.base": (),
    "pipeline.external": ("base",),
    "pipeline.kernels": (),
    "pipeline.config": ("base",),
    "pipeline.stages": ("base", "external", "kernels", "config"),
    "pipeline.corpus": ("base", "config", "stages"),
    "pipeline.collect": ("base", "external", "kernels", "config", "stages"),
    "pipeline.tokens": ("base", "external", "kernels", "config", "stages", "corpus"),
    "pipeline.report": ("base", "config", "stages", "corpus", "tokens"),
    "pipeline.export": ("base", "stages", "corpus", "tokens", "report"),
    "pipeline.ask": PIPELINE,
    "tokenizer": PIPELINE,
    "model": (*PIPELINE, "tokenizer"),
    "flows": (*PIPELINE, "tokenizer", "model"),
}
"""Which rooms a room may import beside itself."""
STAGES = ("urls", "language", "dedup", "repeats", "quality", "decontamination", "personal")
"""Rooms of stages know nothing of one another; only the table of stages knows them."""
HEAVY = {
    "torch": ("model",),
    "prefect": (
        "flows.ablation.flow",
        "flows.deployments",
        "flows.ending",
        "flows.flow",
        "flows.notify",
        "flows.overlap",
        "flows.process",
        "flows.runlog",
        "flows.schedules",
        "flows.server",
        "flows.serving",
        "flows.tags",
        "flows.watch",
    ),
    "apprise": ("flows.notify",),
    "cyclopts": ("flows.cli",),
    "rich": ("flows.cli",),
    "brotli": ("pipeline.collect",),
    "resiliparse": ("pipeline.collect",),
    "trafilatura": ("pipeline.collect",),
    "datasets": ("pipeline.collect", "pipeline.export"),
    "datatrove": ("pipeline.collect.datatrove", "flows.datatrove"),
    "tokenizers": ("tokenizer",),
    "jinja2": ("pipeline.report",),
    "ray": ("pipeline.base.executor.ray",),
    "dask": ("pipeline.base.executor.dask",),
    "distributed": ("pipeline.base.executor.dask",),
    "obstore": ("pipeline.base.store",),
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def room(module: str) -> str:
    """`pipeline.stages.dedup.verify` -> `pipeline.stages`, `flows.cli.build` -> `flows`."""
    return ".".join(module.split(".")[: 2 if module.startswith("pipeline.") else 1])


def imports(path: Path) -> Iterator[str]:
    """Every name that a module imports, dotted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """The module of ours, without `tokenmill`, that an imported name lives in."""
    name = name.removeprefix("tokenmill.")
    if name.partition(".")[0] not in FOLDERS:
        name = f"flows.api.{name}"
    while name:
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


def pairs() -> Iterator[tuple[str, str]]:
    """Every module with every module of ours that it imports."""
    for module, path in MODULES.items():
        for name in imports(path):
            target = ours(name) if name.partition(".")[0] == "tokenmill" else None
            if target is not None and target != "pipeline":
                yield module, target


def test_each_room_imports_only_those_below_it() -> None:
    assert {room(module) for module in MODULES} <= {*BELOW, "pipeline"}
    wrong = []
    for module, target in pairs():
        here, there = room(module), room(target)
        if here != there and there.removeprefix("pipeline.") not in BELOW[here]:
            wrong.append(f"{module} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_no_stage_imports_another() -> None:
    def stage(module: str) -> str | None:
        parts = module.split(".")
        return parts[2] if parts[:2] == ["pipeline", "stages"] and len(parts) > 2 and parts[2] in STAGES else None

    between = [(module, target) for module, target in pairs() if stage(module) and stage(target) not in (None, stage(module))]
    assert between == []


def test_heavy_libraries_stay_where_they_belong() -> None:
    wrong = []
    for module, path in MODULES.items():
        for name in imports(path):
            allowed = HEAVY.get(name.partition(".")[0])
            if allowed is not None and not module.startswith(allowed):
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_nothing_fetches_pages() -> None:
    """Data sets on a hub come through `datasets`; Prefect's server is asked whether it lives, and may fail to
    answer. Nothing else is fetched."""
    fetching = {"httpx", "requests", "aiohttp", "urllib3", "urllib.request", "http.client", "ftplib", "pycurl"}
    found = {
        module
        for module, path in MODULES.items()
        for name in imports(path)
        if {name, name.partition(".")[0], name.rpartition(".")[0]} & fetching
    }
    ours = (
        "deployments",
        "ending",
        "notify",
        "runlog",
        "server.embedded",
        "server.running",
        "server.scheduler",
        "server.start",
        "watch",
    )
    assert found == {f"flows.{name}" for name in ours}


def test_one_package_writes_and_one_module_reads_the_environment() -> None:
    wrong = []
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                # The files of tokens for datatrove's pipelines are written by datatrove, to whatever file system it is given.
                theirs = module == "flows.datatrove.tokens" and ast.unparse(node) == "made.write_bytes"
                if node.attr in ("write_text", "write_bytes") and ast.unparse(node.value) != "files" and not theirs:
                    wrong.append(f"{module}: {ast.unparse(node)}")
                if node.attr in ("environ", "getenv") and module != "flows.cli.environment":
                    wrong.append(f"{module}: {ast.unparse(node)}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "open" and not module.startswith("pipeline.base.files"):
                mode = ast.unparse(node.args[1]) if len(node.args) > 1 else "'r'"
                if set("wax+") & set(mode):
                    wrong.append(f"{module}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)
