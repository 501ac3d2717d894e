"""Packing: surviving text becomes token shards."""

from tokenmill.pipeline.tokens.pack.step import PackStep

__all__ = ["PackStep"]
