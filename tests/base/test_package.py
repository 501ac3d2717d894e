"""One installed package: every file has one name, nothing heavy comes with it, and nothing of a user's is taken for ours."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import tokenmill as tm
from tokenmill.pipeline.base.executor import PRELOAD, LocalProcesses

ROOT = Path(__file__).parents[2]
NAMES = ["Answer", "Corpus", "Funnel", "TokenmillError", "Tokens"]
NAMES += ["build", "dedup", "language", "open", "personal", "quality", "tokenizer"]
FOLDERS = ("pipeline", "tokenizer", "model", "flows")
HEAVY = ("torch", "prefect", "numba", "pyarrow", "numpy", "pydantic", "rich", "cyclopts")

MISSING = """
import sys
from tokenmill.pipeline.base.executor import LocalProcesses

def loaded(_):
    return [name for name in sys.argv[1:] if name not in sys.modules]

if __name__ == "__main__":
    with LocalProcesses(1) as pool:
        print(pool.map(loaded, [None])[0])
"""


def python(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd, check=False)


def test_the_names_of_the_front_door_are_these() -> None:
    assert sorted(tm.__all__) == NAMES == sorted(dir(tm))
    assert all(getattr(tm, name) is not None for name in NAMES)
    with pytest.raises(AttributeError, match="did you mean 'build'"):
        _ = tm.biuld  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_heavy(tmp_path: Path) -> None:
    done = python("-c", f"import sys, tokenmill; print([name for name in {HEAVY} if name in sys.modules])", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    script = "import sys; sys.argv = ['tokenmill', '--help']\nfrom tokenmill.flows.cli import main; main()\n"
    done = python("-c", f"{script}print([name for name in {HEAVY} if name in sys.modules])", cwd=tmp_path)
    assert done.stdout.endswith("[]\n"), done.stderr


def loaded_twice(_: object = None) -> list[str]:
    """Files of the package that are loaded under two names, and its folders that are loaded as packages of their own."""
    found: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) and name.split(".")[0] == "tokenmill":
            found.setdefault(str(module.__file__), set()).add(module.__name__)
    return [str(names) for names in found.values() if len(names) > 1] + [name for name in FOLDERS if name in sys.modules]


def test_no_file_is_loaded_under_two_names() -> None:
    """All modules are imported here, where other tests need most of them, and the front door first of all."""
    for package in (tm, *(importlib.import_module(f"tokenmill.{name}") for name in FOLDERS)):
        for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not one.name.startswith("tokenmill.flows.api"):
                importlib.import_module(one.name)
    assert loaded_twice() == []
    with LocalProcesses(1) as pool:
        assert pool.map(loaded_twice, [None]) == [[]]


def test_workers_have_what_is_preloaded(tmp_path: Path) -> None:
    """The server that workers are forked from passes over a name that it cannot import, without a word."""
    script = tmp_path / "missing.py"
    script.write_text(MISSING)
    done = python(script, *PRELOAD, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_the_front_door_has_one_name(tmp_path: Path) -> None:
    done = python("-c", "import tokenmill.flows.api", cwd=tmp_path)
    assert "as 'tokenmill.flows.api' it would be loaded a second time" in done.stderr


def test_a_module_does_not_shadow_a_function() -> None:
    import tokenmill.tokenizer.step  # noqa: F401 -- as every build does

    assert callable(tm.tokenizer.train)
    assert callable(tm.tokenizer.load)


def test_the_list_of_packages_is_that_of_the_folders() -> None:
    plain = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for top in FOLDERS for path in (ROOT / top).rglob("*.py")}
    # `tokenmill` itself is flows/api. flows/docs makes the site from a clone and is not installed.
    folders -= {ROOT / "flows" / "api", ROOT / "flows" / "docs"}
    names = {"tokenmill." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert sorted(plain["packages"]) == sorted({"tokenmill", *names})
    assert (ROOT / "flows" / "api" / "py.typed").is_file()


def test_the_linter_refuses_the_folders_as_packages(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("import model\nfrom pipeline import corpus\n\nprint(model, corpus)\n")
    command = [Path(sys.executable).with_name("ruff"), "check", "--config", ROOT / "pyproject.toml", "--select", "TID251"]
    done = subprocess.run([*command, tmp_path / "wrong.py"], capture_output=True, text=True, check=False)
    assert done.stdout.count("import tokenmill.") >= 2


@pytest.mark.soak
def test_a_wheel_holds_the_package_alone_whatever_an_earlier_one_left(tmp_path: Path) -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    stale = tmp_path / "build" / "lib" / "tokenmill" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    command = ["make", "wheel", f"ENV={sys.prefix}", "STAMP=pyproject.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    held = subprocess.run([sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True).stdout
    files = [line.split()[0] for line in held.splitlines()[1:]]
    assert {name.split("/")[0].split("-")[0] for name in files} == {"tokenmill"}
    assert "tokenmill/stale.py" not in files
    for name in ("__init__.py", "py.typed", "pipeline/report/page.html", "flows/presets/docs.toml", "flows/cli/__init__.py"):
        assert f"tokenmill/{name}" in files
    assert not [name for name in files if name.startswith(("tokenmill/flows/api/", "tokenmill/flows/docs/"))]
