"""The interface that packing needs from a tokenizer.

Purpose: the caller passes an `Encoder` to packing, so no stage depends on how a tokenizer is made.
Guarantee: an encoder is sent to workers as a path and a hash. Cost: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base.manifest import Manifest


class Encoder(Protocol):
    """A tokenizer as packing uses it. Picklable: it holds a path and a hash, never a loaded model."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the tokenizer's file."""
        ...

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        ...

    @property
    def end_of_text(self) -> int:
        """The id that ends a document. Encoding a text never gives it."""
        ...

    @property
    def exact(self) -> bool:
        """Whether ids decode to the exact bytes of the text that they were made of."""
        ...

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that ids stand for. Raises InputError at an id that the tokenizer does not have."""
        ...

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """Encode all texts. Returns their ids end to end, and the number of ids per text, int64 [texts]."""
        ...

    def spans(self, text: str) -> npt.NDArray[np.int64]:
        """The bytes of `text` that each of its ids stands for: [begin, end), int64 [ids, 2]."""
        ...


EncoderOf = Callable[[Path, Manifest], Encoder]
"""Opens the tokenizer of the corpus in a folder, whose tokenizer's manifest is given. Raises CorruptFile, ConfigError."""
