"""Where the content of elements ends that holds no tags: scripts, styles, the title.

Source: sections 13.2.5.2 to 13.2.5.31 of the HTML standard.
Guarantee: each byte is read once, or again as part of a name that was not the wanted one.
"""

from __future__ import annotations

from tokenmill.pipeline.kernels.html.values import Bytes, is_space, lower, starts
from tokenmill.pipeline.kernels.leaf import leaf


@leaf
def ends_name(byte: int) -> bool:
    """Whether a name of a tag ends before this byte."""
    return is_space(byte) or byte == 0x2F or byte == 0x3E


@leaf
def raw_end(page: Bytes, at: int, name_start: int, name_stop: int) -> int:
    """Where the end tag begins whose name stands at `name_start`; the size of the page if there is none."""
    size, length = len(page), name_stop - name_start
    while at < size:
        while at < size and page[at] != 0x3C:
            at += 1
        if at + 2 + length <= size and page[at + 1] == 0x2F:
            matched = 0
            while matched < length and lower(page[at + 2 + matched]) == lower(page[name_start + matched]):
                matched += 1
            behind = at + 2 + length
            if matched == length and (behind == size or ends_name(page[behind])):
                return at
        at += 1
    return size


@leaf
def script_end(page: Bytes, at: int) -> int:
    """Where the end tag of a script begins. In a comment inside it, a pair of tags of another script belongs to the script."""
    size = len(page)
    comment = inner = False
    while at < size:
        while not comment and at + 1 < size and page[at] != 0x3C:
            at += 1
        byte = page[at]
        if byte == 0x2D and comment and starts(page, at, b"-->"):
            comment = inner = False
        elif byte == 0x3C and at + 1 < size:
            if page[at + 1] == 0x21:
                if not comment and starts(page, at, b"<!--"):
                    comment = True
                    at += 2  # `<!-->` is a whole comment
                    continue
            elif page[at + 1] == 0x2F:
                if starts(page, at, b"</script") and (at + 8 == size or ends_name(page[at + 8])):
                    if not inner:
                        return at
                    inner = False
            elif comment and starts(page, at, b"<script") and at + 7 < size and ends_name(page[at + 7]):
                inner = True
        at += 1
    return size
