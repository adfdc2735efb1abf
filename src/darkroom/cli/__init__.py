"""The `darkroom` command: runs the service, and speaks to it by its HTTP API only."""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from darkroom import __version__
from darkroom.cli import (
    accounts,
    apps,
    doctor,
    images,
    jobs,
    keys,
    kit,
    machines,
    output,
    projects,
    roles,
    serve,
    users,
    webhooks,
)
from darkroom.cli.failures import ExitCode, Failure
from darkroom.cli.session import Session
from darkroom.errors import DarkroomError


class _Group(TyperGroup):
    """Turns every exception of a command into one clear message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as failure:
            _explain(failure, verbose=bool(ctx.params.get("verbose")))
            raise typer.Exit(failure.exit_code) from failure
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except (DarkroomError, OSError) as error:
            _explain(Failure(str(error)), verbose=bool(ctx.params.get("verbose")))
            raise typer.Exit(ExitCode.FAILED) from error


app = typer.Typer(
    name="darkroom",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make golden images: boot an image server, install applications on it, capture its disk as a new image.",
    epilog="Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 wait timed out, 4 no service, 130 broken off.",
)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(images.app, name="images")
app.add_typer(machines.app, name="servers")  # the commands of `servers`, too
app.add_typer(apps.app, name="apps")
app.add_typer(jobs.app, name="jobs")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(kit.app, name="kit")
app.add_typer(accounts.app, name="accounts")
app.add_typer(projects.app, name="projects")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(roles.app, name="roles")


def _print_version(wanted: bool) -> None:
    if wanted:
        output.say(f"darkroom {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(envvar="DARKROOM_DATA", help="The service's folder.", show_default="the user's data folder"),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(envvar="DARKROOM_ENDPOINT", metavar="URL", help="The service.", show_default="the one of --data"),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            envvar="DARKROOM_CREDENTIALS", help="File that says who asks.", show_default="credentials.json in --data"
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more about errors: request ids.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    ctx.obj = Session(data=data, endpoint=endpoint, credentials=credentials, verbose=verbose)
    ctx.call_on_close(ctx.obj.close)


def _explain(failure: Failure, *, verbose: bool) -> None:
    output.note(Text.assemble(("Error: ", "bold red"), failure.message))
    if failure.hint:
        output.note(failure.hint)
    if verbose and failure.trace:
        output.note(failure.trace)
    if verbose and not failure.trace and failure.__cause__:
        output.note(f"{type(failure.__cause__).__name__}: {failure.__cause__}")


def main() -> None:
    """Run the command; whatever happens, the user sees no traceback unless --verbose asks for it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _leave)
    try:
        try:
            app(prog_name="darkroom")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:
        if {"-v", "--verbose"} & set(sys.argv[1:]):
            traceback.print_exc()
        output.note(f"Error: darkroom met something it did not expect: {type(error).__name__}: {error}")
        output.note("Please report this, with what `darkroom --verbose …` prints.")
        sys.exit(ExitCode.FAILED)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _silence() -> None:
    """Nobody reads any more: keep the interpreter from complaining when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
