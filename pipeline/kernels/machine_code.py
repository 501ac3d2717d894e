"""Compiles kernels, and keeps their machine code from process to process.

Purpose: `njit` in place of Numba's own, whose cache is a pickle that is read without a check: a file that a power loss cut
ended every command with EOFError until somebody removed it, and two processes could store two signatures under one name.
Guarantee: machine code is loaded only from a file that holds what was written (it ends with its SHA-256), under the name of one
function, signature, processor and version. Any other file counts as missing: the kernel is compiled again and the file
replaced. A folder that cannot be written, or a full disk, costs time and ends nothing.
Security: what is loaded runs. So it is loaded only from files that none but this user, root and the owner of this program's own
files could write: they are not writable by a group or by all, and they are opened without following a link.
Cost: SHA-256 of the code that is loaded (2 GB/s; all kernels have 20 MB); compiling once per environment, up to a minute.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.np import linalg

Kernel = TypeVar("Kernel", bound=Callable[..., object])

SEAL_BYTES = 32


def _without_blas() -> None:
    """Keep Numba from loading scipy's linear algebra, which it does wherever scipy is installed; no kernel multiplies matrices.

    That costs each process 0.17 s and 16 MiB, and its OpenBLAS waits for ever where it gets no memory (scipy 1.17).
    """

    def absent() -> None:
        raise ImportError("kernels use no linear algebra")

    found = linalg.ensure_blas
    linalg.ensure_blas = absent
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = found


_without_blas()


def njit(
    *, nogil: bool, cache: bool, inline: str = "never", _nrt: bool = True, forceinline: bool = False
) -> Callable[[Kernel], Kernel]:
    """Compile a function at its first call, as `numba.njit` does. `cache`: keep its machine code."""

    def compiled(function: Kernel) -> Kernel:
        compiler: Any = numba.njit
        made = compiler(nogil=nogil, inline=inline, _nrt=_nrt, forceinline=forceinline)(function)
        # With NUMBA_DISABLE_JIT the function itself comes back.
        if cache and made is not function:
            made._cache = _Kept(function)
        return made  # type: ignore[no-any-return]

    return compiled


def folders() -> tuple[Path, ...]:
    """Where machine code is looked for, and kept in the first folder that can be written: in the environment, or at home.

    They are named by a hash of all kernel sources and of the versions of Python and Numba. Numba checks one source file at a
    time: after an edit in one module it kept calling the old code from another (measured).
    """
    digest = hashlib.sha256(f"{sys.version} {numba.__version__}".encode())
    here = Path(__file__).parent
    for source in sorted(here.rglob("*.py")):
        digest.update(source.relative_to(here).as_posix().encode() + source.read_bytes())
    parents = [Path(sys.prefix, "var", "cache", "tokenmill")]
    with contextlib.suppress(RuntimeError):  # nobody's home
        parents.append(Path.home() / ".cache" / "tokenmill" / "kernels")
    return tuple(parent / digest.hexdigest()[:16] for parent in parents)


FOLDERS = folders()


class _Kept:
    """The machine code of one function, by signature: what Numba's `Dispatcher` calls its cache."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._code = function.__code__
        self._files = _Files(function)
        self.cache_path = str(FOLDERS[0])

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function for a signature; None if it has to be compiled."""
        target.refresh()
        reduced = self._files.load(self._key(signature, target.codegen()))
        return None if reduced is None else CompileResult._rebuild(target, *reduced)  # type: ignore[no-untyped-call]

    def save_overload(self, signature: Any, made: Any) -> None:
        """Keep a compiled function, unless its code holds addresses of this process."""
        if not made.lifted and not made.library.has_dynamic_globals:
            self._files.save(self._key(signature, made.library.codegen), made._reduce())

    def flush(self) -> None:
        """Nothing is held back."""

    def _key(self, signature: Any, generator: Any) -> Any:
        return signature, generator.magic_tuple(), self._code.co_code


class _Files:
    """The files of one function: one for each signature and processor."""

    def __init__(self, function: Callable[..., object]) -> None:
        # Kernels of a test stand outside the folder whose sources name `FOLDERS`, so their own file counts too.
        source = Path(function.__code__.co_filename)
        stands = source.stat().st_mtime_ns if Path(__file__).parent not in source.parents else 0
        self._stem = f"{source.stem}.{function.__name__}"
        self._identity = (function.__module__, function.__qualname__, function.__code__.co_firstlineno, stands)

    def load(self, key: Any) -> Any:
        """What was saved under `key`; None if there is nothing, or nothing that can be trusted."""
        data = find(self._name(key))
        return None if data is None else pickle.loads(data)  # noqa: S301 -- code, as a .pyc file is; see Security above

    def save(self, key: Any, value: Any) -> None:
        """Keep `value` under `key`."""
        keep(self._name(key), dumps(value))  # type: ignore[no-untyped-call]

    def _name(self, key: Any) -> str:
        return f"{self._stem}.{hashlib.sha256(repr((self._identity, key)).encode()).hexdigest()[:32]}.nbc"


def find(name: str) -> bytes | None:
    """What was kept under the name of a file; None if there is nothing, or nothing that can be trusted."""
    return next((data for folder in FOLDERS if (data := _sealed(folder / name)) is not None), None)


def keep(name: str, data: bytes) -> None:
    """Keep `data` under the name of a file, in the first folder that can be written, if one can."""
    for folder in FOLDERS:
        try:
            _write(folder / name, data + hashlib.sha256(data).digest())
        except OSError:
            continue
        return


def _sealed(path: Path) -> bytes | None:
    """The bytes of a file without its seal; None if they are not what was written, or if another user could write it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            if not _is_trusted(os.fstat(handle)):
                return None
            data = file.read()
    except OSError:
        return None
    content = memoryview(data)[:-SEAL_BYTES]
    return bytes(content) if hashlib.sha256(content).digest() == data[-SEAL_BYTES:] else None


def _is_trusted(found: os.stat_result) -> bool:
    """Whether only those can write a file who could change this program too."""
    owners = (os.geteuid(), 0, os.stat(__file__).st_uid)
    return stat.S_ISREG(found.st_mode) and found.st_uid in owners and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. It need not survive a power loss: its seal tells whether it did. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with _closing(handle):
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
        os.replace(temporary, path)
    except BaseException:
        # Also on Ctrl-C: whatever ends the way, no part of a file stays.
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _closing(handle: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(handle)
