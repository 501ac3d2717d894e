"""Pseudonyms: the same value gets the same one, and only who has the key can tell which value it is.

Guarantee: a pseudonym is 48 bits of a keyed BLAKE2b of kind and value, so two values share one by chance among some millions.
The key is stored nowhere; a fingerprint of it stands in the manifest, so that another key makes another corpus.
Cost: a microsecond for each value.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tokenmill.pipeline.base import secrets
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.stages.personal.settings import Kind, PersonalConfig

LEAST_KEY_BYTES = 16
PSEUDONYM_BYTES = 6


def key_of(config: PersonalConfig) -> bytes | None:
    """The key that these settings name; None if they name none, or if it is not there.

    Raises ConfigError for a key that is too short to keep anything secret.
    """
    key: bytes | None = None
    if config.key_file is not None:
        try:
            key = Path(config.key_file).expanduser().read_bytes().strip()
        except OSError:
            return None
    elif config.key_env is not None:
        given = secrets.secret(config.key_env)
        key = None if given is None else given.strip().encode()
    if key is not None and len(key) < LEAST_KEY_BYTES:
        raise ConfigError(
            f"personal: the key of {config.key_from} has {len(key)} bytes, at least {LEAST_KEY_BYTES} are needed; "
            "`openssl rand -hex 32` makes a good one"
        )
    return key


def fingerprint(key: bytes) -> str:
    """What tells a key from others, without telling the key."""
    return hashlib.blake2b(_short(key), digest_size=8, person=b"fingerprint").hexdigest()


def pseudonym(key: bytes, kind: Kind, value: str) -> str:
    """The pseudonym of a value: 12 hexadecimal digits."""
    return hashlib.blake2b(value.encode(), key=_short(key), digest_size=PSEUDONYM_BYTES, person=kind.encode()).hexdigest()


def _short(key: bytes) -> bytes:
    """BLAKE2b takes keys of at most 64 bytes."""
    return hashlib.blake2b(key, digest_size=32, person=b"key").digest()
