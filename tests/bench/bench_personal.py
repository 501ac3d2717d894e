"""Personal data beside what others look for: e-mail addresses and internet addresses in all; Presidio also the other kinds.

Presidio's are its recognizers by pattern, without its models of language. dolma's are its published expressions, without the
code around them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa

from tests.bench.datatrove_peers import installed
from tokenmill.pipeline.stages.personal.settings import PersonalConfig
from tokenmill.pipeline.stages.personal.stage import Personal

STAGE = "personal"
ENGLISH = True
PEER_BYTES = {"datatrove": 8_000_000, "dolma": 8_000_000, "presidio": 1_000_000}
DOLMA = (
    r"[.\s@,?!;:)(]*([^\s@]+@[^\s@,?!;:)(]+?)[.\s@,?!;:)(]?[\s\n\r]",
    r"\s+\(?(\d{3})\)?[-\. ]*(\d{3})[-. ]?(\d{4})",
    r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)",
)


def ours(batch: pa.RecordBatch) -> object:
    stage = Personal(config=PersonalConfig())
    scores = stage.score(batch)
    return stage.edits(scores, stage.decide(scores))


def _datatrove() -> Callable[[pa.RecordBatch], object]:
    from datatrove.pipeline.formatters.pii import PIIFormatter

    formatter = PIIFormatter()
    return lambda batch: [formatter.format(text) for text in batch["text"].to_pylist()]


def _dolma() -> Callable[[pa.RecordBatch], object]:
    expressions = [re.compile(expression) for expression in DOLMA]
    return lambda batch: [
        [match.span() for expression in expressions for match in expression.finditer(text)]
        for text in batch["text"].to_pylist()
    ]


def _presidio() -> Callable[[pa.RecordBatch], object]:
    import tldextract
    from presidio_analyzer import predefined_recognizers as known

    # Else it asks a server for the list of domains.
    tldextract.tldextract.TLD_EXTRACTOR.suffix_list_urls = ()
    names = ("EmailRecognizer", "IpRecognizer", "CreditCardRecognizer", "IbanRecognizer", "UsSsnRecognizer")
    recognizers = [getattr(known, name)() for name in names]
    return lambda batch: [
        one.analyze(text, one.supported_entities, None) for text in batch["text"].to_pylist() for one in recognizers
    ]


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    return {
        "datatrove": _datatrove() if installed("datatrove") else None,
        "dolma": _dolma(),
        "presidio": _presidio() if installed("presidio_analyzer") else None,
    }
