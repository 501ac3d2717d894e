"""The canonical addresses of a column of URLs, as arrays.

Guarantee: each is what `stages.addresses.parse` says of its URL. Cost: 0.2 us for a plain URL, 3 us for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.kernels.text import buffers
from tokenmill.pipeline.kernels.urls import canonical
from tokenmill.pipeline.stages.addresses import UrlAddress, parse
from tokenmill.pipeline.stages.urls.lines import LONGEST_HOST, host_of, is_ip, words_of

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
ENCODED = "xn--"


@dataclass(frozen=True, kw_only=True)
class UrlColumn:
    """The address of row i is `data[starts[i]:ends[i]]`; its host ends at `hosts[i]`, its path begins at `paths[i]`.

    int64 [rows]. The rows stand in `data` in any order. A row without an address has none of its bytes.
    """

    data: Bytes
    starts: Places
    hosts: Places
    paths: Places
    ends: Places
    ips: npt.NDArray[np.bool_]
    """Whether the host is an IP address. [rows]"""
    escaped: npt.NDArray[np.bool_]
    """Whether Punycode or percent signs stand for other letters. [rows]"""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def named(self) -> Bytes:
        """1 for a host that has hosts above it; see `lines.candidates`. uint8 [rows]"""
        return (~self.ips & (self.hosts - self.starts <= LONGEST_HOST)).astype(np.uint8)

    def address(self, row: int) -> UrlAddress | None:
        """The address of a row; None if it has none."""
        start, end = int(self.starts[row]), int(self.ends[row])
        if start == end:
            return None
        text = self.data[start:end].tobytes().decode("ascii")
        return UrlAddress(text, int(self.hosts[row]) - start, int(self.paths[row]) - start)

    def shown_hosts(self) -> list[str]:
        """What scores say of each host; see `lines.host_of`."""
        text = self.data.tobytes().decode("ascii")
        found = [text[start:end] for start, end in zip(self.starts.tolist(), self.hosts.tolist(), strict=True)]
        for row in np.flatnonzero(self.ips).tolist():
            found[row] = host_of(self.address(row))
        return found

    def words(self) -> tuple[Bytes, Places, Places]:
        """Bytes in which the words of each address stand between others, and where they begin and end; see `lines.words_of`.

        In these, what is beyond ASCII is a letter.
        """
        rows = np.flatnonzero(self.escaped).tolist()
        found = [self.address(row) for row in rows]
        data, starts, ends = _behind(self.data, [" ".join(words_of(one)).encode() for one in found if one is not None])
        every = self.starts.copy(), self.ends.copy()
        every[0][rows], every[1][rows] = starts, ends
        return data, *every


def of(urls: pa.Array) -> UrlColumn:
    """The addresses of a column of URLs; a null has none."""
    texts = urls.cast(pa.large_string()).fill_null("")
    data, offsets = buffers.utf8(texts)
    rows = len(texts)
    out = np.empty(int(offsets[-1] - offsets[0]) + rows, dtype=np.uint8)
    starts, hosts, ends = np.empty((3, rows), dtype=np.int64)
    escaped = np.empty(rows, dtype=np.bool_)
    size = canonical.canonical(data, offsets, canonical.classes(), out, starts, hosts, ends, escaped)
    paths, ips = hosts.copy(), np.zeros(rows, dtype=np.bool_)
    declined = np.flatnonzero(ends == 0)
    parsed = map(parse, texts.take(pa.array(declined)).to_pylist())
    there = [(row, one) for row, one in zip(declined.tolist(), parsed, strict=True) if one is not None]
    data, begins, stops = _behind(out[:size], [one.text.encode("ascii") for _, one in there])
    for (row, one), begin, stop in zip(there, begins.tolist(), stops.tolist(), strict=True):
        starts[row], hosts[row], paths[row], ends[row] = begin, begin + one.host_end, begin + one.path_start, stop
        ips[row], escaped[row] = is_ip(one.host), "%" in one.text or ENCODED in one.host
    return UrlColumn(data=data, starts=starts, hosts=hosts, paths=paths, ends=ends, ips=ips, escaped=escaped)


def _behind(data: Bytes, texts: Sequence[bytes]) -> tuple[Bytes, Places, Places]:
    """The data with texts behind it, and where each begins and ends."""
    ends = len(data) + np.cumsum([0, *map(len, texts)], dtype=np.int64)
    return np.concatenate([data, np.frombuffer(b"".join(texts), dtype=np.uint8)]), ends[:-1], ends[1:]
