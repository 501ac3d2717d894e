"""The store behind an address, through obstore: S3 and what speaks like it, Google Cloud Storage, Azure.

Purpose: keeps the promises of `protocol.Store`.
Guarantee: credentials come from the client's own chain (its variables, the role of the machine), and are in no message: of what
the library says, only the HTTP status and the store's own code are told. Reading compares the length and the ETag of every
range, so an object that is replaced meanwhile is an error and never a mixture. What S3 takes is compared with a SHA-256 that is
sent along.
Cost: an object of more than `RANGE_BYTES` is read by ranges of that size, `AHEAD` of them at once, in 32 MiB of memory.

Some defaults of the library are not ours. A request may take 30 s in all there, however large it is; without credentials it
asks the machine's metadata address, where nobody may answer; and it tells errors with the bodies of answers, which can hold
names of keys. So time is limited for each read of the network, the first contact gives up within seconds, and `faults` puts
errors into words.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tokenmill.pipeline.base.address import Address
from tokenmill.pipeline.base.errors import ConfigError, InputError, StaleInput, TokenmillError
from tokenmill.pipeline.base.store import faults
from tokenmill.pipeline.base.store.protocol import Sink, Store, StoredObject

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta, PutMode
    from obstore.store import AzureStore, BackoffConfig, ClientConfig, GCSStore, RetryConfig, S3Store

    AnyClient = S3Store | GCSStore | AzureStore

Answer = TypeVar("Answer")

RANGE_BYTES = 8 * 2**20
PART_BYTES = 16 * 2**20
"""Of an upload in parts, which S3 takes from 5 MB on, and at most 10,000 of."""
PARTS = 2
"""Parts of one object that are sent at once."""
AHEAD = 4
LISTED = 1000
"""Objects of a listing that are taken at once."""
ATTEMPTS = 5
"""Tries of one operation whose answer was cut or lost, beside those of the library."""
PAUSE_SECONDS = 0.2
"""Before the second try; it doubles with each one."""


class ObjectStore:
    """The objects below an address. Made by `open_store`."""

    def __init__(self, address: Address, client: AnyClient) -> None:
        self.address = address
        self._client = client

    def listed(self, prefix: str = "") -> Iterator[StoredObject]:
        """See `Store.listed`."""
        import obstore
        from obstore.exceptions import BaseError

        last: str | None = None
        chunks = obstore.list(self._client, prefix or None, chunk_size=LISTED)

        def following() -> Sequence[ObjectMeta] | None:
            nonlocal chunks
            try:
                return next(chunks, None)
            except BaseError:
                # The library does not ask again for a page that was cut.
                chunks = obstore.list(self._client, prefix or None, offset=last, chunk_size=LISTED)
                raise

        while chunk := self._again(following, prefix):
            last = chunk[-1]["path"]
            yield from map(_found, chunk)

    def look(self, key: str) -> StoredObject | None:
        """See `Store.look`."""
        import obstore

        try:
            return _found(self._again(lambda: obstore.head(self._client, key), key))
        except FileNotFoundError:
            return None

    def read(self, key: str, *, most_bytes: int) -> tuple[bytes, StoredObject] | None:
        """See `Store.read`."""
        import obstore

        def whole() -> tuple[bytes, StoredObject]:
            answer = obstore.get(self._client, key)
            about = _found(answer.meta)
            if about.bytes > most_bytes:
                raise InputError(f"{self._name(key)}: has {about.bytes:,} bytes, more than the {most_bytes:,} that it may have")
            data = bytes(answer.bytes())
            if len(data) != about.bytes:
                raise faults.Cut
            return data, about

        try:
            return self._again(whole, key)
        except FileNotFoundError:
            return None

    def fetch(self, found: StoredObject, out: Sink) -> None:
        """See `Store.fetch`."""
        begins = iter(range(0, found.bytes, RANGE_BYTES))
        waiting: deque[Future[Any]] = deque()
        if found.bytes <= RANGE_BYTES:
            if found.bytes:
                out.write(self._range(found, 0))
            elif self.look(found.key) is None:
                raise self._gone(found)
            return
        with ThreadPoolExecutor(AHEAD) as pool:
            try:
                while True:
                    while len(waiting) < AHEAD and (begin := next(begins, None)) is not None:
                        waiting.append(pool.submit(self._range, found, begin))
                    if not waiting:
                        return
                    out.write(waiting.popleft().result())
            finally:
                for one in waiting:
                    one.cancel()

    def _range(self, found: StoredObject, begin: int) -> Any:
        import obstore
        from obstore.exceptions import PreconditionError

        end = min(begin + RANGE_BYTES, found.bytes)
        options: GetOptions = {"range": (begin, end)}
        if found.etag is not None:
            options["if_match"] = found.etag

        def part() -> Any:
            answer = obstore.get(self._client, found.key, options=options)
            data = answer.bytes()
            if answer.meta["size"] != found.bytes:
                raise self._gone(found)
            if len(data) != end - begin:
                raise faults.Cut
            return memoryview(data)

        try:
            return self._again(part, found.key)
        except (FileNotFoundError, PreconditionError):
            raise self._gone(found) from None

    def put(self, key: str, source: Path | bytes) -> None:
        """See `Store.put`."""
        import obstore

        size = len(source) if isinstance(source, bytes) else source.stat().st_size

        def whole() -> None:
            obstore.put(self._client, key, source, chunk_size=PART_BYTES, max_concurrency=PARTS)
            there = obstore.head(self._client, key)
            if there["size"] != size:
                raise faults.Cut

        try:
            self._again(whole, key)
        except FileNotFoundError as error:
            raise InputError(f"{self._name(key)}: {faults.words(error, self.address)}") from None

    def swap(self, key: str, data: bytes, *, before: StoredObject | None) -> bool:
        """See `Store.swap`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        mode: PutMode = "create"
        if before is not None:
            # A version of None is refused, whatever the types of the library say.
            mode = {"e_tag": before.etag} if before.version is None else {"e_tag": before.etag, "version": before.version}

        def once() -> bool:
            try:
                obstore.put(self._client, key, data, mode=mode)
                return True
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                # Another object is there, or none is any more. It may be ours, if the answer to an earlier try was lost.
                return self._is_there(key, data)
            except (BaseError, OSError) as error:
                if not faults.is_lost(error) or not self._is_there(key, data):
                    raise
                return True

        return self._again(once, key)

    def _is_there(self, key: str, data: bytes) -> bool:
        found = self.read(key, most_bytes=max(len(data), 2**20))
        return found is not None and found[0] == data

    def remove(self, keys: Iterable[str]) -> None:
        """See `Store.remove`."""
        import obstore

        batch = list(keys)
        for begin in range(0, len(batch), 1000):
            some = batch[begin : begin + 1000]
            self._again(functools.partial(_removed, obstore.delete, self._client, some), some[0])

    def _name(self, key: str) -> str:
        return f"{self.address}/{key}" if key else str(self.address)

    def _gone(self, found: StoredObject) -> StaleInput:
        return StaleInput(
            f"{self._name(found.key)} was replaced or removed while it was being read; run the same command again"
        )

    def _again(self, action: Callable[[], Answer], key: str) -> Answer:
        """The answer of `action`, tried again where the one before was lost. Errors of the library are put into our words.

        FileNotFoundError, PreconditionError and AlreadyExistsError pass, as they are answers.
        """
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        for number in range(1, ATTEMPTS + 1):
            try:
                return action()
            except (AlreadyExistsError, PreconditionError, TokenmillError):
                raise
            except FileNotFoundError as error:
                if "NoSuchBucket" not in str(error):
                    raise
                raise InputError(f"{self._name(key)}: {faults.words(error, self.address)}") from None
            except (BaseError, OSError, ValueError, faults.Cut) as error:
                if number < ATTEMPTS and faults.is_lost(error):
                    time.sleep(PAUSE_SECONDS * 2 ** (number - 1))
                    continue
                # Not `from error`: its text may hold what the store answered about credentials.
                raise InputError(f"{self._name(key)}: {faults.words(error, self.address)}") from None
        raise AssertionError("the last try raises")


def open_store(address: Address, *, patient: bool = True) -> Store:
    """The store at an address. `patient`: try for a minute, not only for seconds. Raises ConfigError without the extra."""
    return _opened(address, patient=patient)


@functools.lru_cache(maxsize=16)
def _opened(address: Address, *, patient: bool) -> ObjectStore:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ConfigError(f"{address}: object stores need the extra `s3`; pip install 'tokenmill[s3]'") from error
    # Whether HTTPS is used is what the endpoint says, which is https:// unless the user names another.
    about: ClientConfig = {"timeout": "10m", "read_timeout": "30s", "connect_timeout": "5s", "allow_http": True}
    backoff: BackoffConfig = {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=10), "base": 4}
    retry: RetryConfig = {"max_retries": 12, "retry_timeout": timedelta(seconds=90), "backoff": backoff}
    if not patient:
        about |= {"timeout": "10s", "read_timeout": "5s", "connect_timeout": "3s"}
        retry |= {"max_retries": 2, "retry_timeout": timedelta(seconds=8)}
    prefix = address.prefix or None
    client: AnyClient
    try:
        if address.scheme == "s3":
            checked: Any = {"checksum_algorithm": "SHA256"}
            client = S3Store(address.bucket, prefix=prefix, config=checked, client_options=about, retry_config=retry)
        elif address.scheme == "gs":
            client = GCSStore(address.bucket, prefix=prefix, client_options=about, retry_config=retry)
        else:
            client = AzureStore(address.bucket, prefix=prefix, client_options=about, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise ConfigError(f"{address}: {faults.words(error, address)}") from None
    return ObjectStore(address, client)


def _found(meta: Any) -> StoredObject:
    changed = int(meta["last_modified"].timestamp() * 1e9)
    return StoredObject(key=meta["path"], bytes=meta["size"], etag=meta["e_tag"], version=meta["version"], changed_ns=changed)


def _removed(delete: Callable[..., Any], client: Any, keys: list[str]) -> None:
    try:
        delete(client, keys)
    except FileNotFoundError:
        # Some stores say so of one that is gone already; then the others go one by one.
        for key in keys:
            try:
                delete(client, key)
            except FileNotFoundError:
                continue
