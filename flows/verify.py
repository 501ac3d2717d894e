"""Check everything that a corpus published.

Guarantee: a flipped, cut or missing byte of any published file is found and the file is named; so is a manifest that
names another result of a step before it, evidence that does not hold, and a token store that disagrees with itself.
Cost: one read of everything (about 1 GB/s), and the similarity of a sample of pairs.
"""

from __future__ import annotations
