"""Requests to addresses that callers of the API named: the service must not be made to reach where they cannot.

The name is resolved here, every address is judged, and the connection is made to one that was judged and to no other: a
name that resolves differently the next moment (DNS rebinding) gains nothing. Redirects are not followed, proxies of the
environment not used, cookies not kept, and of an answer only the beginning is read.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

import httpx2

Address = IPv4Address | IPv6Address

#: Seconds that a request may take in all.
PATIENCE: Final = 10.0
#: Bytes of an answer's body that are read.
PREFIX: Final = 512
#: Names that are resolved at one time, in threads of their own.
_LOOKUPS: Final = 16
_NAT64: Final = IPv6Network("64:ff9b::/96")
#: Where public addresses of IPv6 lie. What is outside is of special use, and may lead to private addresses of IPv4.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")


class Undeliverable(Exception):
    """No answer came, or the address may not be used; the message says why."""


class Answer(NamedTuple):
    """The status of HTTP, and the beginning of the body as text."""

    status: int
    beginning: str


class Outbound:
    """Sends requests; `private_addresses` says whether they may go to others than public addresses."""

    def __init__(self, *, private_addresses: bool) -> None:
        self._private_addresses = private_addresses
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")

    @cached_property
    def _client(self) -> httpx2.AsyncClient:
        # A connection is never used twice: it was made for one name, and another may have the same address.
        limits = httpx2.Limits(max_keepalive_connections=0)
        return httpx2.AsyncClient(
            timeout=PATIENCE,
            limits=limits,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # another project's receiver would get them
            verify=ssl.create_default_context(),  # the host's certificates, to which its owner may have added some
        )

    async def close(self) -> None:
        if "_client" in self.__dict__:
            await self._client.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    def may_reach(self, host: str) -> bool:
        """Say whether a host may be reached as far as its name tells: one that is no address has yet to be resolved."""
        try:
            return self._may_be_used(ip_address(host))
        except ValueError:
            return True

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a POST request and return its answer. Raises Undeliverable."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._post(httpx2.URL(url), headers, body)
        except (TimeoutError, httpx2.TimeoutException):
            raise Undeliverable(f"There was no answer within {PATIENCE:g} seconds.") from None
        except httpx2.ConnectError as error:
            raise Undeliverable(f"No connection came about: {error}") from error
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise Undeliverable(f"The request failed: {str(error) or type(error).__name__}") from error

    async def _post(self, url: httpx2.URL, headers: Mapping[str, str], body: bytes) -> Answer:
        *others, last = await self._addresses(url)
        for address in others:
            try:
                return await self._post_to(address, url, headers, body)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._post_to(last, url, headers, body)

    async def _post_to(self, address: Address, url: httpx2.URL, headers: Mapping[str, str], body: bytes) -> Answer:
        request = self._client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=body,
            headers={**headers, "Host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},  # whose certificate it must be
        )
        answer = await self._client.send(request, stream=True)
        try:
            beginning = b""
            async for chunk in answer.aiter_raw():
                beginning += chunk
                if len(beginning) >= PREFIX:
                    break
        finally:
            await answer.aclose()
        return Answer(answer.status_code, beginning[:PREFIX].decode("utf-8", "replace").replace("\0", ""))

    async def _addresses(self, url: httpx2.URL) -> list[Address]:
        """Return the addresses of a URL's host that may be used. Raises Undeliverable if there are none."""
        host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
        lookup = asyncio.get_running_loop().run_in_executor(
            self._lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        try:
            found = [ip_address(str(place[0]).partition("%")[0]) for *_, place in await lookup]
        except (OSError, UnicodeError) as error:
            raise Undeliverable(f"The name {url.host} is not found: {error}") from None
        usable = [address for address in dict.fromkeys(found) if self._may_be_used(address)]
        if not usable:
            raise Undeliverable(f"{url.host} leads to an address that is not public, which is not allowed here.")
        return usable

    def _may_be_used(self, address: Address) -> bool:
        return self._private_addresses or all(map(_is_public, _meant(address)))


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _NAT64 and address not in _GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast


def _meant(address: Address) -> Iterator[Address]:
    """Yield an address and those of IPv4 that it stands for, which a gateway on the way would turn it into."""
    yield address
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)
        teredo = address.teredo
        yield from filter(None, (address.ipv4_mapped, address.sixtofour, *(teredo or ())))
