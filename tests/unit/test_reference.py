"""The pages of the reference say what the code says."""

import subprocess
import sys
from pathlib import Path

import pytest
from starlette.routing import Route

from darkroom.app import Service
from darkroom.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_pages_are_those_that_the_code_makes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_route_has_its_place_in_the_reference_of_the_api(tmp_path: Path) -> None:
    service = Service(Settings(data=tmp_path, driver="simulated"))
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")

    routes = [route for route in service.application().routes if isinstance(route, Route)]
    routes = [route for route in routes if not route.path.startswith("/console")]  # pages for people, not the API
    told = {f"`{method} {route.path}`" for route in routes for method in (route.methods or set()) - {"HEAD"}}

    service.store.close()
    assert routes
    assert [line for line in sorted(told) if line not in page] == []


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md")), ids=lambda path: path.name
)
def test_links_between_the_pages_lead_to_files(page: Path) -> None:
    targets = [part.split(")")[0].split("#")[0] for part in page.read_text(encoding="utf-8").split("](")[1:]]
    local = [target for target in targets if target and "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []
