"""Entries of folders: each is read or left out by a named reason, links lead nowhere else, and nothing waits for a FIFO."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.base import files, state
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.files import Marker
from tokenmill.pipeline.collect import listing
from tokenmill.pipeline.collect.entries import REASONS, kernel_devices, spelled
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, FilesSource
from tokenmill.pipeline.stages.step import Work

SECRET = "the words of a file that is not ours to read"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with one entry of every fate or more, beside a file that no source names."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.txt").write_text(SECRET)
    folder = tmp_path / "in"
    for name in ("sub", ".git", "old", "sub/deep"):
        (folder / name).mkdir(parents=True)
    files.mark(folder / "old", Marker(id="00"))
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.md", "b.pdf", "sub/d.bin", ".hidden.txt", ".git/config.txt", "old/e.txt"):
        (folder / name).write_text(name)
    os.mkfifo(folder / "fifo.txt")
    with socket.socket(socket.AF_UNIX) as server:
        # The address of a socket has at most 107 bytes.
        monkeypatch.chdir(folder)
        server.bind("socket.txt")
    for link, target in {
        "inside.txt": "a.txt",
        "out.txt": tmp_path / "outside/secret.txt",
        "out": tmp_path / "outside",
        "loop": ".",
        "sub/none.txt": "gone.txt",
        "self.txt": "self.txt",
        "null.txt": "/dev/null",
        "environ.txt": "/proc/self/environ",
        "twice.txt": "out.txt",
    }.items():
        (folder / link).symlink_to(target)
    return folder


def counted(folder: Path) -> int:
    """Every entry below a folder but the folders that are entered: the slow twin of the walk."""
    total = 0
    for entry in os.scandir(folder):
        entered = entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
        entered = entered and not os.path.exists(os.path.join(entry.path, files.MARKER))
        total += counted(Path(entry.path)) if entered else 1
    return total


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.timeout(60)
def test_every_entry_is_read_or_left_out_by_a_reason(tree, collect):
    done = collect(tree)
    assert sorted(done.texts()) == ["a.txt", "a.txt", "sub/b.txt", "sub/deep/c.md"]
    facts = done.done.manifest.facts
    assert facts["left_out"] == {
        "broken_link": 2,
        "corpus": 1,
        "device": 4,
        "hidden": 2,
        "link_outside": 2,
        "link_to_folder": 2,
        "unknown_kind": 2,
    }
    assert facts["files"] + sum(facts["left_out"].values()) == counted(tree)
    assert facts["ignored_files"] == sum(facts["left_out"].values())
    assert SECRET.encode() not in bytes_below(done.root)


def test_the_counts_are_said_and_planned(tree):
    left_out = listing.listing(FilesSource(name="files", paths=(str(tree),))).left_out
    planned = CollectStep(config=CollectConfig(paths=(str(tree),))).plan()
    assert {f"left_out_{reason}": count for reason, count in left_out.items()}.items() <= planned.items()
    assert left_out.keys() <= REASONS.keys()


@pytest.mark.timeout(60)
def test_links_are_followed_when_the_source_says_so(tree, collect):
    (tree / "out/more.md").write_text("more")
    (tree / "other").symlink_to("out")
    done = collect(sources=({"kind": "files", "name": "files", "paths": [str(tree)], "follow_links": True},))
    found = {json.loads(row["metadata"])["path"]: row["text"] for row in done.documents()}
    # Of two links to one folder the first is entered; one to the folder itself is not.
    assert found["other/more.md"] == "more"
    assert found["out.txt"] == found["twice.txt"] == SECRET
    assert not [name for name in found if name.startswith(("loop/", "out/"))]
    assert done.done.manifest.facts["left_out"]["link_to_folder"] == 2
    # What the kernel says of processes is no input, however it is reached.
    assert done.done.manifest.facts["left_out"]["device"] == 4
    assert not [text for text in found.values() if "PATH=" in text]


@pytest.mark.skipif(not kernel_devices(), reason="/proc is not mounted")
def test_a_link_above_everything_does_not_lead_to_processes(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/p").symlink_to(f"/proc/{os.getpid()}/fd")
    (tmp_path / "in/environ.txt").symlink_to(f"/proc/{os.getpid()}/environ")
    source = FilesSource(name="files", paths=(str(tmp_path / "in"),), follow_links=True)
    assert [file.name for file in listing.listing(source).files] == ["a.txt"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", ["**", "**/*.txt", "*", "*/*.txt", "sub/**/*.txt"])
def test_patterns_follow_no_link_and_end_where_links_form_loops(tree, collect, pattern):
    for name in ("again", "more", "sub/up"):
        (tree / name).symlink_to(tree)
    done = collect(tree / pattern)
    assert SECRET not in done.texts()
    paths = [json.loads(row["metadata"])["path"] for row in done.documents()]
    assert not [path for path in paths if path.startswith(("again", "more", "sub/up", "out", "old"))]


def test_a_pattern_names_what_glob_names(tmp_path):
    for name in ("a/b/c.txt", "a/.b/c.txt", "a/b/.c.txt", "d.txt/e.md", ".a/c.txt", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    def names(pattern):
        return {file.path for file in listing.listing(FilesSource(name="files", paths=(str(tmp_path / pattern),))).files}

    assert names("**/c.txt") == {str(tmp_path / "a/b/c.txt"), str(tmp_path / "c.txt")}
    assert names("**/.b/*.txt") == {str(tmp_path / "a/.b/c.txt")}
    assert names("**/*.txt") == {str(tmp_path / name) for name in ("a/b/c.txt", "c.txt", "d.txt/e.md")}
    assert names("a/**/*") == {str(tmp_path / "a/b/c.txt")}


def test_a_link_that_is_named_itself_is_followed(tree, tmp_path, collect):
    assert collect(tree / "out.txt").texts() == [SECRET]
    assert collect(tree / "out", out="other").texts() == [SECRET]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["fifo.txt", "socket.txt", "null.txt", "environ.txt"])
def test_a_device_that_is_named_itself_is_refused(tree, name):
    with pytest.raises(InputError, match="devices, FIFOs, sockets"):
        listing.listing(FilesSource(name="files", paths=(str(tree / name),)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("instead", ["fifo", "link", "folder", "file"])
def test_only_the_file_that_was_listed_is_opened(tmp_path, instead):
    path = tmp_path / "in/a.txt"
    path.parent.mkdir()
    path.write_text("a")
    (tmp_path / "secret.txt").write_text("s")
    (file,) = listing.listing(FilesSource(name="files", paths=(str(path),))).files
    with file.open() as handle:
        assert handle.read() == b"a"
    path.unlink()
    if instead == "fifo":
        os.mkfifo(path)
    elif instead == "link":
        path.symlink_to(tmp_path / "secret.txt")
    elif instead == "folder":
        path.mkdir()
    else:
        path.write_text("b")
    with pytest.raises(StaleInput, match=r"a\.txt changed"):
        file.open()


def test_an_edit_of_equal_size_whose_time_is_put_back_is_noticed(tmp_path, collect):
    path = tmp_path / "a.txt"
    path.write_text("one")
    os.utime(path, ns=(10**18, 10**18))
    assert collect(path).texts() == ["one"]
    assert collect(path).done.recomputed_shards == 0
    path.write_text("two")
    os.utime(path, ns=(10**18, 10**18))
    assert path.stat().st_mtime_ns == 10**18
    assert collect(path).texts() == ["two"]


def test_the_corpus_among_its_input_changes_no_count(tmp_path, collect):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/notes.txt").write_text("mine")
    first = collect(tmp_path)
    before = first.published()
    (first.root / "collect/manifest.json").unlink()
    assert collect(tmp_path).published() == before
    facts = first.done.manifest.facts
    assert (facts["files"], facts["left_out"]) == (1, {})


def test_a_tree_deeper_than_calls_may_nest(tmp_path):
    folders = [f"{tmp_path}{'/d' * depth}" for depth in range(1, 1_101)]
    for folder in folders:
        os.mkdir(folder)
    file = Path(folders[-1], "a.txt")
    file.write_text("a")
    try:
        (found,) = listing.listing(FilesSource(name="files", paths=(str(tmp_path),))).files
        assert found.name == "d/" * 1_100 + "a.txt"
    finally:
        # What removes the folders of tests calls itself for each level.
        file.unlink()
        for folder in reversed(folders):
            os.rmdir(folder)


def test_names_that_are_not_utf8_stay_apart(tmp_path, collect):
    folder = tmp_path / "in"
    folder.mkdir()
    names = [b"\xff.txt", rb"\xff.txt", b"\\\xff.txt", rb"\\xff.txt", b"\xc3\xbf.txt", b"\xff.jsonl", rb"\xff.jsonl"]
    for name in names:
        lines = b'{broken\n{"text": "%d"}\n' % len(name)
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(
            lines if name.endswith(b"l") else name.hex().encode()
        )
    done = collect(folder, shard_bytes=1_000)
    rows = done.documents()
    assert len(rows) == len({row["doc_id"] for row in rows}) == len(names)
    paths = {json.loads(row["metadata"])["path"] for row in rows}
    assert paths == {spelled(name) for name in names}
    assert done.broken() == [(r"\\xff.jsonl#0", "broken_json"), (r"\xff.jsonl#0", "broken_json")]
    messages = pq.read_table(done.root / "quarantine/files.parquet")["position"].to_pylist()
    assert len(set(messages)) == 2
    assert collect(folder, shard_bytes=1_000).done.recomputed_shards == 0


def test_remembered_identities_of_names_that_are_not_utf8_stay_apart(tmp_path, collect):
    for name, text in ((b"\xff.txt", "one"), (rb"\xff.txt", "two")):
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "w") as out:
            out.write(text)
        os.utime(path, ns=(10**18, 10**18))
    source = {"kind": "files", "name": "files", "paths": [str(tmp_path / "*.txt")]}
    done = collect(sources=(source,))
    assert sorted(done.texts()) == ["one", "two"]
    assert len(state.load(done.root / ".state/inputs.json")) == 2


@given(st.lists(st.sampled_from([b"\xff", b"\\", b"x", b"f", b"\xc3\xbf", b"\xed\xa0\x80", "é".encode()])).map(b"".join))
def test_a_spelled_name_can_be_read_back(raw):
    text, back = spelled(raw), bytearray()
    while text:
        if text.startswith("\\\\"):
            back += b"\\"
            text = text[2:]
        elif text.startswith("\\x"):
            back.append(int(text[2:4], 16))
            text = text[4:]
        else:
            back += text[0].encode()
            text = text[1:]
    assert bytes(back) == raw


def test_a_message_about_a_name_that_is_not_utf8_can_be_printed(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    real = os.scandir

    def refusing(path):
        if os.fsencode(path).endswith(b"\xff"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(InputError, match="the folder cannot be read") as caught:
        listing.listing(FilesSource(name="files", paths=(str(tmp_path),)))
    assert str(caught.value).encode()


def test_a_file_that_is_gone_before_it_is_described_is_counted(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    real = os.stat

    def gone(path, **settings):
        if str(path).endswith("b.txt"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(path, **settings)

    monkeypatch.setattr(os, "stat", gone)
    assert listing.listing(FilesSource(name="files", paths=(str(tmp_path),))).left_out == {"vanished": 1}
    assert stat.S_ISREG(real(tmp_path / "b.txt").st_mode)


def test_work_of_a_dry_run_leaves_the_corpus_out(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "corpus").mkdir()
    files.mark(tmp_path / "corpus", Marker(id="00"))
    (tmp_path / "home/.state").mkdir(parents=True)
    (tmp_path / "home/b.txt").write_text("of a user whose programs keep their state there")
    step = CollectStep(config=CollectConfig(paths=(str(tmp_path),)))
    assert "left_out_corpus" not in step.plan(tmp_path / "corpus")
    assert step.plan()["left_out_corpus"] == 1
    assert step.plan()["files"] == 2
    assert step.inputs(Work(root=tmp_path / "corpus", before=(), executor=InProcess()))


def random_tree(folder: Path, draw: random.Random) -> None:
    """A folder `in` of files, folders and links to anything, beside a folder `beside`."""
    folders = [folder / "in", folder / "beside"]
    for number in range(draw.randrange(2, 6)):
        folders.append(draw.choice(folders) / f"{draw.choice(['', '.'])}d{number}")
    for one in folders:
        one.mkdir(parents=True)
    made = [draw.choice(folders) / f"{draw.choice(['', '.'])}f{number}{draw.choice(['.txt', '.bin'])}" for number in range(8)]
    for one in made:
        one.write_text(one.name)
    for number in range(8):
        target = draw.choice([*folders, *made, folder / "gone", Path("/dev/zero"), Path("..")])
        (draw.choice(folders) / f"{draw.choice(['', '.'])}l{number}.txt").symlink_to(target)
    (folders[0] / "here.txt").write_text("so that the source is not empty")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(30))
def test_random_trees_conserve_entries_and_lead_nowhere(tmp_path, seed):
    random_tree(tmp_path, random.Random(seed))
    root = tmp_path / "in"
    found = listing.listing(FilesSource(name="files", paths=(str(root),)))
    assert len(found.files) + sum(found.left_out.values()) == counted(root)
    assert all(Path(file.path).is_relative_to(root) and not Path(file.path).is_symlink() for file in found.files)
    pattern = listing.listing(FilesSource(name="files", paths=(str(root / "**"),)))
    assert pattern.files == found.files
    followed = listing.listing(FilesSource(name="files", paths=(str(root),), follow_links=True))
    assert {file.name for file in found.files} <= {file.name for file in followed.files}
    # A link to a file is a name of its own, but the files of a folder are not read twice.
    real = [file.path for file in followed.files if not (root / file.name).is_symlink()]
    assert len(real) == len(set(real))
    assert not [file for file in followed.files if not Path(file.path).is_relative_to(tmp_path)]
