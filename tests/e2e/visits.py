"""What tests in a browser have in common: pages to go to, signing in, and looking at a screen."""

from collections.abc import Callable
from typing import Final

from playwright.sync_api import Page
from service_process import Service

#: Opens a window, and where a path is given a page in it, signed in.
OpenPage = Callable[..., Page]
#: What a browser says of answers that tests ask for.
EXPECTED: Final = ("Failed to load resource", "WebSocket connection")
PAGES: Final = ("jobs", "servers", "servers/new", "images", "apps", "project")


def paths(service: Service, server: str, failed: str) -> list[str]:
    """Return a path of every kind of page."""
    golden = service.server(server)["image_id"]
    more = (
        f"servers/{server}",
        f"servers/{server}/build",
        f"servers/{server}/delete",
        f"servers/{server}/serial",
        f"servers/{server}/screen",
        f"jobs/{failed}",
        f"jobs/{failed}/retry",
        f"images/{golden}",
        f"images/{golden}/delete",
        "nothing",
        "sign-in",
    )
    return [f"/console/{path}" for path in (*PAGES, *more)]


def sign_in(page: Page, service: Service, path: str) -> None:
    """Ask for a page and sign in on the way to it."""
    page.goto(path)
    fill_in(page, service)
    page.wait_for_url(f"**{path}")


def fill_in(page: Page, service: Service) -> None:
    """Fill in the sign-in page, and send it."""
    for name in ("account", "user", "password"):
        page.fill(f"#{name}", service.credentials[name])
    page.click("form[action='/console/sign-in'] button")


def drawn(page: Page) -> None:
    """Wait until the screen shows more than one colour."""
    page.wait_for_function(
        """() => {
          const canvas = document.querySelector("#screen canvas");
          if (!canvas || !canvas.width) return false;
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const first = data.slice(0, 3).join();
          for (let i = 0; i < data.length; i += 4) if (data.slice(i, i + 3).join() !== first) return true;
          return false;
        }"""
    )
