"""Names of tensors in checkpoints before format 5, made those of today.

Guarantee: the numbers stay as they are. Cost: none.
"""

from __future__ import annotations

import re

from torch import Tensor

OLDER_NAMES = {
    r"^wte": "embedding",
    r"^wpe": "position",
    r"^h\.": "blocks.",
    r"\bln_f": "norm",
    r"\bln_": "norm_",
    r"attn\.c_proj": "attention.out",
    r"\battn\.": "attention.",
    r"mlp\.c_proj": "mlp.down",
    r"mlp\.c_fc": "mlp.up",
}


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights by today's names. Before, they had GPT-2's, and queries, keys and values one matrix."""
    if "wte.weight" not in tensors:
        return tensors
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        for old, new in OLDER_NAMES.items():
            name = re.sub(old, new, name)
        if "c_attn" in name:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            found |= {name.replace("c_attn", part): third.contiguous() for part, third in parts}
        else:
            found[name] = value
    return found
