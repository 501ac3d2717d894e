"""A model that says which blocks of a page are main text: boosted trees, in a JSON file.

Guarantee: the file holds numbers and names alone, and what is read from it is checked before it is used. Equal
models have equal bytes.
Cost: 0.2 MB and 20 ms for 180 trees of 31 leaves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect.extract.trees import Trees
from tokenmill.pipeline.kernels.trees import score

FORMAT = "tokenmill-blocks"
VERSION = 1
"""Of the file."""
FEATURES_VERSION = 1
"""Of what features mean. It goes up when one of the same name means something else, so that older models are refused."""
UNITS = 1 << 16
"""A score counts this many units for each step of 1 of the log odds."""
MOST_BYTES = 1 << 20
SIZE = ("words", "cjk")
"""Features whose sum is about the number of tokens of a block."""


@dataclass(frozen=True, kw_only=True)
class BlockModel:
    """Trees, and the names of the features that they look at. offset: what is added to scores before blocks are chosen."""

    trees: Trees
    names: tuple[str, ...]
    offset: int
    note: str

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """The scores of blocks by their features, float32 [blocks, features], with `offset` added; int32 [blocks]."""
        return self.trees.scores(rows) + np.int32(self.offset)


def sizes(rows: npt.NDArray[np.float32], names: Sequence[str]) -> npt.NDArray[np.float64]:
    """About how many tokens each block has, by its features; float64 [blocks]."""
    words, characters = (rows[:, names.index(name)] for name in SIZE)
    made: npt.NDArray[np.float64] = np.maximum(words.astype(np.float64) + characters, 1)
    return made


def kept(scores: npt.NDArray[np.int32], of_tokens: npt.NDArray[np.float64], offset: int) -> npt.NDArray[np.bool_]:
    """Those blocks of a page, the best first, with which the expected F1 of its tokens is highest; bool [blocks].

    How many that are depends on the whole page: where no block is likely to be main text, less likely ones are kept too.
    """
    order = np.argsort(-scores.astype(np.int64), kind="stable")
    chosen = np.zeros(len(scores), dtype=bool)
    chosen[order[: score.best_cut(order, scores, of_tokens, offset, 1 / UNITS)]] = True
    return chosen


def save(model: BlockModel, path: Path) -> None:
    """Write a model."""
    trees = model.trees
    content = {
        "format": FORMAT,
        "version": VERSION,
        "note": model.note,
        "features_version": FEATURES_VERSION,
        "names": list(model.names),
        "offset": model.offset,
        "start": trees.start,
        "roots": trees.roots.tolist(),
        "features": trees.features.tolist(),
        "thresholds": [float(value) for value in trees.thresholds],
        "children": trees.children.tolist(),
        "leaves": trees.leaves.tolist(),
    }
    files.write_json(path, content)


def load(path: Path, names: Sequence[str]) -> BlockModel:
    """The model in a file. Raises InputError if it is none, or if its features are not `names` of this version."""
    try:
        data = path.read_bytes()
        content = json.loads(data) if len(data) <= MOST_BYTES else None
    except OSError as error:
        raise InputError(f"{path}: the model cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path} is no model of `tokenmill extract train` ({error})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is no model of `tokenmill extract train`")
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} has version {content.get('version')!r} of the format, this tokenmill reads {VERSION}: train it again"
        )
    try:
        model = _model(content)
        features_version = int(content["features_version"])
        _check(model)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: the model is damaged ({error!r}); train it again") from error
    if (model.names, features_version) != (tuple(names), FEATURES_VERSION):
        raise InputError(f"{path}: the model was trained for other features of blocks; train it again with this tokenmill")
    return model


def _model(content: dict[str, Any]) -> BlockModel:
    trees = Trees(
        start=int(content["start"]),
        roots=np.array(content["roots"], dtype=np.int32),
        features=np.array(content["features"], dtype=np.int32),
        thresholds=np.array(content["thresholds"], dtype=np.float32),
        children=np.array(content["children"], dtype=np.int32).reshape(-1, 2),
        leaves=np.array(content["leaves"], dtype=np.int32),
    )
    return BlockModel(
        trees=trees,
        names=tuple(map(str, content["names"])),
        offset=int(content["offset"]),
        note=str(content["note"]),
    )


def _check(model: BlockModel) -> None:
    """Raise ValueError if blocks could not be scored, or not be chosen by their scores."""
    model.trees.check(len(model.names))
    if not set(SIZE) <= set(model.names):
        raise ValueError("features that every model needs are missing")
