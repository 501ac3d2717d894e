"""Keys of services and private keys, by the forms that their makers publish so that they can be found.

Guarantee: what is found begins with a known word and has the length and the characters that such a key has; a placeholder, such
as `ghp_xxxx`, has too few different ones. Keys without a known beginning (passwords, AWS secret keys) are not found.
Cost: a few microseconds for each beginning.

Sources: the makers' documentation of their forms; RFC 7468 (PEM), RFC 7519 (JWT).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenmill.pipeline.stages.personal import context
from tokenmill.pipeline.stages.personal.sighting import Sighting

_FORMS = re.compile(
    "|".join(
        (
            r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
            r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
            r"glpat-[A-Za-z0-9_-]{20,60}(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?",  # GitLab
            r"xox[abeprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,250}",  # Slack
            r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/]{32,64}",  # Stripe
            r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{20,500}",  # Google
            r"sk-(?=[A-Za-z_-]{0,200}\d)(?=[\w-]{0,200}?(?:[A-Z]|[0-9a-f]{32}))[A-Za-z0-9_-]{20,250}",  # OpenAI, Anthropic
            r"npm_[A-Za-z0-9]{36}|hf_[A-Za-z]{30,40}|pypi-AgE[A-Za-z0-9_-]{50,500}|gsk_[A-Za-z0-9]{40,60}",
            r"do[por]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|lin_api_[A-Za-z0-9]{40}|dapi[a-f0-9]{32}",
            r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}|AGE-SECRET-KEY-1[0-9A-Z]{58}",
            r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{16,1400}",  # JWT
        )
    )
)
_PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?P<body>[^-]{40,14000})(?:-----END [A-Z0-9 ]{8,60}-----)?"
)
LEAST_DIFFERENT = 10
"""Different characters of a key; a placeholder has fewer."""


def keys(text: str, start: int, end: int) -> Iterator[Sighting]:
    """The key whose first word is [start, end)."""
    if text.startswith("BEGIN", start):
        block = _PEM.match(text, max(0, start - 5))
        if block is not None and len(set(re.findall(r"[A-Za-z0-9+/]", block["body"]))) >= LEAST_DIFFERENT:
            yield Sighting(block.start(), block.end(), "key", block[0])
        return
    found = _FORMS.match(text, start)
    if found is None or len(set(found[0])) < LEAST_DIFFERENT:
        return
    if context.begins(text, start) and context.ends(text, found.end()):
        yield Sighting(start, found.end(), "key", found[0])
