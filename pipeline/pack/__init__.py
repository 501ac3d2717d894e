"""Packing: surviving text becomes token shards."""

from pipeline.pack.step import PackStep

__all__ = ["PackStep"]
