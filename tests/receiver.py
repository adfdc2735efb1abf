"""A receiver of webhooks: a process of its own that writes down what it is sent, and misbehaves where the path says so.

`/ok`, `/slow` (takes half a second), `/once` (500 for the first attempt of a message), `/hang`, `/close`, `/redirect`,
`/cookie`, `/gone`, `/fail`, `/large`.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook


class Receiver:
    """What a receiver's process wrote down."""

    def __init__(self, url: str, written: Path) -> None:
        self.url, self._written = url, written

    def requests(self, path: str) -> list[dict[str, Any]]:
        """Return what came to a path, in its order: `headers` and `body`."""
        lines = self._written.read_text().splitlines() if self._written.exists() else []
        return [request for request in map(json.loads, lines) if request["path"] == path]

    def ids(self, path: str) -> list[str]:
        return [request["headers"]["webhook-id"] for request in self.requests(path)]

    def events(self, path: str, secret: str) -> list[dict[str, Any]]:
        """Return the events that came to a path. Raises WebhookVerificationError unless all are signed as agreed."""
        return [Webhook(secret).verify(each["body"], each["headers"]) for each in self.requests(path)]


@contextmanager
def receiving(folder: Path) -> Iterator[Receiver]:
    """Run a receiver on a free port of 127.0.0.1."""
    written = folder / "received"
    process = subprocess.Popen([sys.executable, __file__, str(written)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield Receiver(f"http://127.0.0.1:{process.stdout.readline().strip()}", written)
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


class _Handler(BaseHTTPRequestHandler):
    seen: set[str] = set()  # noqa: RUF012

    def do_GET(self) -> None:
        self._write_down("")
        self._answer(200)

    def do_POST(self) -> None:
        self._write_down(self.rfile.read(int(self.headers["Content-Length"])).decode())
        message = self.headers["webhook-id"]
        match self.path:
            case "/slow":
                time.sleep(0.5)
                self._answer(204)
            case "/once":
                self._answer(204 if message in self.seen else 500, b"not yet")
                self.seen.add(message)
            case "/hang":
                time.sleep(60)
            case "/close":
                self.close_connection = True
            case "/redirect":
                self._answer(307, location="/ok")
            case "/cookie":
                self._answer(204, **{"Set-Cookie": "session=secret; Path=/"})
            case "/gone":
                self._answer(410)
            case "/fail":
                self._answer(503, b"broken")
            case "/large":
                self._answer(200, b"x" * 100_000)
            case _:
                self._answer(204)

    def _write_down(self, body: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        with Path(sys.argv[1]).open("a") as file:
            file.write(json.dumps({"path": self.path, "headers": headers, "body": body}) + "\n")

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
