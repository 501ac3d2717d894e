"""Forgetting: masked at once, gone after compaction or the next build, and never back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tokenmill.pipeline.base import files, manifest, schema
from tokenmill.pipeline.base.errors import CorruptFile, InputError, NotBuilt, StaleInput
from tokenmill.pipeline.base.files import EXIT_BY_FAULT, Fault
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.stages.step import Done, Work
from tokenmill.pipeline.tokens import TokenStore, problems
from tokenmill.pipeline.tokens.compact import compact
from tokenmill.pipeline.tokens.forget import LIST, Request, forget, load, request_ids, spans
from tokenmill.pipeline.tokens.places import document_at, find
from tokenmill.pipeline.tokens.samples import samples

Pack = Callable[..., Done]
MakeCorpus = Callable[..., Work]

SETTINGS = {"shard_tokens": 1000, "validation_fraction": 0.2, "shuffle": True}


def texts(source: str) -> list[str]:
    """Each is told by its letter and length."""
    return [f"{source}{number}:" + chr(97 + number % 26) * (20 + 7 * number) for number in range(40)]


@pytest.fixture
def corpus(make_corpus: MakeCorpus, pack: Pack) -> Callable[..., Work]:
    def make(folder: str = "corpus") -> Work:
        work = make_corpus({"a/0": texts("a")[:20], "a/1": texts("a")[20:], "b/0": texts("b")}, folder=folder)
        pack(work, **SETTINGS)
        return work

    return make


def doc(source: str, identity: str) -> bytes:
    return schema.doc_id(source, identity)


def ask(*doc_ids: bytes) -> list[Request]:
    return [request_ids("doc_id", one.hex(), [one.hex()]) for one in doc_ids]


def tree(root: Path) -> dict[str, str]:
    paths = [path for path in sorted((root / "tokens").rglob("*")) if path.is_file() and path != root / LIST]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def documents(root: Path) -> list[tuple[bytes, bytes]]:
    """Ids and texts in the order of the store, read from the tokens (byte b is id b + 1)."""
    found = []
    for split in TokenStore.open(root / "tokens").splits:
        ids = split.read(0, split.tokens)
        pieces = np.split(ids, np.flatnonzero(ids == 0) + 1)[:-1]
        table = split.documents_table()
        assert len(pieces) == table.num_rows
        for doc_id, piece in zip(table["doc_id"].to_pylist(), pieces, strict=True):
            found.append((doc_id, bytes((piece[:-1] - 1).astype(np.uint8))))
    return found


GONE = [("a", "0:3"), ("a", "1:7"), ("a", "1:8"), ("b", "0:39")]


def test_no_token_of_a_forgotten_document_is_read(corpus: Callable[..., Work]) -> None:
    root = corpus().root
    store = TokenStore.open(root / "tokens")
    victims = [doc(*one) for one in GONE]
    letters = {text for doc_id, text in documents(root) if doc_id in victims}
    before = samples(store, length=16, seed=3)
    whole = before.read(0, before.windows)
    asked = forget(root, ask(*victims))
    assert [one.documents for one in asked] == [1, 1, 1, 1]
    after = samples(TokenStore.open(root / "tokens"), length=16, seed=3)
    batch = after.read(0, after.windows)
    assert after.windows == before.windows, "nothing is renumbered"
    assert np.array_equal(batch.ids[batch.kept], whole.ids[batch.kept])
    table = store.split("train").documents_table()
    tokens = dict(zip(table["doc_id"].to_pylist(), table["tokens"].to_pylist(), strict=True))
    masked = np.zeros(store.split("train").tokens, dtype=np.bool_)
    starts = after.starts(0, after.windows)
    for start, kept in zip(starts.tolist(), batch.kept, strict=True):
        held = masked[start : start + 16]
        held |= ~kept[1 : 1 + len(held)]
    assert masked.sum() == sum(tokens.get(one, 0) for one in victims) > 0
    read = b"".join(bytes((row[row > 0] - 1).astype(np.uint8)) for row in batch.ids)
    assert letters
    assert not any(text[:6] in read for text in letters)
    assert store.hash == TokenStore.open(root / "tokens").hash
    assert list(problems(root / "tokens")) == []


def test_what_is_asked_is_found(corpus: Callable[..., Work], tmp_path: Path) -> None:
    root = corpus().root
    absent = bytes(16)
    (one,) = forget(root, [Request(by="source", value="b")], dry_run=True)
    assert (one.documents, one.known, one.absent) == (40, 0, 0)
    assert load(root / "tokens") is None, "a dry run writes nothing"
    named = request_ids("ids_file", "ids.txt", [doc("a", "0:1").hex(), absent.hex()])
    (one,) = forget(root, [named])
    assert (one.documents, one.tokens, one.absent) == (1, len(texts("a")[1]) + 1, 1)
    known = load(root / "tokens")
    assert known is not None
    assert known.documents == tuple(sorted([absent, doc("a", "0:1")]))
    data = (root / LIST).read_bytes()
    (again,) = forget(root, [named])
    assert (again.documents, again.known) == (1, 1)
    assert (root / LIST).read_bytes() == data, "asking twice changes nothing"
    for request in (Request(by="source", value="c"), Request(by="url_prefix", value="https"), *ask(bytes(15) + b"x")):
        with pytest.raises(InputError, match=f"{request.by}=.* names no document of .*tokens; nothing was forgotten"):
            forget(root, [*ask(doc("a", "0:2")), request])
    assert (root / LIST).read_bytes() == data, "all or nothing"
    with pytest.raises(InputError, match="'xyz' \\(number 1\\) is no id of a document"):
        request_ids("doc_id", "xyz", ["xyz"])


def test_a_changed_cut_missing_or_foreign_list_is_refused(corpus: Callable[..., Work]) -> None:
    root = corpus().root
    forget(root, ask(doc("a", "0:3")))
    whole = (root / LIST).read_bytes()
    for at in range(0, len(whole), 7):
        for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            (root / LIST).write_bytes(changed)
            with pytest.raises(CorruptFile, match="forgotten.json"):
                TokenStore.open(root / "tokens")
            assert any("forgotten.json" in line for line in problems(root / "tokens"))
    (root / LIST).unlink()
    with pytest.raises(CorruptFile, match="is missing, but documents have been forgotten"):
        TokenStore.open(root / "tokens")
    other = corpus("other").root
    made = manifest.load(other, "pack")
    manifest.commit(other, dataclasses.replace(made, config={**made.config, "note": 1}))
    (other / LIST).write_bytes(whole)
    with pytest.raises(StaleInput, match="names tokens of the store"):
        TokenStore.open(other / "tokens")


def test_spans_that_are_not_those_of_the_documents_are_found(corpus: Callable[..., Work]) -> None:
    root = corpus().root
    forget(root, ask(doc("a", "0:3")))
    plain = json.loads((root / LIST).read_bytes())
    del plain["hash"]
    ((name, ((first, last),)),) = plain["spans"].items()
    plain["spans"] = {name: [[first, last - 1]]}
    digest = hashlib.sha256(files.canonical_json(plain)).hexdigest()
    files.write_json(root / LIST, {**plain, "hash": digest})
    assert list(problems(root / "tokens")) == [
        f"{root / LIST}: the spans of {name} are not those of the documents that it names"
    ]


def test_compacted_is_as_packed_without(corpus: Callable[..., Work], pack: Pack, make_corpus: MakeCorpus) -> None:
    work = corpus()
    root, before = work.root, documents(work.root)
    files_before = tree(root)
    victims = {doc(*one) for one in GONE}
    touched = {find(TokenStore.open(root / "tokens"), one.hex()).token_shard for one in victims}
    forget(root, ask(*victims))
    done = compact(root, downstream=(), progress=Silent())
    assert (done.shards, done.documents) == (len(touched), 4)
    assert list(problems(root / "tokens")) == []
    assert documents(root) == [one for one in before if one[0] not in victims]
    after = tree(root)
    changed = {name for name in files_before if files_before[name] != after.get(name)} - {"tokens/manifest.json"}
    assert {name.removeprefix("tokens/").partition(".")[0] for name in changed} == touched
    counts = manifest.load(root, "pack").counts
    assert (counts.read, counts.kept, counts.dropped) == (80, 76, {"forgotten": 4})
    assert spans(root / "tokens", manifest.load(root, "pack")) == {}
    assert compact(root, downstream=(), progress=Silent()).shards == 0

    rebuilt = corpus("rebuilt")
    forget(rebuilt.root, ask(*victims))
    pack(rebuilt, **SETTINGS)
    assert tree(rebuilt.root) == after, "the next build gives the same bytes as compaction"
    pack(work, **SETTINGS)
    assert tree(root) == after, "and has nothing to do after it"

    kept = {
        "a/0": [text for row, text in enumerate(texts("a")[:20]) if row != 3],
        "a/1": [text for row, text in enumerate(texts("a")[20:]) if row not in (7, 8)],
        "b/0": texts("b")[:39],
    }
    never = make_corpus(kept, folder="never")
    pack(never, **SETTINGS)
    assert sorted(text for _, text in documents(never.root)) == sorted(text for _, text in documents(root))


def test_forgotten_documents_never_come_back(corpus: Callable[..., Work], pack: Pack) -> None:
    work = corpus()
    root = work.root
    forget(root, [Request(by="source", value="a")])
    compact(root, downstream=(), progress=Silent())
    assert {one.source for one in TokenStore.open(root / "tokens").split("train").sources} == {"b"}
    assert not any(name.startswith("tokens/train/00000") for name in tree(root)), "a shard without documents is gone"
    for settings in ({"validation_fraction": 0.5}, {"shard_tokens": 2000}, {"shuffle": False}):
        pack(work, **{**SETTINGS, **settings})
        assert not [one for one, text in documents(root) if text.startswith(b"a")], settings
        assert list(problems(root / "tokens")) == []
    forget(root, ask(doc("b", "0:0")))
    assert [one.value for one in forget(root, [Request(by="source", value="a")])] == ["a"], "asked before, so not refused"
    pack(work, **SETTINGS)
    assert len(documents(root)) == 39
    (root / LIST).unlink()
    with pytest.raises(CorruptFile, match="is missing"):
        pack(work, **SETTINGS)


def test_trace_is_right_after_compaction(corpus: Callable[..., Work]) -> None:
    root = corpus().root
    forget(root, ask(*(doc(*one) for one in GONE)))
    compact(root, downstream=(), progress=Silent())
    store = TokenStore.open(root / "tokens")
    for doc_id, text in documents(root):
        found = find(store, doc_id.hex())
        for token in (found.first_token, found.first_token + found.tokens - 1):
            assert document_at(store, found.token_shard, token) == found
        assert found.text_bytes == len(text)
    with pytest.raises(InputError, match="holds no document .*: it was forgotten and taken out"):
        find(store, doc(*GONE[0]).hex())
    with pytest.raises(InputError, match=f"holds no document {'0' * 32}$"):
        find(store, "0" * 32)


def test_a_list_that_is_cut_short_is_in_force_or_was_never_asked_for(corpus: Callable[..., Work], tmp_path: Path) -> None:
    """The mark says that there is a list, so it comes after the list: else a crash between the two closes the store."""
    work, asked = corpus(), ask(doc("a", "0:3"))
    undisturbed = shutil.copytree(work.root, tmp_path / "undisturbed")
    files.inject(None)
    forget(undisturbed, asked)
    operations = files.operations()
    wanted = (undisturbed / LIST).read_bytes()
    listed = []
    try:
        for at in range(operations):
            root = shutil.copytree(work.root, tmp_path / f"at{at}")
            files.inject(Fault(at=at, kind="eio"))
            with pytest.raises(OSError, match="Input/output error"):
                forget(root, asked)
            files.inject(None)
            TokenStore.open(root / "tokens")
            listed.append((root / LIST).exists())
            forget(root, asked)
            assert (root / LIST).read_bytes() == wanted
    finally:
        files.inject(None)
    assert set(listed) == {False, True}, "some faults were before the list was there, some after"


def test_the_list_and_its_mark_outlive_a_loss_of_power(corpus: Callable[..., Work], monkeypatch: pytest.MonkeyPatch) -> None:
    root, fsync, synced = corpus().root, os.fsync, set()

    def record(handle: int) -> None:
        fsync(handle)
        synced.update(path for path in (root / LIST, root / ".state/forgotten.json") if path.exists())

    monkeypatch.setattr(os, "fsync", record)
    forget(root, ask(doc("a", "0:3")))
    assert synced == {root / LIST, root / ".state/forgotten.json"}, "no fsync came after one of them"


def _compact_until(root: Path, at: int) -> int:
    """Compact in a child that ends at file operation `at`. Returns its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            files.inject(Fault(at=at, kind="exit"))
            compact(root, downstream=("corpus",), progress=Silent())
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.soak)])
def test_a_compaction_that_is_cut_short_is_finished(make_corpus: MakeCorpus, pack: Pack, tmp_path: Path, step: int) -> None:
    """One shard goes, one is written anew, one stays."""
    work = make_corpus({"a/0": texts("a")[:9], "b/0": texts("b")[:5], "c/0": texts("c")[:5]})
    pack(work)
    forget(work.root, [Request(by="source", value="b"), *ask(doc("a", "0:3"))])
    undisturbed = shutil.copytree(work.root, tmp_path / "undisturbed")
    compact(undisturbed, downstream=(), progress=Silent())
    wanted = tree(undisturbed)
    at, code = 0, EXIT_BY_FAULT
    while code == EXIT_BY_FAULT:
        root = shutil.copytree(work.root, tmp_path / f"at{at}")
        code = _compact_until(root, at)
        assert code in (0, EXIT_BY_FAULT)
        files.sweep(root)
        compact(root, downstream=("corpus",), progress=Silent())
        assert tree(root) == wanted, f"another store after an end at operation {at}"
        assert not (root / ".state/compact").exists(), "no work files are left"
        at += step
    assert at > 3 * step


def test_only_a_compaction_of_this_store_is_finished(corpus: Callable[..., Work]) -> None:
    root = corpus().root
    with pytest.raises(InputError, match="nothing was forgotten"):
        compact(root, downstream=(), progress=Silent())
    forget(root, ask(doc("a", "0:3")))
    manifest.withdraw(root, ["pack"])
    with pytest.raises(NotBuilt, match="no interrupted compaction to finish"):
        compact(root, downstream=(), progress=Silent())


def test_changed_bytes_are_not_compacted(corpus: Callable[..., Work]) -> None:
    """In a shard that is rewritten and in one that stays: nothing is replaced."""
    root = corpus().root
    forget(root, ask(doc("a", "0:3")))
    touched = find(TokenStore.open(root / "tokens"), doc("a", "0:3").hex())
    for name in (touched.token_shard, "train/00003"):
        path = root / "tokens" / f"{name}.bin"
        whole = path.read_bytes()
        at = 0 if touched.first_token else len(whole) - 2
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        before = tree(root)
        with pytest.raises(CorruptFile, match=name):
            compact(root, downstream=(), progress=Silent())
        assert tree(root) == before
        assert not (root / ".state/compact").exists()
        path.write_bytes(whole)
