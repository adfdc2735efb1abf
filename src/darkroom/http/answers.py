"""Writing answers: compact JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

encode = msgspec.json.Encoder().encode


class JSON(Response):
    """A JSON answer, encoded by msgspec. The names of its headers are in small letters."""

    media_type = "application/json"
    background = None

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        # Not by the framework's constructor: it looks for what is never given here.
        self.status_code = status_code
        self.body = encode(content)
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), (b"content-type", b"application/json")]
        for name, value in (headers or {}).items():
            self.raw_headers.append((name.encode(), value.encode("latin-1")))
