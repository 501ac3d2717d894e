"""Makes ready what every worker of a build needs, once, in the server that workers are forked from.

Purpose: such a server can only be told to import modules, so this one works when it is imported. Each of two workers took 1.5 s
of CPU to import these modules, to load models and the machine code of kernels, and to start a template for parsers.
Guarantee: no kernel is compiled here: where there is no machine code yet, workers find it when the parent has made it.
Cost: 1.5 s of CPU, while the parent checks the settings and lists the input.
"""

from __future__ import annotations

import contextlib

from tokenmill.pipeline import kernels
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.collect import split  # noqa: F401 -- imported for the workers
from tokenmill.pipeline.collect.parser import start
from tokenmill.pipeline.stages import settings, table
from tokenmill.pipeline.tokens.pack import packed  # noqa: F401
from tokenmill.tokenizer import count, encode  # noqa: F401

# What is wrong with a model is said by the parent; without memory or processes, workers fail by themselves, and say so.
with contextlib.suppress(TokenmillError, OSError, MemoryError):
    start.begin()
    # The last kernel that the usual stages compile.
    if kernels.compiled("quality.count"):
        defaults = settings.parse({"collect": {"paths": []}}, where="the defaults", without_input=True)
        for name in defaults.stages:
            table.kind_of(name).make(defaults).prepare()
