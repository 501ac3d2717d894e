"""Addresses of object stores: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.

Purpose: one place decides whether a text names a place in an object store or a path of this machine.
Guarantee: an address holds no user, password or query, so it may stand in messages and settings. A text that looks like an
address and is none (`ftp://`, `s3:/x`) is refused, and never taken for a folder. Cost: none.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base.errors import ConfigError

SCHEMES = ("s3", "gs", "az")
_LOOKS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Two letters at least, as `C:/` is a path."""
_WHOLE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)(?:/(.*))?", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_SECRET = re.compile(r"(:/+)[^/]*@")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A bucket (Azure: a container), and the beginning of the keys that are meant, without a slash at its ends."""

    scheme: str
    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}" if self.prefix else f"{self.scheme}://{self.bucket}"

    @property
    def slug(self) -> str:
        """A folder name that no other address has."""
        readable = re.sub(r"[^A-Za-z0-9]+", "-", str(self))[:60].strip("-")
        return f"{readable}-{hashlib.sha256(str(self).encode()).hexdigest()[:16]}"


def is_remote(text: str | Path) -> bool:
    """Whether this looks like an address: also one of a store that is not known, or one that a `Path` has shortened."""
    return _LOOKS.match(str(text)) is not None


def parse(text: str) -> Address:
    """The address that a text gives. Raises ConfigError that does not repeat what may be a password."""
    shown = _SECRET.sub(r"\1***@", text)
    match = _WHOLE.fullmatch(text)
    if match is None:
        scheme, _, rest = shown.partition(":")
        raise ConfigError(f"{shown}: is no address of an object store; write it as {scheme.lower()}://{rest.lstrip('/')}")
    scheme, bucket, prefix = match[1].lower(), match[2], (match[3] or "").strip("/")
    if scheme not in SCHEMES:
        raise ConfigError(f"{shown}: tokenmill knows no store {scheme}://; give a folder, or s3://, gs:// or az://")
    if "@" in bucket or ":" in bucket:
        raise ConfigError(
            f"{shown}: an address holds neither a user nor a password nor a port; credentials and the endpoint are those of "
            "the client (for S3 the variables AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL, or the role of the machine)"
        )
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"{shown}: {bucket!r} is no name of a bucket; write it as {scheme}://bucket/prefix")
    wrong = next((part for part in prefix.split("/") if part in ("", ".", "..")), None) if prefix else None
    if wrong is not None or "?" in prefix or "#" in prefix or not prefix.isprintable():
        raise ConfigError(f"{shown}: the part behind the bucket has an empty part, dots alone, '?' or '#'; leave them out")
    return Address(scheme=scheme, bucket=bucket, prefix=prefix)
