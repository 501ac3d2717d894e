"""The search for anchors against its plain twin, on hostile text and on real documents; and it misses no value."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.stages.personal import anchors_oracle as oracle
from tokenmill.pipeline.kernels.text import buffers
from tokenmill.pipeline.stages.personal.search import anchors_of

BENCH = Path("../shared/data/text/bench_text.parquet")

PIECES = st.one_of(
    st.sampled_from(list(" .-/()@:%_[]{}<>+#'\"\n\t\x00\x7f\u00a0\u2007\u2009\u2010\u2013\u2014\u202f\u3000\ufeff")),
    st.sampled_from(list("0123456789aAfFgGzZßéжक한漢😀\u0301\u200d\ud7ff\ue000\U0010ffff")),
    st.sampled_from(list("\uff10\uff19\uff1a\uff20\uff21\u0660\u0669\u066a\u06f0\u06f9\u0966\u096f\u0970\u09e6")),
    st.sampled_from(
        ["%3A", "%3d", "%22", "%4", "\\n", "\\t", "\\", "&#64;", "&#x40;", "&#X40", "&#6", "ip:2a00::1", "x:1:2::"]
    ),
    st.sampled_from(["john@example.org", "%40", "[at]", "(AT)", "{at)", "@[1.2.3.4]", " @a", "a@", "\uff20x", "x\uff20"]),
    st.sampled_from(
        ["8.8.8.8", "1.2.3", "4111 1111 1111 1111", "123-45-6789", "12 34 56", "1234567", "(02) 1234", "1234 123456"]
    ),
    st.sampled_from(["2001:db8::1", "::", "::1", "12:34:56", "a:b:c:d:e:f:0:1", "std::x", "fe80::1%eth0", "1::2."]),
    st.sampled_from(
        ["AKIAIOSFODNN7EXAMPLE", "ghp_", "sk-", "sk_", "SG.", "eyJhbGciOi.", "-----BEGIN ", "BEGIN ", "dapi0123456789abcdef"]
    ),
    st.sampled_from(
        [
            "GB56",
            "GB56HXDO88167774656119",
            "AB123456C",
            "RSSMRA85T10A562S",
            "X1234567L",
            "ab12\u00a0",
            "ab12\u2009",
            "ab12\n",
            "ab12\r",
        ]
    ),
    st.characters(exclude_categories=["Cs"]),
)
HOSTILE = st.lists(PIECES, max_size=40).map("".join)


def check(texts: list[str], every: bool) -> None:
    data, offsets = buffers.utf8(pa.array(texts, pa.large_string()))
    found: list[list[oracle.Anchor]] = [[] for _ in texts]
    for row, kind, start, end in anchors_of(data, offsets, every):
        found[row].append((kind, start, end))
    assert found == [oracle.anchors(text, every) for text in texts]


@settings(max_examples=80)
@given(st.lists(HOSTILE, min_size=1, max_size=3), st.booleans())
@example(["", "@", "a@", "@a", ":", "::", "1", "%", "%4", "a%40", "\uff20", "BEGIN ", "at]"], True)
@example(["-----BEGIN X", "----BEGIN X", "é----BEGIN X", "1.1.1.1", "1.1.1", "1111.1.1.1.1", "(at)", "(at"], False)
def test_the_kernel_finds_what_its_twin_finds(texts: list[str], every: bool) -> None:
    check(texts, every)


@pytest.mark.skipif(not BENCH.exists(), reason="needs ../shared/data")
def test_the_kernel_finds_the_same_in_real_documents() -> None:
    table = pq.read_table(BENCH, columns=["text"]).slice(0, 20_000)
    check(table["text"].take(list(range(0, 20_000, 2_000))).to_pylist(), True)


def test_more_anchors_than_expected_are_all_found() -> None:
    check(["a@b " * 5_000, "1.1.1.1 " * 3_000], False)
