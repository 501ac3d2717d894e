"""Which labels are doubted: the text is in another script than the language, or the second opinion does not confirm the label.

Purpose: a model gives every text one of its own languages. 83 % of long texts in languages that py3langid does not have score
0.5 or more; Dhivehi becomes Korean.
Guarantee: a pure function of stored scores and of settings that only decide, so other settings answer without the texts. A
label below its threshold is not doubted: it is unsure, and has a reason of its own.
Cost: under 1 us for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.stages.language.codes import Groups, can_be_written, group_of, same

UNDETERMINED = "und"
NO_LANGUAGE = "zxx"
"""ISO 639-2: no linguistic content. py3langid gives it to code and markup."""
SILENT = (UNDETERMINED, NO_LANGUAGE)
"""Labels that name no language."""
SCRIPT, SECOND = "script", "second_language"
"""Doubts, by the column that raises them; as reasons, they drop documents."""

Mask = npt.NDArray[np.bool_]


def groups(deciding: Mapping[str, Any]) -> Groups:
    """The groups of close languages in the settings of a decision."""
    return tuple(tuple(group) for group in deciding.get("close", ()))


def unsure(scores: pa.Table | pa.RecordBatch, deciding: Mapping[str, Any]) -> Mask:
    """Rows whose score is below the threshold of their label. bool [rows]"""
    own, others = deciding.get("thresholds", {}), deciding["threshold"]
    threshold = np.array([own.get(label, others) for label in _list(scores, "language")], dtype=np.float64)
    return np.asarray(_numbers(scores, "language_score") < threshold, dtype=np.bool_)


def misspelt(scores: pa.Table | pa.RecordBatch, deciding: Mapping[str, Any]) -> Mask:
    """Rows in a script in which their language is not written. bool [rows]"""
    if not deciding.get("check_script"):
        return np.zeros(scores.num_rows, dtype=np.bool_)
    pairs = zip(_list(scores, "language"), _list(scores, "script"), strict=True)
    found = [label is not None and label != UNDETERMINED and not can_be_written(label, script) for label, script in pairs]
    return np.array(found, dtype=np.bool_)


def unconfirmed(scores: pa.Table | pa.RecordBatch, deciding: Mapping[str, Any]) -> Mask:
    """Rows whose label the second opinion does not give too. bool [rows]

    Where the model says how typical of its language a text is (`language_fit`), a second opinion that names no language does
    not confirm either. Where it does not say so, only another language counts.
    """
    close, least = groups(deciding), deciding.get("second_threshold", 0.0)
    columns = (_list(scores, name) for name in ("language", SECOND, "second_score", "language_fit"))
    return np.array(
        [
            label is not None
            and second is not None
            and label not in SILENT
            and not (fit is None if second in SILENT or score < least else same(label, second, close))
            for label, second, score, fit in zip(*columns, strict=True)
        ],
        dtype=np.bool_,
    )


def atypical(scores: pa.Table | pa.RecordBatch, deciding: Mapping[str, Any]) -> Mask:
    """Rows whose label needs to be confirmed. bool [rows]

    The text is not typical of the language, or the second opinion names a language that the model does not have.
    """
    return np.asarray(~(_numbers(scores, "language_fit") >= deciding.get("min_fit", -np.inf)) | beyond(scores, deciding))


def beyond(scores: pa.Table | pa.RecordBatch, deciding: Mapping[str, Any]) -> Mask:
    """Rows of which the second opinion names a language that the model does not have. bool [rows]"""
    named = _numbers(scores, "second_score") >= deciding.get("second_threshold", 0.0)
    return np.asarray(named & np.array([value is True for value in _list(scores, "second_beyond")], dtype=np.bool_))


def doubts(scores: pa.RecordBatch, deciding: Mapping[str, Any]) -> npt.NDArray[np.object_]:
    """The doubt about the label of each row: SCRIPT, SECOND, or "" for none. object [rows]"""
    second = unconfirmed(scores, deciding) & atypical(scores, deciding)
    found = np.select([misspelt(scores, deciding), second], [SCRIPT, SECOND], default="")
    found[unsure(scores, deciding)] = ""
    return found.astype(object)


def final(scores: pa.RecordBatch, doubt: npt.NDArray[np.object_], deciding: Mapping[str, Any]) -> list[str]:
    """The label of each row in the end: the first of its group of close languages; `und` where it is doubted."""
    close = groups(deciding)
    labels = zip(_list(scores, "language"), doubt, strict=True)
    return [UNDETERMINED if why else group_of(label, close)[0] for label, why in labels]


def _list(scores: pa.Table | pa.RecordBatch, name: str) -> list[Any]:
    """A column as a list. Corpora of earlier versions lack some: all null."""
    return list(scores[name].to_pylist()) if name in scores.schema.names else [None] * scores.num_rows


def _numbers(scores: pa.Table | pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """A column of numbers; NaN for null. float64 [rows]"""
    return np.array([np.nan if value is None else value for value in _list(scores, name)], dtype=np.float64)
