"""Which readers of datatrove's a source may name, and with which arguments.

Purpose: a reader is chosen by the name of its class, and gets values as TOML has them: no import of other names, no code.
Guarantee: datatrove is not imported here. A reader or an argument that is refused is refused with what to write instead.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tokenmill.pipeline.base import spelling

Reader = Literal["JsonlReader", "CSVReader", "ParquetReader", "IpcReader"]
REFUSED_READERS = {
    "WarcReader": 'kind = "files" reads web archives, in confined parsers, and takes the main text out of pages',
    "HuggingFaceDatasetReader": 'kind = "dataset" reads data sets on a hub, without running or opening what their data name',
}
EVERY: Mapping[str, type] = {"text_key": str, "id_key": str, "default_metadata": dict}
ARGUMENTS: Mapping[Reader, Mapping[str, type]] = {
    "JsonlReader": {**EVERY, "compression": str},
    "CSVReader": {**EVERY, "compression": str},
    "ParquetReader": {**EVERY, "batch_size": int, "read_metadata": bool},
    "IpcReader": {**EVERY, "stream": bool},
}
"""The arguments that may be given, with their types."""
PATHS = "the source names its files in `paths`"
REFUSED_ARGUMENTS = {
    "data_folder": PATHS,
    "paths_file": PATHS,
    "recursive": PATHS,
    "glob_pattern": PATHS,
    "adapter": "settings hold no code; text_key and id_key name the columns",
    "limit": "collect.max_documents limits all sources",
    "skip": "every record is read",
    "shuffle_files": "documents keep their order, and packing shuffles them",
    "file_progress": "the build shows its progress",
    "doc_progress": "the build shows its progress",
    "add_file_path": "the metadata of each document name its file",
}
INFER = "infer"
COMPRESSIONS = (INFER, "gzip", "zstd", "bz2", "xz")
"""How files are packed. "infer": as their endings say."""
MOST_BATCH = 100_000
"""Rows of the largest `batch_size`."""


def reader(name: Any) -> Any:
    """The name, unless it is of a reader that is refused for a reason of its own. Raises ValueError."""
    if isinstance(name, str) and name.rpartition(".")[2] in REFUSED_READERS:
        raise ValueError(f"the reader {name} is not used here: {REFUSED_READERS[name.rpartition('.')[2]]}")
    return "CSVReader" if name == "CsvReader" else name


def check(name: Reader, arguments: Mapping[str, Any]) -> None:
    """Raises ValueError for an argument that the reader lacks, that is refused here, or that holds something else."""
    known = ARGUMENTS[name]
    for key, value in arguments.items():
        if key in REFUSED_ARGUMENTS:
            raise ValueError(f"the argument {key} of {name} is not read: {REFUSED_ARGUMENTS[key]}")
        if key not in known:
            raise ValueError(f"{name} has no argument {key!r}; {spelling.hint(key, list(known))}")
        if type(value) is not known[key]:
            raise ValueError(f"the argument {key} of {name} is a {known[key].__name__}, not {value!r}")
    if not 1 <= arguments.get("batch_size", 1) <= MOST_BATCH:
        raise ValueError(f"the argument batch_size of {name} is from 1 to {MOST_BATCH:,} rows, not {arguments['batch_size']}")
    if arguments.get("compression", INFER) not in COMPRESSIONS:
        raise ValueError(
            f"the argument compression of {name} is one of {', '.join(COMPRESSIONS)}, not {arguments['compression']!r}"
        )
    if not _is_plain(arguments.get("default_metadata", {})):
        raise ValueError(f"the argument default_metadata of {name} holds strings, numbers, true and false, lists and tables")


def _is_plain(value: Any) -> bool:
    """Whether JSON can hold it."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool | int | float)
