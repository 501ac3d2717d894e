"""Only what is ours is changed or removed: the bytes of everything else are compared after every kind of build."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import tokenmill as run
from tests.folders import smallest, twin
from tokenmill.flows.build import build
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ConfigError, NotOurs
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import open_corpus

OWN = {
    "documents/private/thesis.docx": b"years of work",
    "documents/files/notes.parquet": b"PAR1 but mine",
    "tokens/api.key": b"a secret",
    "tokens/train/00099.bin": b"tokens of mine",
    "collect/notes.md": b"notes",
    "quarantine/.draft.4194304.tmp~": b"a draft",
    "tokenizer/old.json": b"{}",
    ".state/nvim/shada": b"undo",
    ".state/collect/files/mine.json": b"{}",
    ".versions/7/manifest.json": b"{}",
    ".versions/7/documents/files/0.parquet": b"PAR1 and mine",
    "README.md": b"read me",
}
"""Files that somebody put into a corpus, by name."""


class Said(Silent):
    """What a build says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _no_fault_left() -> Iterator[None]:
    yield
    files.inject(None)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_input(tmp_path)
    return smallest(tmp_path)


def write_input(folder: Path) -> None:
    (folder / "in").mkdir()
    for number in range(3):
        (folder / "in" / f"{number}.txt").write_text(f"Text {number} of a small corpus. " * 9)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a build of `config` publishes."""
    folder = tmp_path_factory.mktemp("built")
    write_input(folder)
    build(smallest(folder), folder / "corpus", workers=1)
    return folder / "corpus"


@pytest.fixture
def root(tmp_path: Path, built: Path, config: Config) -> Path:
    """A finished corpus of `config`."""
    return twin(built, tmp_path / "corpus")


def put(root: Path) -> None:
    for name, data in OWN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def still_there(root: Path) -> bool:
    return {name: (root / name).read_bytes() for name in OWN if (root / name).is_file()} == OWN


def tree(folder: Path) -> dict[str, bytes | str]:
    """All bytes below a folder, and where its links lead."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_a_home_folder_with_a_state_folder_is_no_corpus(tmp_path: Path, config: Config) -> None:
    """XDG_STATE_HOME of some people is `~/.state`."""
    put(tmp_path / "home")
    before = tree(tmp_path / "home")
    with pytest.raises(ConfigError, match=r"is not empty \(.*\) and holds no corpus"):
        build(config, tmp_path / "home", workers=1)
    assert tree(tmp_path / "home") == before


def test_what_somebody_puts_into_a_corpus_outlives_every_build(tmp_path: Path, config: Config, root: Path) -> None:
    said = Said()
    put(root)
    build(config, root, progress=said, made_by="one", workers=1)
    assert still_there(root)
    (line,) = (line for line in said.lines if "not of tokenmill" in line)
    assert line.startswith("8 files in ")
    (tmp_path / "in" / "0.txt").unlink()
    (tmp_path / "in" / "3.txt").write_text("Another text. " * 20)
    build(config, root, made_by="one", workers=1)
    assert still_there(root)
    documents = [name for name, _ in open_corpus(root).collect.entries() if name.startswith("documents")]
    assert {f"documents/{path.relative_to(root / 'documents')}" for path in (root / "documents").rglob("*.parquet")} == {
        *documents,
        "documents/files/notes.parquet",
    }, "what an earlier build made of a removed input is gone"
    (tmp_path / "in" / "4.txt").write_text("One more text. " * 20)
    files.inject(Fault(at=90, kind="eio"))
    with pytest.raises(OSError):
        build(config, root, made_by="one", workers=1)
    files.inject(None)
    assert still_there(root)
    build(
        smallest(tmp_path, collect={"paths": [str(tmp_path / "in")], "shard_bytes": 1000}),
        root,
        made_by="two",
        replace=True,
        workers=1,
    )
    assert still_there(root)


LINKED = ("documents", "quarantine", "tokens", "tokens/train", "collect", "manifest.json", ".state", ".versions", "report.html")


@pytest.mark.parametrize("name", LINKED)
def test_a_link_in_the_place_of_one_of_our_names_is_refused_and_its_target_stays(
    tmp_path: Path, config: Config, root: Path, name: str
) -> None:
    target = tmp_path / "target"
    if name == "quarantine":
        (root / name).mkdir()
        (root / name / "x").write_bytes(b"mine")
    shutil.move(root / name, target)
    (root / name).symlink_to(target)
    before = tree(target) if target.is_dir() else target.read_bytes()
    (tmp_path / "in" / "0.txt").write_text("A text that changed. " * 20)
    with pytest.raises(NotOurs, match=rf"/{name}: is a symbolic link to .*{target}"):
        build(config, root, workers=1)
    assert (tree(target) if target.is_dir() else target.read_bytes()) == before
    assert (root / name).is_symlink()


def test_a_corpus_of_another_preset_is_refused_and_other_settings_are_an_update(tmp_path: Path, config: Config) -> None:
    root = tmp_path / "corpus"
    build(config, root, made_by="mine", workers=1)
    before = tree(root)
    with pytest.raises(ConfigError, match="holds the corpus of 'mine', and 'web' would replace it.*--replace"):
        build(config, root, made_by="web", workers=1)
    assert tree(root) == before
    changed = smallest(tmp_path, tokenizer={"vocabulary": 270, "min_frequency": 1})
    build(changed, root, made_by="mine")
    build(config, root, workers=1)
    marker = files.marker(root)
    assert marker is not None
    assert (marker.made_by, marker.owner) == ("mine", None)
    build(config, root, made_by="web", replace=True, workers=1)
    now = files.marker(root)
    assert now is not None
    assert (now.made_by, now.id) == ("web", marker.id)


def test_the_command_line_refuses_another_config_with_exit_code_1(tmp_path: Path, config: Config) -> None:
    written = f"stages = []\n[collect]\npaths = ['{tmp_path / 'in'}']\n[tokenizer]\nvocabulary = 260\nmin_frequency = 1\n"
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text(written)
    root = tmp_path / "corpus"
    asked = ("--out", str(root), "--no-prefect", "--workers", "1")
    assert run("build", tmp_path / "one.toml", *asked).returncode == 0
    before = tree(root)
    refused = run("build", tmp_path / "two.toml", *asked)
    assert refused.returncode == 1
    assert "holds the corpus of 'one'" in refused.stderr.replace("\n", " ")
    assert tree(root) == before
    assert run("build", tmp_path / "two.toml", *asked, "--replace", "--set", "tokenizer.vocabulary=261").returncode == 0
    assert run("build", root / "config.toml", *asked).returncode == 0, "its own settings are no other config"
    assert run("status", root).returncode == 0


def test_a_corpus_inside_another_is_refused_and_one_that_was_put_there_is_left_alone(
    tmp_path: Path, config: Config, root: Path, built: Path
) -> None:
    for inside in (root / "sub", root / "documents" / "sub"):
        with pytest.raises(ConfigError, match="is inside the corpus"):
            build(config, inside, workers=1)
        assert not inside.exists()
    twin(built, root / "documents" / "other")
    before = tree(root / "documents" / "other")
    (tmp_path / "in" / "0.txt").unlink()
    build(config, root, workers=1)
    assert tree(root / "documents" / "other") == before


def as_before_markers(root: Path) -> None:
    """What a build of a version without markers left."""
    shutil.rmtree(root / ".versions")
    (root / files.MARKER).unlink()
    (root / files.JOURNAL).unlink()


@pytest.mark.parametrize("finished", [True, False])
def test_a_corpus_of_before_markers_is_taken_over(tmp_path: Path, config: Config, root: Path, finished: bool) -> None:
    fresh = tmp_path / "fresh"
    as_before_markers(root)
    if not finished:
        for path in root.rglob("manifest.json"):
            path.unlink()
    put(root)
    (tmp_path / "in" / "0.txt").unlink()
    build(config, root, made_by="mine", workers=1)
    build(config, fresh, workers=1)
    assert still_there(root)
    own = {root / name for name in OWN}
    kept = {name: data for name, data in tree(root).items() if root / name not in own and name[0] != "." and name[:4] != "runs"}
    assert kept == {name: data for name, data in tree(fresh).items() if name[0] != "." and name[:4] != "runs"}


def test_a_foreign_marker_is_not_replaced(tmp_path: Path, config: Config) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / files.MARKER).write_bytes(b"of another program")
    with pytest.raises(ConfigError, match=r"its \.tokenmill is not the one that tokenmill wrote"):
        build(config, tmp_path / "corpus", workers=1)
    assert tree(tmp_path / "corpus") == {files.MARKER: b"of another program"}


def test_no_manifest_names_the_marker_and_no_hash_depends_on_it(tmp_path: Path, config: Config) -> None:
    hashes = set()
    for name in ("one", "two"):
        build(config, tmp_path / name, made_by=name, workers=1)
        whole = manifest.load(tmp_path / name, manifest.CORPUS)
        assert not [each for each, _ in whole.entries() if each.startswith(".")]
        hashes.add(whole.hash)
    assert len(hashes) == 1


def test_a_folder_that_is_named_from_here_on_is_the_same_corpus(
    tmp_path: Path, config: Config, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "0.txt").unlink()
    build(config, Path("corpus"), made_by="mine", workers=1)
    assert still_there(tmp_path / "corpus")
    monkeypatch.chdir(tmp_path / "corpus")
    (tmp_path / "in" / "1.txt").unlink()
    build(config, Path(), made_by="mine", workers=1)
    build(config, Path("../fresh"), made_by="mine", workers=1)
    assert still_there(tmp_path / "corpus")
    named = [name for name, _ in open_corpus(tmp_path / "fresh").collect.entries()]
    assert named == [name for name, _ in open_corpus(Path()).collect.entries()]
    assert len(list((tmp_path / "corpus" / ".versions").iterdir())) == 2, "one of ours, and the folder 7 of somebody"


def test_a_build_killed_while_it_wrote_the_first_marker_can_begin_again(tmp_path: Path, config: Config) -> None:
    root = tmp_path / "corpus"
    root.mkdir()
    # A number that no process has.
    (root / f".{files.MARKER}.4194305000{files.TEMPORARY}").write_bytes(b"{")
    build(config, root, workers=1)
    assert not list(root.glob(f"*{files.TEMPORARY}"))
    assert open_corpus(root).root == root
