"""Completion of ids and names by asking the service. Where nothing can be asked it offers nothing, and says nothing."""

import io
import re
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import typer

from darkroom.cli import output
from darkroom.cli.client import Api
from darkroom.cli.session import Session

#: Seconds that somebody who pressed the tab key is kept waiting at most.
PATIENCE = 1.5
#: Offered at most, the newest.
MOST = 100
#: A name that no shell would break in two.
_WORD = re.compile(r"[\w.+@-]+")

#: The root options that say whom to ask.
_GIVEN = ("data", "endpoint", "credentials")

Offer = tuple[str, str]
Complete = Callable[[typer.Context, str], list[Offer]]


def _completing(ask: Callable[[Api], Iterable[Offer]]) -> Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        given = {name: value for name, value in ctx.find_root().params.items() if name in _GIVEN}
        session = Session(**given)
        try:
            with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
                found = list(ask(session.api(patience=PATIENCE)))
        except Exception:  # an error in the middle of a command line that is being typed helps nobody
            return []
        finally:
            session.close()
        return [(value, output.visible(meaning)) for value, meaning in found if value.startswith(incomplete)]

    return complete


def _named(found: Iterable[dict[str, Any]]) -> Iterable[Offer]:
    """Offer things by their names, and by their ids."""
    for each in found:
        if _WORD.fullmatch(each["name"]):
            yield each["name"], f"{each['status']} {each['id']}"
        yield each["id"], f"{each['status']} {each['name']}"


def _jobs(api: Api) -> Iterable[Offer]:
    for job in api.items("/v1/{project}/image-server-jobs", job_type="", limit=MOST):
        yield job["id"], f"{job['job_type']} {job['status']}"


def _webhooks(api: Api) -> Iterable[Offer]:
    for webhook in api.items("/v1/{project}/webhooks", limit=MOST):
        yield webhook["id"], webhook["url"]


jobs = _completing(_jobs)
webhooks = _completing(_webhooks)
servers = _completing(lambda api: _named(api.items("/v1/{project}/image-servers", limit=MOST)))
images = _completing(lambda api: _named(api.images()))
