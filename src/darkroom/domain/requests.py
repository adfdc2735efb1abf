"""Requests that may come twice."""

import msgspec


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """The name a caller gave a request, so that it is carried out once however often it comes.

    `fingerprint` tells it from another request of the same name.
    """

    key: str
    fingerprint: str
