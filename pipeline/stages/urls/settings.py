"""The section `urls`: lists of hosts, addresses and words, and what becomes of documents whose URLs hit them.

Guarantee: settings that contradict one another are refused when the value is made. Cost: none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import About, Section

Kind = Literal["addresses", "words", "subwords"]
NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]*")


class UrlList(Section):
    """A list of hosts, addresses or words, one on each line."""

    paths: Annotated[tuple[str, ...], About(kind="a list of paths", example=("lists/adult",))] = Field(min_length=1)
    """Files, gzipped ones too, and folders of them. Of a folder, its files called `domains` and `urls` are read, and those of
    the folders in it, as UT1's lists have them."""
    kind: Kind = "addresses"
    """What the lines hold. "addresses": hosts, `.suffixes`, URLs that begin others, and lines of hosts files. "words": words
    that stand between other characters than letters and digits. "subwords": letters and digits anywhere in the URL, whatever
    else stands between them."""
    subdomains: bool = True
    """Whether a host stands for all hosts below it, too. One of a hosts file, behind an IP address, never does."""
    use: Literal["block", "allow", "off"] = "block"
    """What becomes of documents that the list hits: "block" drops them, "allow" keeps them whatever other lists say, "off"
    nothing."""
    max_hits: Annotated[int, About(unit="hits")] = Field(default=0, ge=0)
    """The list counts if more of its entries than this hit the URL. For words that only together mean something, 1."""


class UrlsConfig(Section):
    """Which documents are dropped for their URLs."""

    lists: Annotated[Mapping[str, UrlList], About(example={"adult": {"paths": ["lists/adult"]}})] = {}
    """Lists by name. A document that lists of both uses hit is kept; of several that block, the first by name is the reason."""
    only_allowed: bool = False
    """Drop every document that no list with `use = "allow"` hits."""
    without_url: Literal["keep", "drop"] = "keep"
    """What becomes of documents without a URL, or with one that has no host. No list hits them."""

    @property
    def by_name(self) -> tuple[tuple[str, UrlList], ...]:
        """The lists in the order of decisions."""
        return tuple(sorted(self.lists.items()))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.lists:
            if not NAME.fullmatch(name):
                raise ValueError(f"lists.{name}: a name of a list begins with a letter or digit, and has these, _ and - alone")
        if self.only_allowed and all(one.use != "allow" for one in self.lists.values()):
            raise ValueError('only_allowed = true needs a list with use = "allow", else no document is kept')
        return self
