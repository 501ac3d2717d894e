"""The work of the command `tokenmill tokenizer decode`: ids back to text.

Guarantee: the exact bytes of each document, where the tokenizer has them. A written file appears whole or not at all.
Cost: one shard of a token store is held, or the ids of a `.npy` file.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.tokens import SPLITS, TokenStore
from tokenmill.pipeline.tokens.format import FOLDER
from tokenmill.tokenizer.encode import FastEncoder, load

Ids = npt.NDArray[np.integer]
STDIN = "-"
"""Names standard input in the place of a file."""


def decode(source: str, tokenizer: Path | None, pattern: str | None, out: Path | None, *, as_json: bool) -> None:
    """Decode ids and write their text. `source`: a file of lines of ids, "-", a `.npy` file, a token store or a corpus.

    Writes the exact bytes end to end (of WordPiece, the words of each document on a line); with `as_json`, one JSON line per
    document. Forgotten documents are left out.

    Raises InputError, NotBuilt, ConfigError.
    """
    path = Path(source)
    corpus = path.parent if path.name == FOLDER else path
    if tokenizer is None and not path.is_dir():
        raise ConfigError("ids do not say which tokenizer made them: name it with --tokenizer")
    encoder = load(tokenizer or corpus, pattern)
    found = _stored_ids(path, encoder) if path.is_dir() else _ids_in(source, encoder)
    with output(out) as handle:
        for ids in found:
            data = encoder.decode_bytes(ids.tolist())
            line = json.dumps({"text": data.decode(errors="replace")}, ensure_ascii=False).encode() + b"\n"
            words_only = encoder.description.unknown is not None
            handle.write(line if as_json else data + b"\n" if words_only else data)


def _stored_ids(path: Path, encoder: FastEncoder) -> Iterator[Ids]:
    store = TokenStore.open(path, tokenizer=encoder.fingerprint)
    for split in SPLITS:
        for shard in store.split(split).shards:
            kept = store.split(split).kept(shard.first_token, shard.first_token + shard.tokens)
            yield from _until_ends(shard.read(0, shard.tokens)[kept], encoder.end_of_text)


def _ids_in(source: str, encoder: FastEncoder) -> Iterator[Ids]:
    if source.endswith(".npy"):
        try:
            ids = np.load(source, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{source}: is not an array of ids ({error})") from error
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"{source}: is not a 1-D array of integers, but {ids.dtype} {ids.shape}")
        yield from _until_ends(ids, encoder.end_of_text)
        return
    with contextlib.ExitStack() as stack:
        try:
            lines = sys.stdin.buffer if source == STDIN else stack.enter_context(open(source, "rb"))
        except OSError as error:
            raise InputError(f"{source}: cannot be read ({error.strerror})") from error
        for number, line in enumerate(lines, 1):
            try:
                ids = np.array([int(one) for one in line.split()], dtype=np.int64)
            except (ValueError, OverflowError) as error:
                raise InputError(f"{source}: line {number} does not hold ids separated by spaces") from error
            yield from _until_ends(ids, encoder.end_of_text)


def _until_ends(ids: Ids, end_of_text: int) -> Iterator[Ids]:
    """Split ids at end-of-text, which is left out. Ids after the last end-of-text are a document too."""
    start = 0
    for end in np.flatnonzero(ids == end_of_text).tolist():
        yield ids[start:end]
        start = end + 1
    if start < len(ids):
        yield ids[start:]


@contextlib.contextmanager
def output(out: Path | None) -> Iterator[BinaryIO | files.OutputFile]:
    """The file `out`, or standard output if it is None."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with files.create(out) as handle:
            yield handle
