"""Kernels of deduplication: MinHash signatures, candidate pairs, units (lines or paragraphs) and a counting Bloom filter."""
