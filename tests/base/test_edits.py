"""Edits against a slow twin that paints byte by byte."""

from __future__ import annotations

import itertools
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.base.edits import Edit, apply, merge, project

LENGTH = 24
spans = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(sorted)
removals = spans.map(lambda span: Edit(span[0], span[1], b""))
masks = st.builds(
    lambda span, letter: Edit(span[0], span[1], b"<" + letter.encode() + b">"),
    spans.filter(lambda span: span[0] < span[1]),
    st.sampled_from("mnopqrst"),
)
TEXT = bytes(range(65, 65 + LENGTH))


@given(st.lists(removals, max_size=6), st.lists(masks, max_size=6, unique_by=lambda mask: mask.replacement), st.randoms())
def test_no_covered_byte_survives_and_no_other_goes(gone: list[Edit], masked: list[Edit], random: Random) -> None:
    edits = [*gone, *masked]
    random.shuffle(edits)
    merged = merge(edits)
    for one, other in itertools.pairwise(merged):
        assert one.end <= other.start
    covered = {at for edit in edits for at in range(edit.start, edit.end)}
    assert {at for edit in merged for at in range(edit.start, edit.end)} == covered
    shown = apply(TEXT, merged)
    assert bytes(byte for byte in shown if byte in TEXT) == bytes(byte for at, byte in enumerate(TEXT) if at not in covered)
    for edit in masked:
        others = {at for other in edits if other is not edit for at in range(other.start, other.end)}
        alone = not set(range(edit.start, edit.end)) <= others
        assert shown.count(edit.replacement) == 1 if alone else shown.count(edit.replacement) <= 1
    assert merge(merged) == merged


@given(st.lists(removals, max_size=6))
def test_applying_removals_keeps_exactly_the_other_bytes(gone: list[Edit]) -> None:
    removed = {at for edit in gone for at in range(edit.start, edit.end)}
    assert apply(TEXT, merge(gone)) == bytes(byte for at, byte in enumerate(TEXT) if at not in removed)


@given(st.lists(removals, max_size=4), st.lists(masks, max_size=4), st.data())
def test_a_projected_span_covers_the_stored_bytes_of_the_edited_span(
    gone: list[Edit], masked: list[Edit], data: st.DataObject
) -> None:
    edits = merge([*gone, *masked])
    edited = apply(TEXT, edits)
    start = data.draw(st.integers(0, len(edited)))
    end = data.draw(st.integers(start, len(edited)))
    ((first, last),) = project(edits, [(start, end)])
    assert 0 <= first <= LENGTH
    assert 0 <= last <= LENGTH
    plain = {byte for byte in edited[start:end] if byte in TEXT}
    assert plain <= set(TEXT[first:last])


@given(st.lists(st.lists(st.tuples(st.integers(0, LENGTH), st.integers(1, 9), st.booleans()), max_size=3), max_size=4))
def test_stages_one_after_another_make_what_their_merged_edits_make(stages: list[list[tuple[int, int, bool]]]) -> None:
    """Each stage edits the text that it sees, and stores its edits in bytes of the first one."""
    text, stored = TEXT, list[Edit]()
    for number, wanted in enumerate(stages):
        word = f"<{'mnopqrst'[number]}>".encode()
        mine = merge(
            Edit(start, min(start + length, len(text)), word if mask else b"")
            for start, length, mask in wanted
            if start < len(text)
        )
        known = merge(stored)
        assert apply(TEXT, known) == text
        places = project(known, [(edit.start, edit.end) for edit in mine])
        stored += merge(Edit(*place, edit.replacement) for place, edit in zip(places, mine, strict=True))
        text = apply(TEXT, merge(stored))
    covered = {at for edit in stored for at in range(edit.start, edit.end)}
    assert bytes(byte for byte in text if byte in TEXT) == bytes(byte for at, byte in enumerate(TEXT) if at not in covered)


def test_edits_inside_a_mask_leave_nothing_of_it() -> None:
    assert merge([Edit(2, 8, b"<m>"), Edit(4, 6, b"")]) == [Edit(2, 8, b"<m>")]
    assert merge([Edit(4, 6, b"<m>"), Edit(2, 8, b"")]) == [Edit(2, 8, b"")]
    assert merge([Edit(2, 8, b"<m>"), Edit(6, 9, b"")]) == [Edit(2, 6, b"<m>"), Edit(6, 9, b"")]
    assert merge([Edit(2, 8, b"<m>"), Edit(0, 4, b""), Edit(5, 6, b"")]) == [Edit(0, 4, b""), Edit(4, 8, b"<m>")]


def test_of_two_masks_the_outer_one_stays_and_of_equal_ones_the_later() -> None:
    assert merge([Edit(4, 6, b"<m>"), Edit(2, 8, b"<n>")]) == [Edit(2, 8, b"<n>")]
    assert merge([Edit(2, 8, b"<n>"), Edit(2, 8, b"<m>")]) == [Edit(2, 8, b"<m>")]
    assert merge([Edit(2, 8, b"<m>"), Edit(6, 9, b"<n>")]) == [Edit(2, 8, b"<m>"), Edit(8, 9, b"<n>")]
    assert merge([Edit(2, 8, b"<m>"), Edit(2, 8, b"")]) == [Edit(2, 8, b"")]
