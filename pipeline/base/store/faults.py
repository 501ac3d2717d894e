"""What an error of obstore's means: whether to try again, and what to say of it.

Purpose: the library has one error for all that is none of an operation's answers, and tells it by the answer's body.
Guarantee: of what the library says, only the HTTP status and the store's own code are told, as the rest can hold names of keys.
Cost: none.
"""

from __future__ import annotations

import re

from tokenmill.pipeline.base.address import Address

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_NO_CREDENTIALS = ("169.254.", "computeMetadata", "/latest/api/token", "token request", "Account must be specified")
"""Signs that the library found no credentials, and then asked the metadata address of the machine, or nobody."""
_RETRIED = re.compile(r"after [1-9]\d* retries")
_LOST = re.compile(r"error (?:sending|decoding)|timed? ?out|connection|body", re.IGNORECASE)


class Cut(Exception):
    """An answer had fewer bytes than it promised."""


def is_lost(error: BaseException) -> bool:
    """Whether an answer was cut or lost on the way, or the store was busy."""
    said = str(error)
    if isinstance(error, Cut):
        return True
    status = _STATUS.search(said)
    if status is not None:
        return int(status[1]) >= 500
    # Where nobody answers, the library has tried for as long as it may.
    return _LOST.search(said) is not None and _RETRIED.search(said) is None


def words(error: BaseException, address: Address) -> str:
    """What to say of an error of the library: what happened, and what to do."""
    said = str(error)
    status, code = _STATUS.search(said), _CODE.search(said)
    told = ", ".join(part[1] for part in (status, code) if part is not None)
    credentials = {"s3": "AWS_ACCESS_KEY_ID", "gs": "GOOGLE_APPLICATION_CREDENTIALS", "az": "AZURE_STORAGE_ACCOUNT_NAME"}
    name = credentials[address.scheme]
    if any(sign in said for sign in _NO_CREDENTIALS):
        return f"there are no credentials for it; set {name} and those beside it, or give this machine a role"
    if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError") or (status and status[1] in ("401", "403")):
        return f"access is refused ({told or 'no code'}); check the rights of the credentials, as {name} names them"
    if "InvalidPath" in type(error).__name__:
        return "holds an object whose key has an empty part or dots alone as a part, which no file can have; rename it there"
    if code is not None and code[1] == "NoSuchBucket":
        return f"there is no bucket {address.bucket!r}; make it, or check the name and the endpoint"
    if told:
        return f"the store answered {told}; try again later, or look there"
    return "the store cannot be reached, or its answers are cut; check the network and the endpoint, and run the command again"
