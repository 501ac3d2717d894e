"""What every page of this folder is rendered with: the templates, the style, and the policy that a page carries.

Guarantee: all data is escaped (autoescape), and a name that is misspelled in a template is an error (StrictUndefined). The
policy of a page lets its own style and its own script run, by their hashes, and nothing else.
Cost: one read of each template.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources

import jinja2
from markupsafe import Markup

from tokenmill.pipeline.base import words

STYLE = "style.css"


def policy(script: str | None = None) -> str:
    """The content security policy of a page with the style, and with the `script` of that file name, if it has one."""
    scripts = "" if script is None else f" script-src '{_hash(script)}';"
    return f"default-src 'none';{scripts} style-src '{_hash(STYLE)}'; base-uri 'none'; form-action 'none'"


@functools.cache
def part(name: str) -> Markup:
    """The text of a style or a script, as it stands in a page."""
    return Markup((resources.files("tokenmill.pipeline.report") / name).read_text(encoding="utf-8"))


def _hash(name: str) -> str:
    """The SHA-256 of a style or a script, as a policy spells it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(part(name).encode()).digest()).decode()


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of this folder, with the filters and functions that they use."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("tokenmill.pipeline.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        count=words.count,
        many=words.many,
        size=words.size,
        visible=words.visible,
        plain=words.plain,
        clip=words.clip,
        raw=words.raw,
        rough=words.rough,
        signed=words.signed,
    )
    found.globals.update(share=words.share, ratio=words.ratio, part=part, policy=policy, style=part(STYLE))
    return found
