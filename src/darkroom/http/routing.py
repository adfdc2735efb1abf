"""Which routes a path may mean, found without trying all of them one after the other."""

from collections.abc import Sequence
from functools import lru_cache

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

#: Kinds of paths whose routes are remembered.
_KEPT = 1024
#: Stands for a word that is in no route.
_ANY = "~"


class Crossroads:
    """Routes by the shape of their paths: their fixed words, and the places of the others.

    A parameter takes any word but an empty one, or any rest of the path; so which routes match depends on the shape
    alone, of which there are few. Where a path means several routes, they are in the order that they were given in.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = [route for route in routes if isinstance(route, Route | WebSocketRoute | Mount)]
        patterns = [route.path.split("/") for route in self._routes]
        self._fixed = {word: word for words in patterns for word in words if "{" not in word}
        # What is longer than every route is one word: whoever invents paths does not fill the memory by long ones.
        self._depth = max(map(len, patterns), default=0) + 1
        self._alike = lru_cache(maxsize=_KEPT)(self._find)

    def at(self, path: str) -> tuple[BaseRoute, ...]:
        """Return the routes whose paths match, whatever their methods."""
        return self._alike(tuple(map(self._fixed.get, path.split("/", self._depth))))

    def _find(self, shape: tuple[str | None, ...]) -> tuple[BaseRoute, ...]:
        alike = "/".join(_ANY if word is None else word for word in shape)
        return tuple(route for route in self._routes if route.path_regex.match(alike))
