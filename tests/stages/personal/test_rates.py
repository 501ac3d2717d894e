"""How much of marked personal data is found, and how often documentation is taken for it; both tables are printed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.stages.personal.search import PersonalValue, Sought, findings
from tokenmill.pipeline.stages.personal.settings import KINDS, Kind

DATA = Path("../shared/data")
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")

MARKED: Mapping[str, Kind] = {
    "EMAIL_ADDRESS": "email",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
    "PHONE_NUMBER": "phone",
    "IP_ADDRESS": "ip",
}
LEAST: Mapping[Kind, tuple[int, float]] = {
    "email": (49, 1.0),
    "card": (136, 1.0),
    "iban": (21, 1.0),
    "ssn": (16, 1.0),
    "ip": (14, 1.0),
    "phone": (85, 0.95),
}
"""What has to be found of the 1,500 texts, and the precision. Presidio's patterns (2.2.366) find 49, 105, 20, 16, 14 and 54."""

WRONG = frozenset(
    {
        *("foo.example.com@example.com", "example.com@example.com", "hostbased@example.com", "www.example.com@example.com"),
        *("bar.example.com@example.com", "home.example.com@example.com", "gab!sex@rizon-2edfbc28.pool8250.interbusiness.it"),
        *("användare:lösenord", "pengguna:katasandi", "benutzer:passwort", "usuari:clau", "bruker:passord"),
        *("usuario:contraseña", "usuário:senha", "utilisateur:motdepasse", "4.2.45.2"),
    }
)
"""What is found in documentation and is none, as read by hand: principals of Kerberos, a mask of IRC, words for passwords, and
the version of a compiler. The other values are addresses, if only those of examples."""
MOST_WRONG = 5.0
"""Values per million words of documentation that are none, at most, over all kinds that something checks."""


def search(texts: list[str], sought: Sought) -> list[list[PersonalValue]]:
    return findings(pa.array(texts, pa.large_string()), sought)


@needs_data
def test_marked_values_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    texts = json.loads((DATA / "pii/presidio_synth_v2.json").read_text())
    kinds = tuple(MARKED.values())
    marked, hit, wrong, found = Counter[Kind](), Counter[Kind](), Counter[Kind](), Counter[Kind]()
    rows = search([one["full_text"] for one in texts], Sought(kinds=tuple(kind for kind in KINDS if kind in kinds)))
    for text, values in zip(texts, rows, strict=True):
        spans = [
            (_bytes(text, span["start_position"]), _bytes(text, span["end_position"]), span["entity_type"])
            for span in text["spans"]
        ]
        for start, end, name in spans:
            if name in MARKED:
                marked[MARKED[name]] += 1
                hit[MARKED[name]] += any(one.kind == MARKED[name] and one.start < end and start < one.end for one in values)
        for one in values:
            found[one.kind] += 1
            wrong[one.kind] += not any(
                MARKED.get(name) == one.kind and one.start < end and start < one.end for start, end, name in spans
            )
    with capsys.disabled():
        print("\nkind      marked  found  recall  precision")
        for kind in kinds:
            print(f"{kind:8}{marked[kind]:8}{hit[kind]:7}{hit[kind] / marked[kind]:8.3f}{1 - wrong[kind] / found[kind]:11.3f}")
    for kind, (least, precision) in LEAST.items():
        assert hit[kind] >= least, kind
        assert 1 - wrong[kind] / found[kind] >= precision, kind


def _bytes(text: Mapping[str, Any], place: int) -> int:
    return len(text["full_text"][:place].encode())


@needs_data
def test_addresses_that_a_validator_accepts_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    """isemail's cases: what can be delivered to is found, whole where no quotes, comments or literals are in it."""
    plain = valid = found = whole = taken = invalid = 0
    for case in ElementTree.parse(DATA / "pii/isemail/test/tests.xml").iter("test"):
        address = re.sub("[\u2400-\u2421]", lambda sign: chr(ord(sign[0]) - 0x2400), case.findtext("address") or "")
        (values,) = search([f"To {address} now"], Sought(kinds=("email",)))
        spans = [f"To {address} now".encode()[one.start : one.end].decode() for one in values]
        if case.findtext("category") in ("ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN"):
            if re.fullmatch(r"[\w.!#$&'*+~^-]+@[\w-]+(\.[\w-]+)*\.[a-zA-Z]{2,}", address):
                plain += 1
                whole += spans == [address]
            valid += 1
            found += bool(spans)
        else:
            invalid += 1
            taken += bool(spans)
    with capsys.disabled():
        print(
            f"\nisemail: {whole} of {plain} plain valid addresses whole; of {valid} valid {found}, of {invalid} others {taken}"
        )
    assert whole == plain > 10


@needs_data
@pytest.mark.soak
def test_documentation_is_rarely_taken_for_personal_data(capsys: pytest.CaptureFixture[str]) -> None:
    texts = pq.read_table(DATA / "text/bench_text.parquet", columns=["text"])["text"].to_pylist()
    kinds = tuple(kind for kind in KINDS if kind != "phone")
    words = sum(len(text.split()) for text in texts)
    found, wrong = Counter[Kind](), Counter[Kind]()
    for values in search(texts, Sought(kinds=kinds)):
        found.update(one.kind for one in values)
        wrong.update(one.kind for one in values if one.value in WRONG)
    with capsys.disabled():
        print(f"\n{words / 1e6:.1f} million words\nkind         found  wrong  wrong per million words")
        for kind in kinds:
            print(f"{kind:11}{found[kind]:7}{wrong[kind]:7}{wrong[kind] / words * 1e6:9.2f}")
    assert sum(wrong.values()) / words * 1e6 < MOST_WRONG
    assert found["card"] == found["iban"] == found["national_id"] == 0
