"""Writing answers: compact JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

encode = msgspec.json.Encoder().encode

_MEDIA_TYPE = b"application/json"


class JSON(Response):
    """A JSON answer, encoded by msgspec. The names of its headers are in small letters."""

    media_type = _MEDIA_TYPE.decode()

    def render(self, content: Any) -> bytes:
        return encode(content)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        # The framework looks which of these were given; they never are.
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), (b"content-type", _MEDIA_TYPE)]
        if headers:
            self.raw_headers += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
