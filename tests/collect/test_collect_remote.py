"""Objects of a store give the corpus that the same files give, whatever becomes of answers on the way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.collect.conftest import Collected
from tests.stores import at, faulty
from tokenmill.pipeline.base import files, ownership
from tokenmill.pipeline.base.errors import InputError, StaleInput
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.base.store import client
from tokenmill.pipeline.collect import listing, remote
from tokenmill.pipeline.collect.listing import InputFile
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, FilesSource
from tokenmill.pipeline.stages.step import Work, perform


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files of several kinds, and entries that are left out."""
    folder = tmp_path / "source"
    for name in ("deep/more", "deep/.hidden/below", "a corpus/documents"):
        (folder / name).mkdir(parents=True)
    (folder / "a.txt").write_text("The first text.")
    (folder / "empty.txt").write_text("")
    (folder / "deep/ü b#%20.txt").write_text("A name with other letters.")
    (folder / "deep/more/x.unknown").write_text("?")
    (folder / "deep/.hidden/below/y.txt").write_text("hidden")
    (folder / ".z.txt").write_text("hidden")
    lines = [json.dumps({"id": str(number), "text": f"Line {number} of many. " * 5}) + "\n" for number in range(60)]
    (folder / "lines.jsonl").write_text("".join(lines))
    with gzip.open(folder / "deep/packed.jsonl.gz", "wt") as packed:
        packed.write('{"text": "Packed."}\n{"text": broken\n')
    pq.write_table(pa.table({"text": [f"Row {row}. " * 20 for row in range(30)]}), folder / "deep/t.parquet", row_group_size=10)
    files.write_bytes(folder / "a corpus" / files.MARKER, json.dumps(files.Marker(id="0" * 32).plain()).encode())
    (folder / "a corpus/documents/c.txt").write_text("of a corpus")
    return folder


def uploaded(source: Path, bucket: str) -> str:
    """The address of a copy of the folder."""
    for path in source.rglob("*"):
        if path.is_file():
            at(f"{bucket}/in").put(path.relative_to(source).as_posix(), path)
    return f"{bucket}/in"


def step_of(paths: Sequence[str]) -> CollectStep:
    plain = {"paths": tuple(paths), "shard_bytes": 2000, "quarantine_ceiling": 1.0}
    return CollectStep(config=CollectConfig.model_validate(plain))


def collected(root: Path, *paths: str) -> Collected:
    """A collection as a build makes it: under the lock of the corpus."""
    with files.lock(root):
        ownership.take(root, [])
        work = Work(root=root, before=(), executor=InProcess(), progress=Silent())
        return Collected(root=root, done=perform(step_of(paths), work, downstream=[]))


BELOW = [
    ("",),
    ("/",),
    ("/deep",),
    ("/lines.jsonl",),
    ("/*.txt", "/deep"),
    ("/**/*.parquet", "/[al]*"),
    ("/deep/*", "/a.txt"),
    ("/*",),
    ("/**",),
    ("/**/*.txt",),
]


def test_addresses_name_the_files_that_paths_name(bucket: str, source: Path) -> None:
    address = uploaded(source, bucket)
    for below in BELOW:
        here = listing.listing(FilesSource(name="x", paths=tuple(f"{source}{one}" for one in below)))
        there = remote.listing(FilesSource(name="x", paths=tuple(f"{address}{one}" for one in below)))
        assert there.left_out == here.left_out, below
        assert list(map(_told, there.files)) == list(map(_told, here.files)), below


def _told(file: InputFile) -> tuple[object, ...]:
    return file.name, file.kind, file.codec, file.size_bytes


def test_objects_give_what_files_give(bucket: str, source: Path, tmp_path: Path) -> None:
    address = uploaded(source, bucket)
    here, there = collected(tmp_path / "here", str(source)), collected(tmp_path / "there", address)
    assert there.published() == here.published()
    assert not list((tmp_path / "there" / remote.FOLDER).glob("*"))


SOAKED = [pytest.param(fault, marks=pytest.mark.soak) for fault in ("busy", "cut")]


@pytest.mark.parametrize("fault", ["lost", "flip", *SOAKED])
def test_faults_on_the_way_change_nothing(
    bucket: str, s3_port: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    address = uploaded(source, bucket)
    here = collected(tmp_path / "here", str(source))
    # A listing has no checksum.
    spared = fault == "flip"
    plan = lambda method, path, number: None if number % 4 or (spared and "list-type" in path) else fault  # noqa: E731
    with faulty(monkeypatch, s3_port, plan):
        there = collected(tmp_path / "there", address)
    assert there.published() == here.published()


def test_an_object_that_did_not_change_is_not_read_again(
    bucket: str, s3_port: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = uploaded(source, bucket)
    first = collected(tmp_path / "corpus", address)
    with faulty(monkeypatch, s3_port, lambda *_: None) as requests:
        again = collected(tmp_path / "corpus", address)
        assert again.done.manifest == first.done.manifest
        assert [one for one in requests if one.startswith("GET") and "list-type" not in one] == []
        at(address).put("a.txt", b"Another first text.")
        work = Work(root=tmp_path / "corpus", before=(), executor=InProcess(), progress=Silent())
        asked = step_of([address]).inputs(work)
        # Who only asks fetches nothing, and sees that there is something new.
        assert asked != again.done.manifest.inputs
        assert [one for one in requests if one.startswith("GET") and "list-type" not in one] == []
        later = collected(tmp_path / "corpus", address)
    assert "Another first text." in later.texts()
    assert len({one for one in requests if one.startswith("GET") and "a.txt" in one}) == 1


def test_an_object_that_is_replaced_meanwhile_is_an_error(
    bucket: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = uploaded(source, bucket)
    listed = remote.listing

    def then_replaced(*arguments: object) -> object:
        found = listed(*arguments)  # type: ignore[arg-type]
        at(address).put("a.txt", b"Another text.")
        return found

    monkeypatch.setattr(remote, "listing", then_replaced)
    with pytest.raises(StaleInput, match=r"a.txt was replaced or removed"):
        collected(tmp_path / "corpus", address)


def test_what_names_nothing_is_refused(bucket: str, tmp_path: Path) -> None:
    at(bucket).put("in/x.unknown", b"?")
    for below, said in (
        ("/no", "names no object"),
        ("/in", "no object of a kind that can be read"),
        ("/*.txt", "names no object"),
    ):
        with pytest.raises(InputError, match=said):
            collected(tmp_path / "corpus", bucket + below)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"paths": ("s3://bucket/x", "here")}, "make two of it"),
        ({"paths": ("ftp://host/x",)}, "knows no store"),
        ({"paths": ("s3:/bucket/x",)}, "write it as s3://bucket"),
        ({"paths": ("s3://me:secret@bucket/x",)}, "must not hold a user or a password"),
        ({"sources": ({"kind": "dataset", "name": "a", "path": "s3://bucket/x"},)}, "give its files as `paths`"),
    ],
)
def test_addresses_that_cannot_be_sources(sources: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        CollectConfig.model_validate(sources)
    assert "secret" not in caught.value.errors()[0]["msg"]  # type: ignore[attr-defined]
