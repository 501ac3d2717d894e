"""A corpus in a store: one of several publishers wins, readers see a whole version, and what is superseded goes."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.folders import smallest, twin
from tests.stores import at, faulty, keys
from tokenmill.flows import build as builds
from tokenmill.pipeline.base import files, manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError, Locked, NewerFormat, NotBuilt
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.base.store import client, everything, mirror, pointer, publish, require_room, summary
from tokenmill.pipeline.base.store import publishing as publishing_module
from tokenmill.pipeline.base.store.pointer import POINTER
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.tokens import TokenStore

HOUR = 3600.0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus, and the folder `in` that it is of."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "in").mkdir()
    for number in range(4):
        (folder / "in" / f"{number}.txt").write_text(f"Text {number} of a corpus that is published. " * 9)
    builds.build(smallest(folder), folder / "corpus", workers=1)
    return folder / "corpus"


@pytest.fixture(scope="module")
def other(built: Path) -> Path:
    """A later build of a text more."""
    folder = built.parent / "other"
    (built.parent / "in" / "9.txt").write_text("One more text that comes later. " * 9)
    builds.build(smallest(built.parent), twin(built, folder), workers=1)
    return folder


def tree(root: Path) -> dict[str, str]:
    """The SHA-256 of the files of the version in `root` that readers see, by name."""
    folder = versions.reading(root).folder
    return {name: files.sha256(folder / name) for name in sorted(versions.names_in(folder))}


def put(root: Path, bucket: str, *, grace: float = HOUR) -> bool:
    """Publish the corpus in `root`, as a build does that begins now."""
    store = at(bucket)
    return publish(root, store, require_room(store, "a", replace=False), Silent(), grace_seconds=grace, made_by="a")


def generation(bucket: str) -> int:
    found = pointer.look(at(bucket)).pointer
    assert found is not None
    return found.generation


def test_a_copy_has_the_bytes_that_were_published(bucket: str, built: Path, tmp_path: Path) -> None:
    address = f"{bucket}/corpora/a"
    assert put(built, address)
    assert not put(built, address)
    assert generation(address) == 1
    copy = mirror(address, wanted=summary, cache=tmp_path)
    assert open_corpus(copy).settings == open_corpus(built).settings
    assert not list(versions.reading(copy).folder.rglob("*.bin"))
    assert tree(mirror(address, cache=tmp_path)) == tree(built)
    assert {key.partition("/")[0] for key in keys(address)} == {".objects", POINTER}


def test_tokens_are_those_of_the_corpus(bucket: str, built: Path, tmp_path: Path) -> None:
    put(built, bucket)
    here, there = TokenStore.open(built), TokenStore.open(bucket, cache=tmp_path)
    assert there.hash == here.hash
    split = there.split("train")
    assert (split.read(0, split.tokens) == here.split("train").read(0, split.tokens)).all()
    assert not (versions.reading(mirror(bucket, wanted=summary, cache=tmp_path)).folder / "documents").exists()


def test_a_later_version_sends_what_changed_and_a_reader_keeps_its_own(
    bucket: str, built: Path, other: Path, tmp_path: Path
) -> None:
    put(built, bucket)
    before = keys(bucket)
    reader = open_corpus(mirror(bucket, cache=tmp_path))
    was = tree(built)
    assert put(other, bucket)
    assert generation(bucket) == 2
    # The objects of the version before stay for its readers.
    assert before < keys(bucket)
    copy = mirror(bucket, cache=tmp_path)
    assert tree(copy) == tree(other)
    assert {name: files.sha256(reader.published / name) for name in was} == was
    shared = [name for name, digest in was.items() if tree(other).get(name) == digest]
    assert shared
    assert all(versions.is_same(reader.published / name, versions.reading(copy).folder / name) for name in shared)
    del reader
    assert put(built, bucket)
    mirror(bucket, wanted=summary, cache=tmp_path)
    assert [path.name for path in (copy / ".versions").iterdir()] == ["3"]


def test_superseded_objects_go_after_the_grace_period(
    bucket: str, built: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(built, bucket)
    put(other, bucket)
    there = len(keys(bucket))
    now = publishing_module.time.time()
    monkeypatch.setattr(publishing_module.time, "time", lambda: now + 2 * HOUR)
    put(built, bucket)
    # Version 1 is gone, version 2 stays for an hour, and version 3 took over what it shares with that one.
    found = pointer.look(at(bucket)).pointer
    assert found is not None
    assert [pointer.index_of(at(bucket), one.index).keys() for one in found.superseded] == [tree(other).keys()]
    put(other, bucket, grace=0)
    assert len(keys(bucket)) < there
    assert keys(bucket) == {POINTER, *publishing_module._used(at(bucket), _now(bucket))}
    assert tree(mirror(bucket, cache=tmp_path)) == tree(other)


def _now(bucket: str) -> pointer.Pointer:
    found = pointer.look(at(bucket)).pointer
    assert found is not None
    return found


def race(bucket: str, roots: list[Path]) -> list[str]:
    """What becomes of publishers who all look first, and then publish at once."""
    together = threading.Barrier(len(roots))

    def run(root: Path) -> str:
        store = at(bucket)
        before = require_room(store, "a", replace=False)
        together.wait()
        try:
            return str(publish(root, store, before, Silent(), grace_seconds=HOUR, made_by="a"))
        except Locked as error:
            return str(error)

    with ThreadPoolExecutor(len(roots)) as pool:
        return list(pool.map(run, roots))


def test_of_eight_publishers_one_wins_and_seven_say_so(bucket: str, built: Path, other: Path, tmp_path: Path) -> None:
    roots = [twin(built if number % 2 else other, tmp_path / str(number)) for number in range(8)]
    for number in (1, 2):
        said = race(bucket, roots)
        assert said.count("True") == 1
        winner = roots[said.index("True")]
        lost = [one for one in said if one != "True"]
        assert all(f"somebody else published version {number}" in one and "so nothing was published" in one for one in lost)
        assert generation(bucket) == number
        assert tree(mirror(bucket, cache=tmp_path / f"cache{number}")) == tree(winner)
        roots = [root for root in roots if tree(root) != tree(winner)]
    # The losers took back what they had sent.
    assert keys(bucket) == {POINTER, *publishing_module._used(at(bucket), _now(bucket))}


@pytest.mark.parametrize("fault", ["lost", *(pytest.param(fault, marks=pytest.mark.soak) for fault in ("busy", "cut"))])
def test_faults_that_pass_change_nothing(
    bucket: str, s3_port: int, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.001)
    with faulty(monkeypatch, s3_port, lambda method, path, number: fault if number % 9 == 2 else None):
        put(built, bucket)
        assert tree(mirror(bucket, cache=tmp_path)) == tree(built)
    assert generation(bucket) == 1


def test_a_lost_answer_of_the_pointer_is_a_success(
    bucket: str, s3_port: int, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def fault(method: str, path: str, number: int) -> str | None:
        if method == "PUT" and path.endswith(POINTER) and not lost:
            lost.append(path)
            return "lost"
        return None

    with faulty(monkeypatch, s3_port, fault):
        assert put(built, bucket)
    assert len(lost) == generation(bucket) == 1


def test_a_publication_that_is_cut_off_goes_on(
    bucket: str, s3_port: int, built: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(built, bucket)
    root = twin(other, tmp_path / "work")
    sent: list[str] = []

    def refused(method: str, path: str, number: int) -> str | None:
        sent.extend([path] if method == "PUT" else [])
        return "refused" if len(sent) > 5 else None

    with faulty(monkeypatch, s3_port, refused), pytest.raises(InputError, match="access is refused"):
        put(root, bucket)
    assert tree(mirror(bucket, cache=tmp_path / "cache")) == tree(built)
    with faulty(monkeypatch, s3_port, lambda method, path, number: None) as requests:
        assert put(root, bucket)
    again = {path for path in sent[:5] if f"PUT {path}" in requests}
    assert not again
    assert tree(mirror(bucket, cache=tmp_path / "cache")) == tree(other)


def test_an_object_that_is_not_what_was_published_is_found(bucket: str, built: Path, tmp_path: Path) -> None:
    put(built, bucket)
    index = pointer.index_of(at(bucket), _now(bucket).index)
    file = next(file for name, file in index.items() if name.endswith(".bin"))
    mirror(bucket, cache=tmp_path)
    data = bytearray(versions.reading(built).folder.joinpath("tokens/train/00000.bin").read_bytes())
    data[7] ^= 1
    for wrong in (bytes(data), bytes(data[:-1]), None):
        at(bucket).remove([file.key])
        if wrong is not None:
            at(bucket).put(file.key, wrong)
        # What is cached was compared when it came; whoever asks for proof reads all again.
        mirror(bucket, cache=tmp_path)
        with pytest.raises(CorruptFile, match=r"tokens/train/00000.bin"):
            mirror(bucket, cache=tmp_path, anew=True)
    with pytest.raises(CorruptFile, match=r"tokens/train/00000.bin"):
        TokenStore.open(bucket, cache=tmp_path / "fresh")


def test_nothing_is_published_over_somebody_elses_objects(bucket: str, built: Path) -> None:
    at(bucket).put("theirs.txt", b"x")
    with pytest.raises(ConfigError, match=r"holds objects \(theirs.txt, ...\) and no corpus"):
        put(built, bucket)
    put(built, f"{bucket}/a")
    with pytest.raises(ConfigError, match="holds the corpus of 'a', and 'b' would replace it"):
        require_room(at(f"{bucket}/a"), "b", replace=False)
    assert require_room(at(f"{bucket}/a"), "b", replace=True).pointer is not None


def test_what_is_no_corpus_is_said(bucket: str, built: Path, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="holds no published corpus"):
        mirror(bucket, cache=tmp_path)
    with pytest.raises(NotBuilt, match="holds no finished version"):
        publish(tmp_path, at(bucket), pointer.look(at(bucket)), Silent(), grace_seconds=HOUR)
    at(bucket).put(POINTER, b'{"kind": "other"}')
    with pytest.raises(CorruptFile, match="not the pointer of a published corpus"):
        mirror(bucket, cache=tmp_path)
    at(bucket).put(POINTER, json.dumps({"kind": pointer.KIND, "format": 99}).encode())
    with pytest.raises(NewerFormat, match="install a newer tokenmill"):
        put(built, bucket)


WRONG: list[dict[str, object]] = [
    {"generation": "../../x"},
    {"generation": 0},
    {"generation": True},
    {"index": 7},
    {"hash": None},
]


def test_a_pointer_has_the_types_that_it_must_have(bucket: str, built: Path, tmp_path: Path) -> None:
    put(built, bucket)
    answer = at(bucket).read(POINTER, most_bytes=2**20)
    assert answer is not None
    for wrong in WRONG:
        at(bucket).put(POINTER, json.dumps({**json.loads(answer[0]), **wrong}).encode())
        with pytest.raises(CorruptFile, match="not the pointer of a published corpus"):
            mirror(bucket, cache=tmp_path)


def test_an_index_names_no_file_elsewhere(bucket: str, built: Path, tmp_path: Path) -> None:
    put(built, bucket)
    found = _now(bucket)
    held = pointer.index_of(at(bucket), found.index)
    for name in ("../outside", "/etc/passwd", ".tokenmill", "a/.versions/b", "a\\b", "a//b"):
        data = pointer.index_data({**held, name: next(iter(held.values()))})
        key = f".objects/evil/{hashlib.sha256(data).hexdigest()}"
        at(bucket).put(key, data)
        index = pointer.StoredFile(key=key, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        at(bucket).put(POINTER, pointer.Pointer(**{**vars(found), "index": index}).data())
        with pytest.raises(CorruptFile, match=r"index of a published corpus|names a hidden file"):
            mirror(bucket, wanted=everything, cache=tmp_path / "cache")
    assert not (tmp_path / "outside").exists()


def test_readers_on_one_machine_wait_for_one_another(bucket: str, built: Path, tmp_path: Path) -> None:
    put(built, bucket)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: mirror(bucket, cache=tmp_path), range(4)))) == 1
    assert tree(mirror(bucket, cache=tmp_path)) == tree(built)
    assert manifest.load(versions.reading(mirror(bucket, cache=tmp_path)).folder, "corpus").hash == _now(bucket).hash
