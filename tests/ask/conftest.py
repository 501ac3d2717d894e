"""Fixtures of the token store, which questions about tokens need too."""

from tests.tokens.conftest import byte_encoder, pack, store_of

__all__ = ["byte_encoder", "pack", "store_of"]
