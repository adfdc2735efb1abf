"""Lists in pages: which part of a list is shown, and the links to the others."""

from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request

from darkroom.http.parameters import Number

#: Rows of a page.
ROWS: Final = 20
PAGE: Final = Number("page", default=1, least=1, most=1_000_000)


class Listing(msgspec.Struct, frozen=True):
    """One page of a list: which one, of how many rows in all, and the filters that lead to its neighbours."""

    path: str
    filters: dict[str, str]
    page: int
    count: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.count // ROWS))

    def url(self, page: int | None = None, path: str | None = None) -> str:
        """Return the URL of one of its pages, by default of this one."""
        wanted = {name: value for name, value in self.filters.items() if value}
        page = page or self.page
        query = urlencode({**wanted, **({"page": page} if page > 1 else {})})
        return f"{path or self.path}?{query}" if query else path or self.path


def offset_of(request: Request) -> int:
    """Return how many rows come before the wanted page. Raises InvalidParameter."""
    return (PAGE.read(request) - 1) * ROWS
