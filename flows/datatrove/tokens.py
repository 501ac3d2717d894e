"""Tokens in datatrove's pipelines: counted, or written as datatrove writes them.

Purpose: `TokenWriter` is datatrove's `DocumentTokenizer` with our encoder in the place of the library `tokenizers`. It writes
datatrove's files (`.ds`, `.ds.index`, `.ds.metadata`), since what follows in a pipeline of datatrove's reads these: its merger,
its shuffler, nanotron. Our token store is what a build makes.
Guarantee: the files are those of `DocumentTokenizer` with the same tokenizer, seed and end of text, but where a text holds the
name of a special token: datatrove encodes it as that token, this as text. A document always ends with the tokenizer's end of
text.
Cost: encoding at 65 to 160 MB/s per thread, where `tokenizers` reaches 3 MB/s; the shuffle is datatrove's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from datatrove.data import Document, DocumentsPipeline
from datatrove.io import DataFolderLike
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.tokens.tokenizer import DocumentTokenizer, TokenizedFile
from datatrove.utils.batching import batched

from tokenmill.flows.datatrove.columns import texts_of
from tokenmill.pipeline.base.errors import InputError
from tokenmill.tokenizer.encode import FastEncoder, load

SMALL_IDS = 1 << 16
"""Up to so many tokens in the vocabulary, datatrove writes an id in two bytes, beyond in four."""


class TokenCounter(PipelineStep):
    """Write the number of tokens of each document to `token_count` in its metadata, as datatrove's `TokensCounter` does.

    Parameters
    ----------
    tokenizer
        The path of a tokenizer.json, or of another file that `tokenmill.tokenizer.load` reads.
    count_end_of_text
        Count one more for the end of text.
    batch_size
        Documents that are encoded at once.

    Raises
    ------
    ConfigError
        The file is no tokenizer that can be used.
    NotBuilt
        There is no such file.
    """

    type = "🔢 - TOKENIZER"
    name = "tokenmill: count tokens"

    def __init__(self, tokenizer: str | Path, count_end_of_text: bool = False, batch_size: int = 1_000) -> None:
        super().__init__()
        self.encoder = load(Path(tokenizer))
        self.count_end_of_text = count_end_of_text
        self.batch_size = batch_size

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """All documents, with their counts."""
        for batch in batched(data, self.batch_size):
            with self.track_time("batch"):
                _, counts = _encoded(self.encoder, batch)
            for document, count in zip(batch, counts.tolist(), strict=True):
                document.metadata["token_count"] = count + self.count_end_of_text
                self.stat_update("tokens", value=document.metadata["token_count"])
                yield document


class TokenWriter(DocumentTokenizer):
    """Encode documents, shuffle them within each task, and write datatrove's files of tokens.

    Parameters
    ----------
    output_folder
        Where the files go: a path, an address, or a folder of datatrove's.
    tokenizer
        The path of a tokenizer.json, or of another file that `tokenmill.tokenizer.load` reads.
    local_working_dir, save_filename, save_index, save_final_metadata, max_tokens_per_file, seed, upload_block_size
        As in `DocumentTokenizer`.
    shuffle_documents, shuffle_chunk_size
        As in `DocumentTokenizer`.
    batch_size
        Documents that are encoded at once.

    Raises
    ------
    ConfigError
        The file is no tokenizer that can be used.
    NotBuilt
        There is no such file.
    """

    name = "tokenmill: write tokens"

    def __init__(
        self,
        output_folder: DataFolderLike,
        tokenizer: str | Path,
        local_working_dir: DataFolderLike | None = None,
        save_filename: str | None = None,
        save_index: bool = True,
        save_final_metadata: bool = True,
        batch_size: int = 1_000,
        max_tokens_per_file: int | None = None,
        seed: int | None = None,
        upload_block_size: int | None = None,
        shuffle_documents: bool = True,
        shuffle_chunk_size: int | None = None,
    ) -> None:
        super().__init__(
            output_folder,
            str(tokenizer),
            local_working_dir=local_working_dir,
            save_filename=save_filename,
            save_index=save_index,
            save_final_metadata=save_final_metadata,
            batch_size=batch_size,
            max_tokens_per_file=max_tokens_per_file,
            seed=seed,
            upload_block_size=upload_block_size,
            shuffle_documents=shuffle_documents,
            shuffle_chunk_size=shuffle_chunk_size,
        )
        self.encoder = load(Path(tokenizer))

    @property
    def token_size(self) -> int:
        """Bytes of an id: 2 or 4."""
        return 4 if self.encoder.vocabulary > SMALL_IDS else 2

    def write_unshuffled(self, data: DocumentsPipeline, filename: str) -> TokenizedFile:
        """Encode all documents into one file, in their order. `run` shuffles it."""
        shuffles = bool(self.shuffle_documents or self.shuffle_chunk_size)
        made = TokenizedFile(
            self.local_working_dir if shuffles and self.local_working_dir else self.output_folder,
            filename,
            save_index=self.save_index or shuffles,
            upload_block_size=self.upload_block_size,
            tokenizer_name_or_path=self.tokenizer_name_or_path,
            save_final_metadata=self.save_final_metadata,
            token_size=self.token_size,
        )
        for batch in batched(data, self.batch_size):
            with self.track_time("batch"):
                ids, counts = _encoded(self.encoder, batch)
                ended = np.insert(ids, np.cumsum(counts), self.encoder.end_of_text).astype(f"<u{self.token_size}")
                made.write_bytes(ended.tobytes(), doc_ends=np.cumsum(counts + 1).tolist())
            for count in (counts + 1).tolist():
                self.stat_update("tokens", value=count)
        made.close()
        return made


def _encoded(encoder: FastEncoder, batch: Sequence[Document]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The ids of a batch end to end, and the number of ids of each document. Raises InputError."""
    texts, unpaired = texts_of(batch)
    if any(unpaired):
        which = batch[unpaired.index(True)].id
        raise InputError(f"the document {which!r} holds half of a surrogate pair; a filter of tokenmill's before drops it")
    return encoder.encode(texts)
