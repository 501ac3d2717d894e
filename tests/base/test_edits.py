"""Edits against a slow twin that paints byte by byte."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.base.edits import Edit, apply, merge, project

LENGTH = 24
spans = st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)).map(sorted)
removals = spans.map(lambda span: Edit(span[0], span[1], b""))
masks = spans.filter(lambda span: span[0] < span[1]).map(lambda span: Edit(span[0], span[1], b"<m>"))


@given(st.lists(removals, max_size=6), st.lists(masks, max_size=6))
def test_merged_edits_are_sorted_disjoint_and_remove_all_that_was_to_go(gone: list[Edit], masked: list[Edit]) -> None:
    merged = merge([*gone, *masked])
    for one, other in itertools.pairwise(merged):
        assert one.end <= other.start
    removed = {at for edit in gone for at in range(edit.start, edit.end)}
    covered = {at for edit in merged for at in range(edit.start, edit.end)}
    assert {at for edit in merged if not edit.replacement for at in range(edit.start, edit.end)} == removed
    assert covered <= removed | {at for edit in masked for at in range(edit.start, edit.end)}


@given(st.lists(removals, max_size=6))
def test_applying_removals_keeps_exactly_the_other_bytes(gone: list[Edit]) -> None:
    text = bytes(range(65, 65 + LENGTH))
    removed = {at for edit in gone for at in range(edit.start, edit.end)}
    assert apply(text, merge(gone)) == bytes(byte for at, byte in enumerate(text) if at not in removed)


@given(st.lists(removals, max_size=4), st.lists(masks, max_size=4), st.data())
def test_a_projected_span_covers_the_stored_bytes_of_the_edited_span(
    gone: list[Edit], masked: list[Edit], data: st.DataObject
) -> None:
    text = bytes(range(65, 65 + LENGTH))
    edits = merge([*gone, *masked])
    edited = apply(text, edits)
    start = data.draw(st.integers(0, len(edited)))
    end = data.draw(st.integers(start, len(edited)))
    ((first, last),) = project(edits, [(start, end)])
    assert 0 <= first <= LENGTH
    assert 0 <= last <= LENGTH
    plain = {byte for byte in edited[start:end] if byte >= 65 and byte not in b"<m>"}
    assert plain <= set(text[first:last])


def test_a_removal_beats_a_mask() -> None:
    assert merge([Edit(2, 8, b"<m>"), Edit(4, 6, b"")]) == [Edit(2, 4, b"<m>"), Edit(4, 6, b"")]
    assert merge([Edit(4, 6, b"<m>"), Edit(2, 8, b"")]) == [Edit(2, 8, b"")]
