"""Object stores: what is read from them, and corpora that are published in them.

Purpose: `s3://`, `gs://` and `az://` beside the files of this machine. Sources are read from there, a corpus is published there
(`publish`), and readers get a copy of what they need of it (`mirror`). Only this package talks to a store, through obstore.
Guarantee: credentials come from the client's own chain, and stand in no setting, message or file of ours.
Cost: see the modules; importing the package imports no client.
"""

from tokenmill.pipeline.base.address import Address, is_remote, parse
from tokenmill.pipeline.base.store.client import open_store
from tokenmill.pipeline.base.store.copies import Wanted, cache_folder, everything, mirror, summary, tokens
from tokenmill.pipeline.base.store.pointer import PublishedState
from tokenmill.pipeline.base.store.protocol import Sink, Store, StoredObject
from tokenmill.pipeline.base.store.publishing import publish, require_room

__all__ = [
    "Address",
    "PublishedState",
    "Sink",
    "Store",
    "StoredObject",
    "Wanted",
    "cache_folder",
    "everything",
    "is_remote",
    "mirror",
    "open_store",
    "parse",
    "publish",
    "require_room",
    "summary",
    "tokens",
]
