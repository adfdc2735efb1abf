"""The `darkroom` command, run in this process against a service's data folder."""

from service_process import Service
from typer.testing import CliRunner, Result

from darkroom.cli import app


def command(service: Service, *words: str) -> Result:
    """Run it with these words, on a terminal that is wide enough for every table."""
    return CliRunner().invoke(app, ["--data", str(service.data), *words], env={"COLUMNS": "200"})
