"""Read the file formats in which tokenizers are published; each becomes a `tokenizer.json`.

Purpose: read `tokenizer.json`; GPT-2's `vocab.json` with `merges.txt` beside it (or `encoder.json` with `vocab.bpe`); the ranks
of `tiktoken` (`*.tiktoken`); a folder that holds one of the first two; the folder of a corpus.
Guarantee: the same files give the same bytes, and these give the ids of the format's own tools. Files too large to be
tokenizers are not read. What is read is treated as data, and `tokenmill.tokenizer.formats` checks it.
Cost: ranks take 1 s for 50,000 tokens, because their merges have to be found; the other formats take one read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, versions
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt
from tokenmill.tokenizer.description import END_OF_TEXT, LARGEST_FILE_BYTES
from tokenmill.tokenizer.formats import byte_alphabet
from tokenmill.tokenizer.pretokenize import Pattern
from tokenmill.tokenizer.pretokenize import pattern as pattern_of

RANKS = ".tiktoken"
PAIRS = {"vocab.json": "merges.txt", "encoder.json": "vocab.bpe"}
FOLDER_NAMES = ("tokenizer.json", "tokenizer/tokenizer.json", *PAIRS)
MOST_RANK_WORK = 60_000_000
"""Limit on the sum of the squared lengths of all tokens in a ranks file: finding the merges takes at most that many steps.

GPT-2's ranks take 3 million.
"""
PUBLISHED: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "gpt2": ("gpt2", {END_OF_TEXT: 50256}),
    "r50k_base": ("gpt2", {END_OF_TEXT: 50256}),
    "p50k_base": ("gpt2", {END_OF_TEXT: 50256}),
    "cl100k_base": (
        "cl100k",
        {
            END_OF_TEXT: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": ("o200k", {END_OF_TEXT: 199999, "<|endofprompt|>": 200018}),
}
"""Pattern and special tokens of published ranks, by the name of the file. Source: tiktoken_ext/openai_public.py."""


def read(path: Path, pattern: str | None = None) -> bytes:
    """Read the tokenizer at `path` as the bytes of a `tokenizer.json`.

    `pattern`: how text is cut, a name or a regular expression, for a file that does not say it. Raises NotBuilt when there is
    no such file, ConfigError when the file cannot be used.
    """
    if path.is_dir():
        # Held until the file was read: a build that ends meanwhile would remove the version.
        now = versions.reading(path)
        path = now.folder
        found = next((path / name for name in FOLDER_NAMES if (path / name).is_file()), None)
        if found is None:
            raise NotBuilt(f"{path}: holds no tokenizer ({', '.join(FOLDER_NAMES)})")
        path = found
    if path.suffix == RANKS:
        return _from_ranks(path, pattern)
    for vocab, merges in PAIRS.items():
        beside = path.with_name(path.name.removesuffix(vocab) + merges)
        if path.name.endswith(vocab) and beside.is_file():
            return _from_pair(path, beside, pattern)
    return _bytes(path)


def assemble(
    vocab: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    cut: Pattern | None,
    special: Mapping[str, int],
    *,
    ignore_merges: bool = False,
) -> bytes:
    """Build a `tokenizer.json`.

    Without `cut`, each text is one pre-token. With `ignore_merges`, a pre-token that is itself a token stays whole.
    """
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    steps: list[dict[str, Any]] = [byte_level]
    if cut is not None:
        steps.insert(0, {"type": "Split", "pattern": {"Regex": cut.regex}, "behavior": "Isolated", "invert": False})
    plain = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, "content": token, **flags} for token, number in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": ignore_merges,
            "vocab": {**vocab, **special},
            "merges": [list(merge) for merge in merges],
        },
    }
    return json.dumps(plain).encode()


def _from_pair(vocab_path: Path, merges_path: Path, pattern: str | None) -> bytes:
    where = f"{vocab_path} and {merges_path.name}"
    try:
        vocab = json.loads(_bytes(vocab_path))
        lines = _bytes(merges_path).decode().splitlines()
        merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
        special = {END_OF_TEXT: vocab.pop(END_OF_TEXT, max(vocab.values()) + 1)}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{where}: are no GPT-2 vocabulary and merges ({str(error)[:200]})") from error
    return assemble(vocab, merges, pattern_of(pattern or "gpt2"), special)


def _pair(line: str) -> tuple[str, str]:
    first, space, second = line.partition(" ")
    if not (first and space and second):
        raise ValueError("a line of the merges is not two tokens")
    return first, second


def _from_ranks(path: Path, pattern: str | None) -> bytes:
    known_pattern, special = PUBLISHED.get(path.stem, (None, None))
    choice = pattern or known_pattern
    if choice is None:
        raise ConfigError(f"{path}: ranks do not say how text is cut; name the pattern ({', '.join(PUBLISHED)} are known)")
    try:
        pairs = [line.split() for line in _bytes(path).splitlines() if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except ValueError as error:
        raise ConfigError(
            f"{path}: is no file of ranks, lines of a token in Base64 and a number ({str(error)[:200]})"
        ) from error
    if len(ranks) < len(pairs) or len(set(ranks.values())) < len(ranks) or b"" in ranks or not ranks:
        raise ConfigError(f"{path}: a token or a rank appears twice, or the file or a token is empty")
    missing = sum(bytes([byte]) not in ranks for byte in range(256))
    if missing:
        raise ConfigError(f"{path}: {missing} of the 256 bytes are not in its vocabulary")
    work = sum(len(token) ** 2 for token in ranks)
    if work > MOST_RANK_WORK:
        raise ConfigError(f"{path}: its longest token has {max(map(len, ranks)):,} bytes; tokens this long are refused")
    spelled = {byte: character for character, byte in byte_alphabet().items()}
    names = {token: "".join(map(spelled.__getitem__, token)) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        parts = _parts(token, ranks)
        if len(parts) == 2:
            merges.append((names[parts[0]], names[parts[1]]))
    if special is None:
        special = {END_OF_TEXT: max(ranks.values()) + 1}
    vocab = {names[token]: rank for token, rank in ranks.items()}
    return assemble(vocab, merges, pattern_of(choice), special, ignore_merges=True)


def _parts(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """Split `token` into the two tokens from which merging makes it.

    A single byte has one part; a token that merging never makes has more than two. Merging by ranks joins the neighbours whose
    union has the lowest rank, the leftmost first; here it stops when two parts are left. There is no other way to make the
    token: inside any text, what lies between two borders that no merge crosses is merged as if it stood alone.
    """
    parts = [token[place : place + 1] for place in range(len(token))]
    while len(parts) > 2:
        unions = [ranks.get(parts[place] + parts[place + 1]) for place in range(len(parts) - 1)]
        best = min((rank for rank in unions if rank is not None), default=None)
        if best is None:
            return parts
        place = unions.index(best)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ConfigError(f"{path}: has {path.stat().st_size:,} bytes; a tokenizer has at most {LARGEST_FILE_BYTES:,}")
        return files.read_bytes(path)
    except OSError as error:
        raise NotBuilt(f"{path}: the tokenizer cannot be read ({error.strerror}); build it first") from error
