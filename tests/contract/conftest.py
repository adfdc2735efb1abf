"""The service under test: one for each file, or one for a test that ends and starts it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_process import Service, served

from browser import Browser, browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that works without taking time. It must end well and have met nothing unexpected."""
    with served(tmp_path_factory.mktemp("service") / "data") as service:
        yield service


@pytest.fixture(scope="module")
def image(service: Service) -> str:
    """An image to start servers from."""
    return service.add_image()


@pytest.fixture
def admin(service: Service) -> Iterator[Browser]:
    """A browser in which the first user is signed in to the console."""
    with browser(service.endpoint) as opened:
        opened.sign_in(*(service.credentials[name] for name in ("account", "user", "password")))
        chosen = opened.submit("/console/project", {"project": service.project_id})  # tests make more of them
        assert chosen.headers["location"] == "/console", chosen.text
        yield opened


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Start services of one's own, for tests that end them."""
    started: list[Service] = []

    def start(**how: Any) -> Service:
        service = Service(tmp_path / f"data-{len(started)}", **how)
        started.append(service)
        service.start()
        return service

    yield start
    for service in started:
        service.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the service's log beside a failure."""
    report: Any = yield
    if report.failed and hasattr(item, "funcargs"):
        for value in item.funcargs.values():
            if isinstance(value, Service) and value.log.exists():
                report.sections.append(("log of the service", value.log_tail()))
    return report
