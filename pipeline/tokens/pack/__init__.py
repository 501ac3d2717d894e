"""Packing: turn surviving text into token shards."""

from tokenmill.pipeline.tokens.pack.step import PackStep

__all__ = ["PackStep"]
