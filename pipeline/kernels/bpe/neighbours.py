"""What a merge finds beside its places, and what it does to the counts of pairs.

Purpose: neighbours are added up by their ids, so that the table of pairs is asked once for each of them, not for each place.
Guarantee: counts change as if each place were counted by itself. Cost: 2 to 3 ns a place, one access to the table a neighbour.
"""

from __future__ import annotations

from typing import NamedTuple

from tokenmill.pipeline.kernels.bpe.queue import PAIRS, PLACES, SHARED, Int32s, Queue, enqueue, find, key_of, slot_of
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.lookups import Places


class Side(NamedTuple):
    """What a merge finds on one side of its places: by neighbour (its id), and in order. Between merges all is zero."""

    totals: Places
    """int64 [ids]: how often the neighbour is there."""
    cursors: Places
    """int64 [ids]: at how many places; then, where the next of them is written."""
    seen: Int32s
    """int32 [ids]: the neighbours."""
    slots: Places
    """int64 [ids]: the slot of the new pair with `seen[i]`; -1 for none."""
    places: Int32s
    """int32: the places of the new pairs."""
    ids: Int32s
    """int32: the neighbour there."""
    used: Places
    """int64 [2]: of `seen`, of `places`."""


@inlined
def note(side: Side, neighbour: Integer, place: Integer, weight: Integer) -> None:
    if side.totals[neighbour] == 0:
        side.seen[side.used[0]] = neighbour
        side.used[0] += 1
    side.totals[neighbour] += weight
    side.cursors[neighbour] += 1
    side.places[side.used[1]] = place
    side.ids[side.used[1]] = neighbour
    side.used[1] += 1


@inlined
def count_pairs(
    queue: Queue,
    sizes: Int32s,
    left: Side,
    right: Side,
    first: Integer,
    second: Integer,
    made: Integer,
    most_bytes: Integer,
) -> None:
    """Count and queue the pairs with `made`, count down those that it took apart, and forget what was noted."""
    _count_made(queue, sizes, left, made, True, most_bytes)
    _count_made(queue, sizes, right, made, False, most_bytes)
    for i in range(left.used[0]):
        _count_down(queue, key_of(left.seen[i], first), left.totals[left.seen[i]])
    for i in range(right.used[0]):
        _count_down(queue, key_of(second, right.seen[i]), right.totals[right.seen[i]])
    # A pair of two `made` may have been noted on both sides; it is queued once.
    both = left.totals[made] > 0 and right.totals[made] > 0
    _enqueue_made(queue, left, made, right.cursors[made] if both else 0)
    if both:
        right.cursors[made] = left.cursors[made]
    _enqueue_made(queue, right, made if both else -1, -1)
    for i in range(left.used[0]):
        left.totals[left.seen[i]] = left.cursors[left.seen[i]] = 0
    for i in range(right.used[0]):
        right.totals[right.seen[i]] = right.cursors[right.seen[i]] = 0
    left.used[:] = 0
    right.used[:] = 0


@leaf
def _count_made(queue: Queue, sizes: Int32s, side: Side, made: Integer, is_left: bool, most_bytes: Integer) -> None:
    for i in range(side.used[0]):
        other = side.seen[i]
        side.slots[i] = -1
        if sizes[other] + sizes[made] < most_bytes:
            known = queue.state[PAIRS]
            slot = slot_of(queue, key_of(other, made) if is_left else key_of(made, other))
            if queue.state[PAIRS] == known:
                queue.pairs[slot, 1] |= SHARED
            queue.pairs[slot, 1] += 2 * side.totals[other]
            side.slots[i] = slot


@inlined
def _count_down(queue: Queue, pair: Integer, total: Integer) -> None:
    """A pair that was too long to be counted is not there."""
    slot = find(queue, pair)
    if queue.pairs[slot, 0]:
        queue.pairs[slot, 1] -= 2 * total


@leaf
def _enqueue_made(queue: Queue, side: Side, twice: Integer, more: Integer) -> None:
    """Queue the new pairs with their places. `twice` is a neighbour with `more` places to come, or (-1) with a list already."""
    for i in range(side.used[0]):
        other, slot = side.seen[i], side.slots[i]
        if other == twice and more < 0:
            continue
        size = side.cursors[other] + (more if other == twice else 0)
        side.cursors[other] = -1
        if slot >= 0 and queue.pairs[slot, 1] >> 1 > 0:
            side.cursors[other] = queue.state[PLACES]
            enqueue(queue, slot, size)
    for i in range(side.used[1]):
        to = side.cursors[side.ids[i]]
        if to >= 0:
            queue.places[to] = side.places[i]
            side.cursors[side.ids[i]] = to + 1
