"""The undisturbed build that every test of faults compares with."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest

from tests.faults.builds import Undisturbed, names, published, serve, write_input


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    source, root = folder / "input", folder / "corpus"
    write_input(source)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(source, folder / "warm", there))
    server.start()
    there.close()
    here.send((root, None, 1))
    here.recv()
    code, operations = here.recv()
    assert code == 0
    yield Undisturbed(source=source, wanted=published(root), names=names(root), operations=operations, server=here)
    here.close()
    server.join()
