"""Hides personal data in all that is shown of a corpus and handed on, whatever the order of its stages.

Purpose: one seam. Reports, questions and exports pass the texts, URLs, metadata and previews that they show through the
`Censor` of the corpus, so a document that was dropped before the stage `personal`, and what other stages saw, is masked too.
Guarantee: with `personal` in `stages`, no value that the stage finds passes. Without it, nothing changes. In URLs and metadata
values are also found percent-encoded, and in previews with a zero byte beside each character.
Cost: one pass over what is shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from tokenmill.pipeline.base.edits import Edit
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.personal.kind import PERSONAL
from tokenmill.pipeline.stages.personal.masking import Masker

MASKED = "masked"
"""The name among the facts of the manifest of `collect` that says that documents were masked after the build."""
COLUMNS = "columns_left_out"
"""The name among these facts of columns that did not fit into the metadata. Their names come from the input, as texts do."""
CUT_BYTES = 200
"""Previews of rejected records with so many bytes may end inside a value, so their end is not shown: `LAST`."""
LAST = re.compile(rb"[\w@.%+:\0-]+\Z")


@dataclass(frozen=True, kw_only=True)
class Censor:
    """What hides personal data. `masker`: None lets everything pass. Picklable."""

    masker: Masker | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What the result depends on, for the identity of stored results; empty where everything passes."""
        if self.masker is None:
            return {}
        config = self.masker.config
        replacements = {kind: config.replacement(kind) for kind in config.looked_for}
        return {
            "masked": {"replacements": replacements, "public_only": config.public_only, "countries": list(config.countries)}
        }

    def text(self, text: str) -> str:
        """A text, or a part of one that does not end inside a word."""
        return text if self.masker is None else self.masker.mask(text)

    def edits_of(self, texts: Sequence[str]) -> list[list[Edit]]:
        """What masks each text, in its bytes."""
        return [[] for _ in texts] if self.masker is None else self.masker.edits_of(texts)

    def value(self, value: Any, name: str = "") -> Any:
        """A JSON value, such as a URL: its strings, also percent-encoded ones, its numbers, and the names in objects.

        `name`: what it is called, since a bare number may be one thing or another.
        """
        if self.masker is None or isinstance(value, bool | float | bytes | None):
            return value
        if isinstance(value, dict):
            return {self.value(key): self.value(one, key) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one, name) for one in value]
        plain = unquote(str(value))
        label = f"{name}: " if name else ""
        hidden = self.text(label + plain)
        hidden = hidden.removeprefix(label) if hidden.startswith(label) else self.text(plain)
        return value if hidden == plain else hidden

    def metadata(self, metadata: str) -> str:
        """The metadata of a document, which are a JSON object."""
        if self.masker is None:
            return metadata
        plain = json.loads(metadata)
        hidden = self.value(plain)
        return metadata if hidden == plain else json.dumps(hidden, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    def preview(self, data: bytes) -> bytes:
        """The first bytes of a rejected record, which may be of any charset."""
        if self.masker is None:
            return data
        if len(data) >= CUT_BYTES:
            data = LAST.sub(b"", data)
        for plain in (data.decode(errors="replace"), data.replace(b"\0", b"").decode(errors="replace")):
            hidden = self.text(plain)
            if hidden != plain:
                return hidden.encode()
        return data

    def table(self, table: pa.Table) -> pa.Table:
        """The columns of strings that a table has, but for texts: URLs and `metadata` of documents, evidence of stages."""
        if self.masker is None:
            return table
        for at, field in enumerate(table.schema):
            if field.type == pa.string():
                values, hide = table[field.name].to_pylist(), self.metadata if field.name == "metadata" else self.value
                # All at once first: few rows have anything to hide. An escape in JSON may hide it there.
                found = self.masker.edits_of([unquote(value or "") for value in values])
                for row, value in enumerate(values):
                    if value is not None and (found[row] or "\\" in value):
                        values[row] = hide(value)
                table = table.set_column(at, field, pa.array(values, field.type))
        return table


def censor_of(config: Config) -> Censor:
    """What hides personal data of a corpus with these settings."""
    return Censor(masker=Masker.of(PERSONAL.settings(config)) if PERSONAL.name in config.stages else None)


def strict() -> Censor:
    """What hides it where settings are not known."""
    return Censor(masker=Masker.of(PERSONAL.section()))
