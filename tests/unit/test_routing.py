"""Routes are found by the shape of a path: the same ones that trying all of them would find."""

from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Match

from darkroom.app import Service
from darkroom.http.routing import Crossroads
from darkroom.settings import Settings

AWKWARD = (
    "", "/", "//", "/v1", "/v1/", "/v1//image-server-jobs", "/v1/p/image-server-jobs/",
    "/v1/p/image-server-jobs/events",
    "/v1/p/image-server-jobs/~", "/v1/image-servers/image-server-jobs", "/v1/p/image-server-jobs/j/events/more",
    "/console/static/a/b/c", "/console/no/such/page", "/console", "/v3", "/v3/", "/elsewhere", "/v1" + "/x" * 500,
)  # fmt: skip


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[BaseRoute]:
    """All routes of the service."""
    data: Path = tmp_path_factory.mktemp("routes")
    return list(Service(Settings(data=data, driver="simulated")).application().routes)


def matching(routes: tuple[BaseRoute, ...] | list[BaseRoute], path: str, kind: str) -> list[BaseRoute]:
    scope = {"type": kind, "path": path, "root_path": "", "method": "GET", "headers": [(b"accept", b"text/html")]}
    return [route for route in routes if route.matches(dict(scope))[0] is not Match.NONE]


def test_every_route_is_found_as_if_all_were_tried(routes: list[BaseRoute]) -> None:
    crossroads = Crossroads(routes)
    templates = [str(getattr(route, "path", "")) for route in routes]
    paths = [template.replace("{", "").replace("}", "").replace(":path", "") for template in templates]
    for path in (*paths, *AWKWARD):
        for kind in ("http", "websocket"):
            assert matching(crossroads.at(path), path, kind) == matching(routes, path, kind), (kind, path)
    assert all(matching(crossroads.at(path), path, "http") + matching(crossroads.at(path), path, "websocket")
               for path in paths)  # fmt: skip


def test_few_routes_are_tried(routes: list[BaseRoute]) -> None:
    assert len(Crossroads(routes).at("/v1/project/image-server-jobs/job")) == 1
