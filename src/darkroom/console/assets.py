"""Files that pages load: our own, and those that `tools/vendor.py` takes from npm."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from darkroom.console.headers import secure

PATH: Final = "/console/static"
FOLDER: Final = Path(__file__).parent / "static"


def are_whole() -> bool:
    """Tell whether what comes from npm is there."""
    return all((FOLDER / "vendor" / name).exists() for name in ("htmx", "xterm", "novnc"))


@cache
def asset(name: str) -> str:
    """Return the URL of a file; it changes with the file, so that no browser goes on with an old one."""
    return f"{PATH}/{name}?v={sha256((FOLDER / name).read_bytes()).hexdigest()[:12]}"


def routes() -> list[BaseRoute]:
    return [Mount(PATH, _Files(directory=FOLDER))]


class _Files(StaticFiles):
    """Serves files; browsers keep them, but ask whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["cache-control"] = "no-cache"
        secure(answer.headers)
        return answer
