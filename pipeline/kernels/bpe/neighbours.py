"""The neighbours that a merge finds beside its places, and the changes that it makes to the counts of pairs.

Purpose: counts are summed by the neighbour's id, so that the table of pairs is read once per neighbour, not once per place.
Guarantee: counts change as if each place were counted by itself.
Cost: 2 to 3 ns per place, and one access to the table per neighbour.
"""

from __future__ import annotations

from typing import NamedTuple

from tokenmill.pipeline.kernels.bpe.queue import PAIRS, PLACES, SHARED, Int32s, Queue, enqueue, find, key_of, slot_of
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.lookups import Places


class Side(NamedTuple):
    """What a merge finds on one side of its places, by the neighbour's id and in order. Between merges all counts are 0."""

    totals: Places
    """int64 [ids]: how often the neighbour occurs, weighted by the counts of the words."""
    cursors: Places
    """int64 [ids]: the number of places with the neighbour; later, where the next of these places is written."""
    seen: Int32s
    """int32 [ids]: the distinct neighbours, in the order in which they were found."""
    slots: Places
    """int64 [ids]: the slot of the new pair with `seen[i]`; -1 if the pair is too long."""
    places: Int32s
    """int32: the places of the new pairs."""
    ids: Int32s
    """int32: the neighbour at each place."""
    used: Places
    """int64 [2]: the used lengths of `seen` and of `places`."""


@inlined
def note(side: Side, neighbour: Integer, place: Integer, weight: Integer) -> None:
    """Note a neighbour and the place of its new pair, in a word that occurs `weight` times."""
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
    """Count and queue the new pairs with `made`, lower the counts of the pairs that it broke up, and clear both sides."""
    _count_made(queue, sizes, left, made, True, most_bytes)
    _count_made(queue, sizes, right, made, False, most_bytes)
    for i in range(left.used[0]):
        _count_down(queue, key_of(left.seen[i], first), left.totals[left.seen[i]])
    for i in range(right.used[0]):
        _count_down(queue, key_of(second, right.seen[i]), right.totals[right.seen[i]])
    # The pair of `made` with itself may have been noted on both sides; it is queued once.
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
    """Lower the count of `pair` by `total`, if the table holds it: it lacks pairs that were too long to be counted."""
    slot = find(queue, pair)
    if queue.pairs[slot, 0]:
        queue.pairs[slot, 1] -= 2 * total


@leaf
def _enqueue_made(queue: Queue, side: Side, twice: Integer, more: Integer) -> None:
    """Queue the new pairs with their places.

    `twice` is a neighbour whose list gets `more` places from the other side; if `more` is -1, its list exists already.
    """
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
