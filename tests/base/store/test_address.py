"""An address is told from a path, and what is none is refused without repeating a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenmill.pipeline.base.address import is_remote, parse
from tokenmill.pipeline.base.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("S3://bucket/", "s3://bucket"),
        ("gs://bucket/a/b/", "gs://bucket/a/b"),
        ("az://container/über uns", "az://container/über uns"),
    ],
)
def test_an_address(text: str, shown: str) -> None:
    assert is_remote(text)
    assert str(parse(text)) == shown


@pytest.mark.parametrize("text", ["corpora/docs", "/s3:/x", "C:/x", "./ab", "owner/name", "s3", "a:b"])
def test_a_path_is_no_address(text: str) -> None:
    assert not is_remote(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3:/bucket/x", "write it as s3://bucket/x"),
        (str(Path("s3://bucket/x")), "write it as s3://bucket/x"),
        ("ftp://host/x", "knows no store ftp://"),
        ("file:///x", "knows no store file://"),
        ("s3:///x", "no name of a bucket"),
        ("s3://bucket/a//b", "empty part"),
        ("s3://bucket/../b", "dots alone"),
        ("s3://bucket/a?x=1", "'?'"),
        ("s3://bucket:443/a", "nor a port"),
    ],
)
def test_what_is_none_is_refused(text: str, said: str) -> None:
    assert is_remote(text)
    with pytest.raises(ConfigError, match=r".") as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["s3://me:secret@bucket/x", "s3:/me:secret@bucket", "ftp://secret@host/x"])
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        parse(text)
    assert "secret" not in str(caught.value)


def test_different_addresses_have_different_folders() -> None:
    assert len({parse(text).slug for text in ("s3://bucket/a", "s3://bucket/a-", "gs://bucket/a", "s3://bucket-a")}) == 4
