"""AK/SK request signatures, algorithm `SDK-HMAC-SHA256` (contract section 12.1), for the server and for our own client.

The server's order of work: `is_signature`, `parse_authorization`, `headers_of`, `signed_date`, `check_date`, then the
key's secret from the records, `body_hashes`, `verify`. Every refusal is an Unauthenticated, with the tail of contract
section 9.1 where there is one. The client's side is one call, `sign`.

Paths and queries are the raw, percent-encoded bytes of the request line. Where a header or an escape is not UTF-8, its
bytes are kept as they are: in the canonical text they stand as surrogate escapes.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

import msgspec

from darkroom.domain import times
from darkroom.errors import Unauthenticated

#: Values, trimmed, in their order, by names in small letters.
Headers = Mapping[bytes, Sequence[bytes]]

ALGORITHM: Final = "SDK-HMAC-SHA256"
#: The body hash of a request whose body is not signed.
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
EMPTY_HASH: Final = hashlib.sha256().hexdigest()
#: How far a signature's date may lie from the server's, in seconds.
MAX_SKEW_S: Final = 15 * 60

_DATE_HEADER: Final = "x-sdk-date"
_CONTENT_HEADER: Final = "x-sdk-content-sha256"
_DATE_NAME: Final = _DATE_HEADER.encode()
_CONTENT_NAME: Final = _CONTENT_HEADER.encode()
#: Beginnings of every algorithm's name that the vendor's SDKs can be configured to send.
_FAMILIES: Final = ("SDK-", "V11-")
_SHAPE: Final = "it needs Access, SignedHeaders and at last Signature, once each"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ECHO_LIMIT: Final = 2000
#: Dates, signers and keys that are kept prepared: requests of one second, or of one client, have the same.
_KEPT: Final = 256
#: Characters of a signer at most: anybody may send one, and it is kept before its signature is looked at.
_SIGNER_LIMIT: Final = 4096
#: Headers our own client signs when a request has them.
_CLIENT_SIGNS: Final = {"content-type", "x-project-id", "x-domain-id", "x-security-token"}

_ACCESS: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_HEX_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z")


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """An `Authorization` header taken apart: the AK, the signed headers' names in their order, the signature in hex."""

    access: str
    signed_headers: tuple[str, ...]
    signature: str


def is_signature(value: str) -> bool:
    """Tell whether an `Authorization` header means to be a signature of this scheme, if perhaps a wrong one."""
    return value.startswith(_FAMILIES)


def parse_authorization(value: str) -> Authorization:
    """Take an `Authorization` header apart. Raises Unauthenticated if it is malformed or of another algorithm."""
    algorithm, _, rest = value.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise Unauthenticated(f"only {ALGORITHM} signatures are accepted")
    signer, _, last = rest.rpartition(",")
    if len(signer) > _SIGNER_LIMIT:
        raise _malformed(f"AK and names of headers are longer than {_SIGNER_LIMIT} characters")
    name, _, made = last.strip().partition("=")
    if name != "Signature":
        raise _malformed(_SHAPE)
    if not _HEX_DIGEST.fullmatch(made):
        raise _malformed("Signature is not 64 lowercase hexadecimal digits")
    access, names = _signer(signer)
    return Authorization(access=access, signed_headers=names, signature=made)


@lru_cache(maxsize=_KEPT)
def _signer(text: str) -> tuple[str, tuple[str, ...]]:
    """Return AK and names of signed headers: of all that a client sends, what is the same each time."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    members = {name: value for name, _, value in pairs}
    if len(pairs) != 2 or members.keys() != {"Access", "SignedHeaders"}:
        raise _malformed(_SHAPE)
    access, names = members["Access"], tuple(members["SignedHeaders"].split(";"))
    if not _ACCESS.fullmatch(access):
        raise _malformed("Access is not an access key")
    if not all(map(_HEADER_NAME.fullmatch, names)):
        raise _malformed("SignedHeaders are not lowercase names joined by ;")
    if len(set(names)) != len(names):  # a repeated name would let a small request ask for a huge canonical one
        raise _malformed("SignedHeaders has a name twice")
    if _DATE_HEADER not in names:
        raise Unauthenticated(f"{_DATE_HEADER} is not among the SignedHeaders")
    return access, names


def _malformed(why: str) -> Unauthenticated:
    return Unauthenticated(f"authorization header malformed: {why}")


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return headers, which an ASGI scope holds as pairs, by their names."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        headers.setdefault(name.lower(), []).append(value.strip())
    return headers


def signed_date(headers: Headers) -> str:
    """Return the value of the one `X-Sdk-Date` header. Raises Unauthenticated if there is none, or several."""
    dates = headers.get(_DATE_NAME, ())
    if len(dates) != 1:
        raise Unauthenticated(f"{_DATE_HEADER} header {'repeated' if dates else 'not found'}")
    return _text(dates[0])


def check_date(date: str, now_ms: int) -> None:
    """Refuse a date that is malformed or more than 15 minutes from now, with whole seconds compared."""
    now_s = now_ms // 1000
    if abs(_seconds(date) - now_s) > MAX_SKEW_S:
        raise Unauthenticated(
            f"calc aksk signature fail:signature expired, signature time:{date},server time:{format_date(now_ms)}"
        )


@lru_cache(maxsize=_KEPT)
def _seconds(date: str) -> int:
    match = _DATE.fullmatch(date)
    try:
        year, month, day, hour, minute, second = map(int, match.groups() if match else ())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise Unauthenticated(f"calc aksk signature fail:{_DATE_HEADER} is not of the form YYYYMMDDTHHMMSSZ") from None
    return (moment - _EPOCH) // timedelta(seconds=1)


def format_date(now_ms: int) -> str:
    """Return a time in milliseconds as an `X-Sdk-Date` value, fractions of a second cut off."""
    return (_EPOCH + timedelta(milliseconds=now_ms)).strftime("%Y%m%dT%H%M%SZ")


def body_hashes(headers: Headers, body: bytes | None) -> tuple[str, ...]:
    """Return the body hashes a client may have signed, the likeliest first; `body` is None if it is yet to be read.

    That is the body's own hash, unless `X-Sdk-Content-Sha256` stands in for it. With that header and an empty body the
    vendor's Python signer uses the hash of nothing and the Go one the header: both are returned. A header that is
    neither `UNSIGNED-PAYLOAD` nor the body's hash is refused, or else anyone could swap the body of a signed request
    and add the old body's hash as that header. A body yet to be read can only be an unsigned one.
    """
    declared = set(map(_text, headers.get(_CONTENT_NAME, ())))
    if declared == {UNSIGNED_PAYLOAD}:
        return (UNSIGNED_PAYLOAD, EMPTY_HASH) if body == b"" else (UNSIGNED_PAYLOAD,)
    if body is None:
        raise Unauthenticated(f"a body sent as a stream needs the header {_CONTENT_HEADER}: {UNSIGNED_PAYLOAD}")
    actual = hashlib.sha256(body).hexdigest() if body else EMPTY_HASH
    if declared - {actual}:
        raise Unauthenticated(f"{_CONTENT_HEADER} is neither the hash of the body nor {UNSIGNED_PAYLOAD}")
    return (actual,)


def canonical_request(
    method: str, raw_path: bytes, raw_query: bytes, headers: Headers, signed_headers: Sequence[str], body_hash: str
) -> str:
    """Return the text that is hashed and signed. Raises Unauthenticated if a signed header is missing."""
    block = "".join(_header_lines(headers, signed_headers))
    names = ";".join(signed_headers)
    return "\n".join((method.upper(), canonical_path(raw_path), canonical_query(raw_query), block, names, body_hash))


def canonical_path(raw_path: bytes) -> str:
    """Return a path decoded as a whole, encoded afresh and ending in `/`; an encoded slash becomes a real one."""
    path = quote_from_bytes(unquote_to_bytes(raw_path))
    return path if path.endswith("/") else path + "/"


def canonical_query(raw_query: bytes) -> str:
    """Return a query's pairs sorted by name and value and encoded afresh.

    A `+` is a blank, as it is to the Go signers and to whoever reads the query after us: what is signed must be what is
    understood. The Python signer sends neither, but `%2B` and `%20`.
    """
    if not raw_query:
        return ""
    pieces = raw_query.replace(b"+", b" ").split(b"&")
    pairs = sorted(_pair(piece) for piece in pieces if piece)
    return "&".join(f"{quote_from_bytes(name, safe='')}={quote_from_bytes(value, safe='')}" for name, value in pairs)


def _pair(piece: bytes) -> tuple[bytes, bytes]:
    name, _, value = piece.partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value)


def _header_lines(headers: Headers, signed_headers: Sequence[str]) -> list[str]:
    lines = []
    for signed in signed_headers:
        values = headers.get(signed.encode())
        if values is None:
            raise Unauthenticated(f"verify aksk signature fail, signed header {signed} not found")
        for value in sorted(values) if len(values) > 1 else values:
            lines.append(f"{signed}:{_text(value)}\n")
    return lines


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def signature(secret: str, date: str, canonical: str) -> str:
    """Return the signature, in lowercase hex, of a canonical request under a secret key."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    made = _begun(secret).copy()
    made.update(f"{ALGORITHM}\n{date}\n{digest}".encode("utf-8", "surrogateescape"))
    return made.hexdigest()


@lru_cache(maxsize=_KEPT)
def _begun(secret: str) -> hmac.HMAC:
    """Return what all signatures under a secret key begin with; it is to be copied."""
    return hmac.new(secret.encode(), digestmod="sha256")


def verify(
    authorization: Authorization,
    secret: str,
    method: str,
    raw_path: bytes,
    raw_query: bytes,
    headers: Headers,
    hashes: Sequence[str],
) -> None:
    """Refuse a request unless its signature was made with `secret` over one of the body hashes (see `body_hashes`).

    The refusal shows the canonical request we computed, at most 2,000 characters of it, so that a client can compare it
    with its own. The date is taken from the headers, and its age is not looked at: `check_date` does that.
    """
    date = signed_date(headers)
    canonicals = [
        canonical_request(method, raw_path, raw_query, headers, authorization.signed_headers, body_hash)
        for body_hash in hashes
    ]
    for canonical in canonicals:
        if hmac.compare_digest(signature(secret, date, canonical), authorization.signature):
            return
    raise Unauthenticated(f"verify aksk signature fail, canonicalRequest:{_echo(canonicals[0])}")


def _echo(canonical: str) -> str:
    readable = canonical.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return readable.replace("\n", "|")[:_ECHO_LIMIT]


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    access_key: str,
    secret_key: str,
    now_ms: int | None = None,
    unsigned_payload: bool = False,
) -> dict[str, str]:
    """Return the headers to add to a request: `Host`, `X-Sdk-Date`, `Authorization` and, where asked for, one more.

    Signed are the host, the date and those of `Content-Type`, `X-Project-Id`, `X-Domain-Id` and `X-Security-Token` that
    the request has. `url` is absolute, with its query, encoded as it will be sent. With `unsigned_payload`, or an
    `X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD` among the headers, the body is left out of the signature.
    """
    given = {name.lower(): value.strip() for name, value in headers.items()}
    unsigned = unsigned_payload or given.get(_CONTENT_HEADER) == UNSIGNED_PAYLOAD
    parts = urlsplit(url)
    added = {
        "Host": given.get("host") or parts.netloc.rpartition("@")[2],
        "X-Sdk-Date": format_date(times.now_ms() if now_ms is None else now_ms),
        **({"X-Sdk-Content-Sha256": UNSIGNED_PAYLOAD} if unsigned else {}),
    }
    kept = {name: value for name, value in given.items() if name in _CLIENT_SIGNS}
    signed = sorted((name.lower(), value) for name, value in {**kept, **added}.items())
    names = [name for name, _ in signed]
    canonical = canonical_request(
        method,
        parts.path.encode(),
        parts.query.encode(),
        headers_of((name.encode(), value.encode()) for name, value in signed),
        names,
        UNSIGNED_PAYLOAD if unsigned else hashlib.sha256(body).hexdigest(),
    )
    made = signature(secret_key, added["X-Sdk-Date"], canonical)
    credentials = f"Access={access_key}, SignedHeaders={';'.join(names)}, Signature={made}"
    return {**added, "Authorization": f"{ALGORITHM} {credentials}"}
