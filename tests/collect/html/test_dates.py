"""Dates of pages: what is clear becomes ISO 8601, and what could be two days is none."""

from __future__ import annotations

import pytest

from tokenmill.pipeline.collect.html.dates import iso

CLEAR = {
    "2020-03-04": "2020-03-04",
    "2020/3/4": "2020-03-04",
    "20200304": "2020-03-04",
    "2020": "2020",
    "2020-03": "2020-03",
    "2020-03-04T10:00:00Z": "2020-03-04T10:00:00Z",
    "2020-03-04T10:00:00.123+05:30": "2020-03-04T10:00:00+05:30",
    " 2020-03-04  10:00 ": "2020-03-04T10:00:00",
    "2020-03-04T10:00:00-0500": "2020-03-04T10:00:00-05:00",
    "Wed, 04 Mar 2020 10:00:00 GMT": "2020-03-04T10:00:00Z",
    "March 4, 2020": "2020-03-04",
    "Sept. 4th, 2020 at 5:03 p.m.": "2020-09-04T17:03:00",
    "4 March 2020": "2020-03-04",
    "2020年3月4日": "2020-03-04",
    "2020년 3월 4일": "2020-03-04",
    "13/04/2020": "2020-04-13",
    "04/13/2020": "2020-04-13",
    "4.4.2020": "2020-04-04",
    "2020-02-29": "2020-02-29",
}
UNCLEAR = (
    *(
        "",
        "03/04/2020",
        "3.4.2020",
        "04-03-2020",
        "03/04/20",
        "13.13.2020",
        "2020-13-04",
        "2020-02-30",
        "2019-02-29",
        "yesterday",
    ),
    *("0001-01-01T00:00:00", "1970-01-01T00:00:00Z", "2020-03-04T25:00", "2020-03-04T10:00:00+99:00", "0000-00-00", "99999"),
    *(
        "２０２０-03-04",
        "2020-03-04 and 2021-03-04",
        "2020-03-04" + " " * 100,
        "4 May",
        "12:30 pm 13:00",
        "2020-03-04 13:00 pm",
    ),
)


@pytest.mark.parametrize("written", CLEAR)
def test_a_clear_date_becomes_iso_8601(written: str) -> None:
    assert iso(written) == CLEAR[written]


@pytest.mark.parametrize("written", UNCLEAR)
def test_what_may_be_two_days_or_none_is_left_out(written: str) -> None:
    assert iso(written) is None


def test_a_date_that_was_written_is_read_again() -> None:
    assert [iso(date) for date in CLEAR.values()] == list(CLEAR.values())
