"""The section `personal`: which kinds of personal data are masked or removed, and what stands in their place.

Guarantee: a replacement never holds what it replaces. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import About, Section

Action = Literal["mask", "remove", "keep"]
Kind = Literal["key", "email", "card", "iban", "ssn", "national_id", "ip", "phone"]
Country = Literal[
    "au", "be", "br", "ca", "cn", "de", "es", "fi", "fr", "gb", "in", "it", "kr", "mx", "nl", "no", "pl", "ro", "se", "tr", "za"
]

KINDS: tuple[Kind, ...] = ("key", "email", "card", "iban", "ssn", "national_id", "ip", "phone")
"""All kinds. Where two values overlap, the kind that stands earlier here wins."""
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "key": "keys and tokens",
        "email": "e-mail addresses",
        "card": "payment cards",
        "iban": "bank accounts",
        "ssn": "US social security numbers",
        "national_id": "identity numbers",
        "ip": "internet addresses",
        "phone": "telephone numbers",
    }
)
"""The kinds, for people."""
ID = "{id}"
"""Stands for the pseudonym in a replacement."""


class PersonalConfig(Section):
    """What is done with personal data in texts, by kind: mask it, remove it, or keep it (it is not looked for)."""

    email: Action = "mask"
    """E-mail addresses, also `name [at] example.org` with brackets, and those in web addresses and HTML (`%40`, `&#64;`)."""
    ip: Action = "mask"
    """IPv4 and IPv6 addresses. See `public_only`."""
    card: Action = "mask"
    """Numbers of payment cards: known issuers, lengths and groups, with a right check digit."""
    iban: Action = "mask"
    """International bank account numbers: the length of their country, with right check digits."""
    ssn: Action = "mask"
    """Social security numbers of the United States: 123-45-6789, or nine digits behind words such as SSN."""
    key: Action = "mask"
    """API keys and tokens of known forms, private keys in PEM, and passwords in web addresses."""
    national_id: Action = "keep"
    """Identity numbers with check digits of the `countries`."""
    phone: Action = "keep"
    """Telephone numbers. They have no check digit: of four numbers that are found, about one is something else."""
    public_only: bool = True
    """Take only addresses of the public internet for `ip`. False: also private, local and documentation addresses."""
    countries: Annotated[tuple[Country, ...], About(example=("de", "fr"))] = ()
    """Countries of `national_id`, as two small letters. Empty: all that are known."""
    replacements: Annotated[Mapping[Kind, str], About(example={"email": "<e-mail>"})] = {}
    """What stands in place of a masked value, by kind. Default: the kind in brackets, such as [EMAIL]. `{id}` stands for the
    pseudonym, if there is a key."""
    key_file: Annotated[str | None, About(example="pseudonyms.key")] = None
    """Path of a file with a secret key of at least 16 bytes. With it, the same value gets the same pseudonym everywhere, as in
    [EMAIL 3f9a2c41d07b]. Only a fingerprint of the key is stored."""
    key_env: Annotated[str | None, About(example="TOKENMILL_PSEUDONYMS")] = None
    """The name of an environment variable with that key, in place of a file."""
    max_found: Annotated[int | None, Field(ge=0), About(unit="values", example=100)] = None
    """Drop a document with more values than this, such as a directory of people. Not set: none is dropped."""
    max_share: Annotated[float, About(unit="share")] = Field(default=1.0, ge=0, le=1)
    """Drop a document if a larger share of its bytes (0 to 1) is personal data. 1 drops none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for kind, text in self.replacements.items():
            if not text:
                raise ValueError(f'replacements.{kind} is empty; to remove such values, set {kind} = "remove"')
            if ID in text and not self.key_from:
                raise ValueError(f"replacements.{kind} = {text!r} needs a key for {ID}; set key_file or key_env")
        if self.key_file is not None and self.key_env is not None:
            raise ValueError("key_file and key_env both name a key; set one of them")
        return self

    @property
    def key_from(self) -> str:
        """Where the key is, in words; "" without one."""
        if self.key_file is not None:
            return f"the file {self.key_file}"
        return f"the environment variable {self.key_env}" if self.key_env is not None else ""

    @property
    def looked_for(self) -> tuple[Kind, ...]:
        """The kinds that are masked or removed, in the order of `KINDS`."""
        return tuple(kind for kind in KINDS if getattr(self, kind) != "keep")

    def replacement(self, kind: Kind, pseudonym: str | None = None) -> str:
        """What stands in place of a value of this kind; "" if it is removed."""
        if getattr(self, kind) == "remove":
            return ""
        label = kind.upper()
        text = self.replacements.get(kind, f"[{label}]" if pseudonym is None else f"[{label} {ID}]")
        return text.replace(ID, pseudonym or "")
