"""How masks move into the stored text: what is read stays the same, for any edits of stages around them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.flows.masking import _masks, _moved
from tokenmill.pipeline.base.edits import Edit, apply, merge, project
from tokenmill.pipeline.collect.records import PREVIEW_BYTES
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages import settings
from tokenmill.pipeline.stages.censor import CUT_BYTES, Censor, censor_of

TEXT = bytes(range(65, 65 + 24))
STAGES = ("repeats", "personal", "quality")
wanted = st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(1, 9)), max_size=3)


def config(stages: list[str], **personal: object) -> Config:
    return settings.parse(
        {"stages": stages, "collect": {"paths": ["x"]}, "personal": personal}, where="here", without_input=True
    )


@given(st.permutations(STAGES), st.lists(wanted, min_size=3, max_size=3), wanted, st.booleans(), st.sampled_from([b"<m>", b""]))
def test_what_is_read_stays_as_it_is(
    order: list[str], asked: list[list[tuple[int, int]]], found: list[tuple[int, int]], kept: bool, replacement: bytes
) -> None:
    text, stored = TEXT, dict[str, list[Edit]]()
    for stage, spans in zip(order, asked, strict=True):
        word = replacement if stage == "personal" else b""
        mine = merge(Edit(start, min(start + length, len(text)), word) for start, length in spans if start < len(text))
        known = merge(edit for edits in stored.values() for edit in edits)
        places = project(known, [(edit.start, edit.end) for edit in mine])
        if mine:
            stored[stage] = merge(Edit(*place, edit.replacement) for place, edit in zip(places, mine, strict=True))
        text = apply(TEXT, merge(edit for edits in stored.values() for edit in edits))
    others = merge(
        Edit(start, start + length, replacement and b"<f>") for start, length in found if start + length <= len(TEXT)
    )
    masks = _masks(stored, others, kept=kept)
    for one, other in pairwise(masks):
        assert one.end <= other.start
    now = apply(TEXT, masks)
    moved = merge(edit for stage in stored if stage != "personal" for edit in _moved(masks, stored, stage))
    hidden = {at for edit in stored.get("personal", []) for at in range(edit.start, edit.end)}
    removed = {
        at for stage, edits in stored.items() if stage != "personal" for edit in edits for at in range(edit.start, edit.end)
    }
    seen = {at for edit in others for at in range(edit.start, edit.end)}
    hidden |= seen & removed if kept else seen
    assert {byte for byte in now if byte in TEXT} == {byte for at, byte in enumerate(TEXT) if at not in hidden}
    if kept:
        assert apply(now, moved) == text


def test_without_the_stage_everything_passes() -> None:
    censor = censor_of(config(["dedup"]))
    assert censor == Censor()
    assert censor.text("to a@b.org") == "to a@b.org"
    assert censor.identity == {}


def test_urls_and_metadata_are_searched_by_name_and_decoded() -> None:
    censor = censor_of(config(["personal"]))
    assert censor.value("https://a.org/?to=x%40y.org&n=1") == "https://a.org/?to=[EMAIL]&n=1"
    assert censor.value("https://a.org/%C3%A9") == "https://a.org/%C3%A9"
    assert censor.metadata('{"SSN":"123-45-6789","a":[{"x@y.org":7}],"card":4111111111111111}') == (
        '{"SSN":"[SSN]","a":[{"[EMAIL]":7}],"card":"[CARD]"}'
    )
    assert censor.metadata('{"n":1.50}') == '{"n":1.50}'
    assert censor.value(["x@y.org", None, True, b"x@y.org"]) == ["[EMAIL]", None, True, b"x@y.org"]


@pytest.mark.parametrize("charset", ["utf-8", "utf-16-le", "utf-16-be", "latin-1"])
def test_previews_are_searched_in_many_charsets(charset: str) -> None:
    censor = censor_of(config(["personal"]))
    shown = censor.preview("caf\u00e9 to x@y.org".encode(charset))
    assert b"y.org" not in shown.replace(b"\0", b"")
    assert b"[EMAIL]" in shown


def test_a_preview_that_is_cut_does_not_end_inside_a_value() -> None:
    censor = censor_of(config(["personal"]))
    assert CUT_BYTES == PREVIEW_BYTES
    for end in (b' "x@exampl', b' "to":"x@exampl', b" x@exampl".decode().encode("utf-16-le")):
        data = (b'{"a":"b"}, ' * CUT_BYTES)[: CUT_BYTES - len(end)] + end
        assert b"@" not in censor.preview(data)
        assert censor.preview(data).startswith(data[: CUT_BYTES - len(end)].rstrip(b'{"ab:,} '))
        assert Censor().preview(data) == data
