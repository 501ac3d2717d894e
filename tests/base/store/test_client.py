"""What the client promises of a store, also where answers are refused, cut or lost."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.stores import at, faulty, keys
from tokenmill.pipeline.base.errors import ConfigError, InputError, StaleInput
from tokenmill.pipeline.base.store import StoredObject, client

SMALL = 2**16
"""Bytes of a range in these tests."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RANGE_BYTES", SMALL)
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0.001)


def fetched(address: str, key: str) -> bytes:
    store, out = at(address), io.BytesIO()
    found = store.look(key)
    assert found is not None
    store.fetch(found, out)
    return out.getvalue()


def test_objects_come_back_as_they_were_put(bucket: str, tmp_path: Path) -> None:
    data = {"empty": b"", "a b#?/ü.txt": b"small", "large": os.urandom(5 * SMALL + 7), "exact": os.urandom(2 * SMALL)}
    for key, value in data.items():
        (tmp_path / "file").write_bytes(value)
        at(f"{bucket}/x").put(key, tmp_path / "file")
    assert keys(f"{bucket}/x") == set(data)
    assert {key: fetched(f"{bucket}/x", key) for key in data} == data
    at(f"{bucket}/x").remove([*data, "never there"])
    assert keys(bucket) == set()
    assert at(bucket).look("large") is None
    assert at(bucket).read("large", most_bytes=1) is None


def test_a_swap_needs_what_was_there_before(bucket: str) -> None:
    store = at(bucket)
    assert store.swap("p", b"1", before=None)
    first = store.look("p")
    assert not store.swap("p", b"2", before=None)
    assert store.swap("p", b"3", before=first)
    assert not store.swap("p", b"4", before=first)
    found = store.read("p", most_bytes=10)
    assert found is not None
    assert found[0] == b"3"
    store.remove(["p"])
    assert not store.swap("p", b"5", before=found[1])


def test_an_object_that_is_replaced_while_it_is_read_is_an_error(bucket: str) -> None:
    store = at(bucket)
    store.put("x", b"a" * 3 * SMALL)
    old = store.look("x")
    assert old is not None
    store.put("x", b"b" * 3 * SMALL)
    with pytest.raises(StaleInput, match="replaced or removed"):
        store.fetch(old, io.BytesIO())
    store.remove(["x"])
    with pytest.raises(StaleInput, match="replaced or removed"):
        store.fetch(old, io.BytesIO())


def test_a_shorter_object_than_the_caller_knows_is_an_error(bucket: str) -> None:
    at(bucket).put("x", b"abc")
    with pytest.raises(StaleInput, match="replaced or removed"):
        at(bucket).fetch(StoredObject(key="x", bytes=5, etag=None, version=None, changed_ns=0), io.BytesIO())


@pytest.mark.parametrize("fault", ["cut", *(pytest.param(fault, marks=pytest.mark.soak) for fault in ("busy", "lost"))])
def test_faults_that_pass_change_nothing(
    bucket: str, s3_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    """Every fourth request fails, and what was lost has been done."""
    data = os.urandom(4 * SMALL + 1)
    (tmp_path / "file").write_bytes(data)
    with faulty(monkeypatch, s3_port, lambda method, path, number: fault if number % 4 == 0 else None):
        store = at(bucket)
        store.put("x", tmp_path / "file")
        assert fetched(bucket, "x") == data
        assert store.swap("p", b"mine", before=None)
        before = store.look("p")
        assert not store.swap("p", b"other", before=None)
        assert store.swap("p", b"next", before=before)
        assert keys(bucket) == {"x", "p"}
        store.remove(["x"])
        assert keys(bucket) == {"p"}


def test_the_loser_of_a_lost_answer_is_the_loser(bucket: str, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to our own success is lost: it is told from somebody else's success by what is there."""
    with faulty(monkeypatch, s3_port, lambda method, path, number: "lost" if number == 0 else None):
        assert at(bucket).swap("p", b"mine", before=None)
    at(bucket).put("q", b"theirs")
    with faulty(monkeypatch, s3_port, lambda method, path, number: "lost" if number == 0 else None):
        assert not at(bucket).swap("q", b"mine", before=None)


def test_errors_say_what_to_do_and_no_secret(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
        at("s3://nowhere/x").read("y", most_bytes=1)
    with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
        at("s3://nowhere/x").put("y", b"")
    with pytest.raises(InputError, match="there is no bucket 'nowhere'"):
        list(at("s3://nowhere").listed())
    client._opened.cache_clear()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(InputError, match="there are no credentials for it; set AWS_ACCESS_KEY_ID"):
        client.open_store(at(bucket).address, patient=False).read("y", most_bytes=1)


def test_what_the_store_says_of_keys_is_not_told(bucket: str, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        faulty(monkeypatch, s3_port, lambda method, path, number: "refused"),
        pytest.raises(InputError, match="access is refused") as caught,
    ):
        at(bucket).read("y", most_bytes=1)
    assert "AKIA" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    client._opened.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "obstore.store", None)
    with pytest.raises(ConfigError, match=r"pip install 'tokenmill\[s3\]'"):
        at("s3://bucket/x")
