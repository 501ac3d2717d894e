"""Commands on corpora in an object store: what is refused, built, read, forgotten and compacted."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

import tokenmill as tm
from tests.command import tokenmill
from tests.faults.builds import published
from tests.stores import at, faulty, keys
from tokenmill.flows import schedules
from tokenmill.pipeline.base import files, versions
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.store import client, pointer
from tokenmill.pipeline.tokens import TokenStore

CONFIG = """
stages = []
[collect]
paths = ["in"]
[tokenizer]
vocabulary = 260
min_frequency = 1
[pack]
validation_fraction = 0
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with texts, the settings of a corpus, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    for number in range(4):
        (tmp_path / "in" / f"{number}.txt").write_text(f"Text {number} of a corpus that is published. " * 9)
    (tmp_path / "small.toml").write_text(CONFIG)


def build(address: str, *more: str, code: int = 0) -> str:
    done = tokenmill("build", "small.toml", "--out", address, "--no-prefect", "--workers", "1", *more)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("s3:/bucket/x", "write it as s3://bucket/x"),
        ("ftp://host/x", "knows no store ftp://"),
        ("s3://me:secret@bucket/x", "neither a user nor a password"),
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, out: str, said: str) -> None:
    done = build(out, code=1)
    assert said in " ".join(done.split())
    assert "secret" not in done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "small.toml"]


def test_without_the_extra_an_address_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client._opened.cache_clear()
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    assert "pip install 'tokenmill[s3]'" in build("s3://bucket/x", code=1)
    done = tokenmill("status", "s3://bucket/x")
    assert (done.returncode, "the extra `s3`" in done.stderr) == (1, True)
    assert not (tmp_path / "s3:").exists()


def test_other_commands_write_to_folders_alone(tmp_path: Path) -> None:
    assert tokenmill("build", "small.toml", "--out", "corpus", "--no-prefect", "--workers", "1").returncode == 0
    done = tokenmill("export", "corpus", "--to", "jsonl", "--out", "s3://bucket/x")
    assert (done.returncode, "writes to folders alone" in " ".join(done.stderr.split())) == (1, True)
    schedule = {"name": "a", "config": "small.toml", "out": "s3://bucket/x", "cron": "0 3 * * *"}
    (tmp_path / "nightly.toml").write_text("[[build]]\n" + "".join(f'{key} = "{value}"\n' for key, value in schedule.items()))
    with pytest.raises(ConfigError, match="address of an object store"):
        schedules.read(tmp_path / "nightly.toml")
    assert not (tmp_path / "s3:").exists()


def test_a_corpus_is_built_published_and_read(bucket: str, tmp_path: Path) -> None:
    address = f"{bucket}/small"
    assert f"published as version 1 of {address}" in build(address, "--work", "work")
    assert "Everything is up to date" in build(address, "--work", "work")
    done = tokenmill("status", address)
    assert "4 documents" in done.stdout
    assert "unfinished" not in done.stdout
    assert "Every published byte" in tokenmill("verify", address).stdout
    assert "report:" in tokenmill("report", address).stdout
    corpus = tm.open(address, cache=tmp_path / "cache")
    assert corpus.texts().read_all().num_rows == 4
    assert corpus.report.is_file()
    # Nothing of this machine is published.
    for key in keys(address):
        answer = at(address).read(key, most_bytes=2**20)
        assert answer is not None
        assert str(tmp_path).encode() not in answer[0]
        assert b"not-to-be-told" not in answer[0]


def test_verify_finds_what_is_changed_in_the_store(bucket: str) -> None:
    build(bucket)
    assert tokenmill("verify", bucket).returncode == 0
    found = pointer.look(at(bucket)).pointer
    assert found is not None
    file = pointer.index_of(at(bucket), found.index)["config.toml"]
    at(bucket).put(file.key, b"#" * file.bytes)
    done = tokenmill("verify", bucket)
    assert done.returncode == 1
    assert "(config.toml): holds other bytes than were published" in " ".join(done.stderr.split())


def test_a_corpus_that_is_not_as_expected_is_published_too(bucket: str) -> None:
    assert "documents" in build(bucket, "--set", 'expect.documents=">= 5"', code=1)
    assert "4 documents" in tokenmill("status", bucket).stdout


def test_what_is_forgotten_stays_so_on_every_machine(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(bucket)
    store = TokenStore.open(bucket, cache=tmp_path / "cache")
    gone = store.split("train").documents_table()["doc_id"][0].as_py().hex()
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "second"))
    done = tokenmill("forget", bucket, "--doc-id", gone)
    assert done.returncode == 0, done.stderr
    assert TokenStore.open(bucket, cache=tmp_path / "cache").split("train").has_forgotten
    payload = _key_of(bucket, "tokens/train/00000.bin")
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "third"))
    assert tokenmill("compact", bucket).returncode == 0
    # The tokens are in no object that is left.
    assert payload not in keys(bucket)
    later = TokenStore.open(bucket, cache=tmp_path / "cache").split("train")
    assert (later.documents, later.has_forgotten) == (3, False)
    # A build on a machine that knows nothing of it, and of a text more, leaves the document out.
    (tmp_path / "in" / "9.txt").write_text("One more text that comes later. " * 9)
    monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / "fourth"))
    build(bucket)
    rows = TokenStore.open(bucket, cache=tmp_path / "cache").split("train").documents_table()["doc_id"].to_pylist()
    assert (len(rows), gone in {row.hex() for row in rows}) == (4, False)


def _key_of(bucket: str, name: str) -> str:
    found = pointer.look(at(bucket)).pointer
    assert found is not None
    return pointer.index_of(at(bucket), found.index)[name].key


def test_who_is_late_is_told_and_may_publish_again(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenmill.flows import remote

    real = remote.PublishedAt.publish

    def beaten(self: remote.PublishedAt, *arguments: object, **named: object) -> None:
        monkeypatch.setattr(remote.PublishedAt, "publish", real)
        build(bucket, "--work", "faster", "--set", "tokenizer.vocabulary=259")
        real(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(remote.PublishedAt, "publish", beaten)
    done = build(bucket, "--work", "slower", code=1)
    assert "somebody else published version 1" in " ".join(done.split())
    assert "vocabulary 259" in tokenmill("status", bucket).stdout
    assert "published as version 2" in build(bucket, "--work", "slower")
    assert files.marker(tmp_path / "slower") is not None


def started(*arguments: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    command = [sys.executable, "-m", "tokenmill", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def a_build(bucket: str, work: str, *more: str) -> subprocess.Popen[str]:
    return started("build", "small.toml", "--out", bucket, "--work", work, "--no-prefect", "--workers", "1", *more)


@pytest.mark.soak
def test_of_eight_processes_as_many_publish_as_there_are_versions(bucket: str, tmp_path: Path) -> None:
    processes = [a_build(bucket, f"work{number}", "--set", f"pack.shard_tokens={1000 + number}") for number in range(8)]
    said = [process.communicate(timeout=280)[0] for process in processes]
    won = [number for number, process in enumerate(processes) if process.returncode == 0]
    now = pointer.look(at(bucket)).pointer
    assert now is not None
    # Who begins after another has published replaces that version; who began before says that it is late.
    assert len(won) == now.generation
    lost = [" ".join(said[number].split()) for number in range(8) if number not in won]
    assert all("somebody else published version" in one and "nothing was published" in one for one in lost), lost
    assert len(lost) >= 4
    assert tokenmill("verify", bucket).returncode == 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_a_publisher_and_a_reader_that_are_killed_leave_a_whole_version(
    bucket: str, s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chosen = random.Random(seed)
    build(bucket, "--work", "first")
    (tmp_path / "in" / "9.txt").write_text("One more text that comes later. " * 9)
    for killed in ("build", "read", "build", "read"):
        after = chosen.randrange(1, 30)
        dying: list[subprocess.Popen[str]] = []

        def fault(method: str, path: str, number: int, after: int = after, dying: list[subprocess.Popen[str]] = dying) -> None:
            if number == after:
                dying[0].kill()

        with faulty(monkeypatch, s3_port, fault):
            monkeypatch.setenv("TOKENMILL_CACHE", str(tmp_path / f"cache{seed}"))
            dying.append(a_build(bucket, "second") if killed == "build" else started("verify", bucket))
            dying[0].communicate(timeout=280)
        assert tokenmill("verify", bucket).returncode == 0
    assert build(bucket, "--work", "second")
    assert "5 documents" in tokenmill("status", bucket).stdout
    assert tokenmill("verify", bucket).returncode == 0


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["busy", "cut", "lost"])
def test_faults_on_the_whole_way_change_nothing(
    bucket: str, s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """From objects to a published corpus in two worker processes, and back."""
    for path in (tmp_path / "in").iterdir():
        at(f"{bucket}/in").put(path.name, path)
    more = ("--set", f"collect.paths={bucket}/in")
    with faulty(monkeypatch, s3_port, lambda method, path, number: fault if number % 5 == 1 else None):
        process = started("build", "small.toml", "--out", f"{bucket}/out", "--no-prefect", "--workers", "2", *more)
        assert "published as version 1" in process.communicate(timeout=280)[0]
        assert tokenmill("verify", f"{bucket}/out").returncode == 0
    assert tokenmill("build", "small.toml", "--out", "here", "--no-prefect", "--workers", "1").returncode == 0
    there = tm.open(f"{bucket}/out", cache=tmp_path / "fresh").root
    wanted, found = published(tmp_path / "here"), published(versions.reading(there).folder)
    # The settings name another place, and the manifest of the whole names the settings.
    assert {name for name in wanted if wanted[name] != found[name]} == {"config.toml", "manifest.json"}
