"""The service's HTTP API as the command uses it: signed requests, and every error as one clear sentence."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

import httpx2

from darkroom.cli.failures import Failure, NoService, Refusal
from darkroom.wire.signing import sign

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

#: Seconds. A request that moves an image may be silent for long while the service checks and stores the disk.
CONNECT_TIMEOUT, ANSWER_TIMEOUT, STORE_TIMEOUT = 5.0, 30.0, 3600.0
#: Seconds after which a stream counts as broken: the service says every 15 that it is still there.
SILENCE = 45.0
#: Seconds that the service gets to agree to the end of a WebSocket.
FAREWELL = 2.0
PAGE = 100

_SILENT = (
    "Does the service still run, and is it the one that listens there? Look into its log, and at `darkroom doctor`."
)
_USABLE = "Name the service as in http://127.0.0.1:8774."
_HINTS = {
    401: "Are these the credentials of this service? Choose others with --credentials. "
    "If the message speaks of time, set this machine's clock.",
    429: "Too many requests; wait a little and try again.",
}


class Signature(httpx2.Auth):
    """Signs each request with an AK/SK pair; a body that is streamed goes unsigned, as the contract allows."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key, self._secret_key = access_key, secret_key

    def sync_auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:  # type: ignore[override]
        streamed = request.headers.get("content-type") == "application/octet-stream"
        signed = sign(
            request.method,
            str(request.url),
            request.headers,
            b"" if streamed else request.read(),
            access_key=self._access_key,
            secret_key=self._secret_key,
            unsigned_payload=streamed,
        )
        request.headers.update(signed)
        yield request


class Api:
    """One service, one project. `{project}` in a path stands for the project's id."""

    def __init__(
        self,
        endpoint: str,
        *,
        access_key: str = "",
        secret_key: str = "",
        project_id: str = "",
        patience: float = ANSWER_TIMEOUT,
    ) -> None:
        self.endpoint, self.project_id, self._patience = endpoint, project_id, patience
        self._signature = Signature(access_key, secret_key) if access_key else None
        self._client = httpx2.Client(
            base_url=endpoint,
            auth=self._signature,
            headers={"X-Project-Id": project_id} if project_id else {},
            timeout=self._limits(),
            verify=endpoint.startswith("https:"),  # reading the system's certificates takes longer than most requests
            trust_env=not _is_loopback(endpoint),  # a proxy for the outside cannot reach this machine's own services
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        patience: float | None = None,
        **query: Any,
    ) -> Any:
        """Send one request and return the decoded JSON of its answer, or None for an empty one.

        The answer may take `patience` seconds; by default as long as any.
        """
        with self._asking():
            answer = self._client.request(
                method,
                path.format(project=self.project_id),
                params={name: value for name, value in query.items() if value is not None} or None,
                json=body,
                headers=headers,
                timeout=self._limits(read=patience or self._patience),
            )
        self._must_be_good(answer)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise self._foreign(answer) from None

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, **query)

    def items(self, path: str, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        """Return all objects of one of the contract's paged lists, or the first `limit`."""
        found: list[dict[str, Any]] = []
        while limit is None or len(found) < limit:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self.get(path, **query, offset=len(found), limit=size)["items"]
            found += page
            if len(page) < size:
                break
        return found

    def images(self) -> list[dict[str, Any]]:
        """Return every image that the project may see."""
        found: list[dict[str, Any]] = []
        marker: str | None = None
        while True:
            page = self.get("/v2/images", limit=PAGE, marker=marker)
            found += page["images"]
            if not page.get("next") or not page["images"]:
                return found
            marker = page["images"][-1]["id"]

    def upload(self, path: str, chunks: Iterable[bytes], size: int) -> None:
        """Send `size` bytes. Raises Failure if the file turns out to be of another size."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        limits = self._limits(read=STORE_TIMEOUT, write=STORE_TIMEOUT)
        with self._asking():
            answer = self._client.put(
                path.format(project=self.project_id), content=chunks, headers=headers, timeout=limits
            )
        self._must_be_good(answer)

    @contextmanager
    def download(self, path: str) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield the size (0: not known) and the bytes of what is at `path`."""
        with self._asking(), self._client.stream("GET", path.format(project=self.project_id)) as answer:
            if answer.is_error:
                answer.read()
            self._must_be_good(answer)
            yield int(answer.headers.get("content-length", 0)), answer.iter_bytes()

    @contextmanager
    def socket(self, path: str) -> "Iterator[ClientConnection]":
        """Yield a WebSocket that is open to what is at `path`. Raises NoService or Refusal."""
        from websockets import exceptions  # not above: few commands need it
        from websockets.sync.client import connect

        request = self._client.build_request("GET", path.format(project=self.project_id))
        if self._signature:
            next(self._signature.sync_auth_flow(request))
        signed = {name: request.headers[name] for name in request.headers if name.startswith(("x-", "authorization"))}
        url = request.url.copy_with(scheme={"http": "ws", "https": "wss"}[request.url.scheme])
        proxy: Literal[True] | None = None if _is_loopback(self.endpoint) else True
        with ExitStack() as opened:
            try:
                line = opened.enter_context(
                    connect(
                        str(url),
                        additional_headers=signed,
                        proxy=proxy,
                        compression=None,
                        open_timeout=ANSWER_TIMEOUT,
                        close_timeout=FAREWELL,
                    )
                )
            except exceptions.InvalidStatus as error:
                raw = error.response
                answer = httpx2.Response(
                    raw.status_code,
                    headers=list(raw.headers.raw_items()),
                    content=bytes(raw.body or b""),
                    request=request,
                )
                self._must_be_good(answer)
                raise self._foreign(answer) from error
            except (exceptions.WebSocketException, OSError) as error:
                raise NoService(
                    f"No WebSocket could be opened at {self.endpoint} ({_reason(error)}).",
                    hint="Is the service running, and does a proxy in between let WebSockets pass?",
                ) from error
            yield line

    @contextmanager
    def events(self, path: str, after: int | None) -> Iterator[Iterator[tuple[int, str, str]]]:
        """Yield the number, kind and data of each event of a stream, as they come, after the one of that number.

        The first has neither kind nor data: it says after which one the stream begins.
        """
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        limits = self._limits(read=SILENCE)
        where = path.format(project=self.project_id)
        with self._asking(), self._client.stream("GET", where, headers=headers, timeout=limits) as answer:
            if answer.is_error:
                answer.read()
            self._must_be_good(answer)
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise self._foreign(answer)
            yield _events(answer.iter_lines())

    def _limits(self, **more: float) -> httpx2.Timeout:
        return httpx2.Timeout(self._patience, **{"connect": min(self._patience, CONNECT_TIMEOUT), **more})

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except httpx2.ConnectError as error:
            if "SSL" in str(error):
                raise NoService(
                    f"No TLS connection to {self.endpoint} comes about ({_reason(error)}).",
                    hint="Darkroom itself speaks http://; for https:// put a proxy before it, with a certificate that "
                    "this machine trusts.",
                ) from error
            raise NoService(
                f"Nothing answers at {self.endpoint} ({_reason(error)}).",
                hint="Is the service running? Start it with `darkroom serve`, or name another one with --endpoint.",
            ) from error
        except httpx2.TimeoutException as error:
            raise NoService(f"The service at {self.endpoint} did not answer in time.", hint=_SILENT) from error
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise NoService(f"{self.endpoint} is not a usable endpoint: {error}.", hint=_USABLE) from error
        except httpx2.RequestError as error:
            raise NoService(f"The connection to {self.endpoint} broke: {_reason(error)}.", hint=_SILENT) from error

    def _must_be_good(self, answer: httpx2.Response) -> None:
        if answer.is_success:
            return
        try:
            body = answer.json()
            inner = body.get("error") or {"code": body["error_code"], "message": body["error_msg"]}
            code, message = str(inner["code"]), str(inner["message"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._foreign(answer) from None
        raise Refusal(
            f"{message} ({code})", status=answer.status_code, code=code, hint=_HINTS.get(answer.status_code, ""),
            trace=_trace(answer),
        )  # fmt: skip

    def _foreign(self, answer: httpx2.Response) -> Failure:
        kind = answer.headers.get("content-type", "no content type").split(";")[0]
        return NoService(
            f"What answers at {self.endpoint} does not speak Darkroom's API ({answer.status_code}, {kind}).",
            hint="Is another program listening on that port, or a proxy in between?",
            trace=_trace(answer),
        )


def _events(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Read server-sent events (WHATWG HTML, 9.2) as far as the service makes use of them."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line and "id" in fields:
            yield int(fields.pop("id")), fields.pop("event", ""), fields.pop("data", "")


def _trace(answer: httpx2.Response) -> str:
    request_id = answer.headers.get("x-request-id", "none")
    return f"{answer.request.method} {answer.request.url} -> {answer.status_code}, request id {request_id}"


def _reason(error: Exception) -> str:
    text = str(error).split("] ")[-1]
    return (text[:1].lower() + text[1:]).rstrip(".") or type(error).__name__


def _is_loopback(endpoint: str) -> bool:
    host = httpx2.URL(endpoint).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
