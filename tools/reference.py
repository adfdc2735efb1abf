"""Writes the pages of the reference that follow from the code: settings, errors, the command line.

`--check` writes nothing and exits with 1 when a page differs from what the code says.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import typer

from darkroom import errors
from darkroom.cli import app
from darkroom.settings import Settings

FOLDER: Final = Path(__file__).resolve().parent.parent / "docs" / "reference"
_NOTE: Final = "<!-- Written by tools/reference.py (`make docs`). Change the code, not this page. -->\n"


def main() -> int:
    """Write the pages, or with `--check` say which of them are not as they should be."""
    stale = [name for name, page in PAGES.items() if _text(name) != page()]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/reference/{name} differs from the code; run `make docs`.")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/reference/{name} is written.")
    return 0


def settings() -> str:
    """Return the page of all settings."""
    rows = [
        (f"`DARKROOM_{name.upper()}`", f"`{name}`", _default(name), _allowed(schema), schema["description"])
        for name, schema in Settings.model_json_schema()["properties"].items()
    ]
    return _page(
        "Settings",
        "A setting comes from the first of these that has it: an option of `darkroom serve`, the environment variable, "
        "the TOML file that `DARKROOM_CONFIG` (or `darkroom serve --config`) names, the default. In the TOML file the "
        "names are those of the second column, at the top level. A name in that file that is not in this table, or a "
        "value that is not allowed, stops the start with a message that names it.",
        _table(("Variable", "In TOML", "Default", "Allowed", "What it is"), rows),
        "The `darkroom` command itself also reads `DARKROOM_DATA`, `DARKROOM_ENDPOINT` and `DARKROOM_CREDENTIALS`; see "
        "[the command line](cli.md).",
    )


def failures() -> str:
    """Return the page of all errors."""
    tree = [*_tree(errors.DarkroomError)]
    drawing = "\n".join(f"{'   ' * depth}{kind.__name__}" for depth, kind in tree)
    answers = [
        (f"`{kind.__name__}`", str(kind.status), f"`{kind.code}`", _message(kind), kind.cure)
        for _, kind in tree
        if not issubclass(kind, errors.JobFault)
    ]
    faults = [
        (f"`{kind.code}`", f"`{kind.__name__}`", _message(kind), kind.cure)
        for _, kind in tree
        if issubclass(kind, errors.JobFault)
    ]
    return _page(
        "Errors",
        "The tree. `Refused` is for the caller to mend, `Fault` for whoever runs the service.",
        f"```text\n{drawing}\n```",
        "## Answers of the API",
        "Under `/v1/` the body is `{error_code, error_msg}`, and `request_id` with them where the code begins with "
        "`APIGW.`. Under `/v3/` it is `{error: {code, message, title}}` with the HTTP status as the code, under "
        "`/v3.0/` `{error_code, error_msg}` with a code `IAM.00…`, under `/v2/` `{error: {code, message}}` with a code "
        "`IMG.0` and the HTTP status. Every answer has the header `X-Request-Id`. The message here is the "
        "default; most errors say more, such as the name of the field.",
        _table(("Class", "HTTP", "Code", "Cause: the default message", "Cure"), answers),
        "## Faults of jobs",
        "These end a sub-job as `FAILED`. Code and message are then in its `job_execute_info`; the message begins with "
        "the name of the step. Where the same happens outside a job (a full disk during an upload), the answer is 500.",
        _table(("Code", "Class", "Cause: the default message", "Cure"), faults),
    )


def command_line() -> str:
    """Return the page of all commands."""
    command: Any = typer.main.get_command(app)
    return _page(
        "The command line",
        "Options of `darkroom` itself go before the command: `darkroom --data /srv/darkroom servers list`. Results go "
        "to standard output, progress and errors to standard error.",
        *_command("darkroom", command),
    )


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## `{name}`"
    yield " ".join((command.help or "").split()).replace("<", "\\<")
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    members = getattr(command, "commands", None)
    words = [one.metavar or one.name.upper() for one in arguments if one.required]
    words += [one.metavar or f"[{one.name.upper()}]" for one in arguments if not one.required]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *words, *(["COMMAND ..."] if members else [])])
    yield f"```text\n{usage}\n```"
    if arguments:
        rows = [(f"`{one.metavar or one.name.upper()}`", one.help or "") for one in arguments]
        yield _table(("Argument", "What it is"), rows)
    if options:
        yield _table(("Option", "What it does", "Default"), [_option(one) for one in options])
    if epilog := getattr(command, "epilog", None):
        yield epilog
    for member, inner in (members or {}).items():
        yield from _command(f"{name} {member}", inner)


def _option(option: Any) -> tuple[str, str, str]:
    switches = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {option.metavar or _kind(option)}"
    names = ", ".join(f"`{switch}{value}`" for switch in switches)
    help_text = (option.help or "") + (f" Environment: `{option.envvar}`." if option.envvar else "")
    default = str(option.show_default) if isinstance(option.show_default, str) else _spelled(option)
    return names, help_text, "mandatory" if option.required else default


def _kind(option: Any) -> str:
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return {int: "NUMBER", float: "NUMBER", Path: "PATH"}.get(kind, "TEXT")


def _spelled(option: Any) -> str:
    if option.is_flag:
        return "" if not option.secondary_opts else f"`{(option.opts if option.default else option.secondary_opts)[0]}`"
    default = getattr(option.default, "value", option.default)
    return f"`{default}`" if default not in (None, "") else ""


def _tree(kind: type[errors.DarkroomError], depth: int = 0) -> Iterator[tuple[int, type[errors.DarkroomError]]]:
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child, depth + 1)


def _message(kind: type[errors.DarkroomError]) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


def _default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default_factory is None:
        return f"`{field.default}`" if field.default not in ("", None) else "empty"
    factory: Callable[[], Path] = field.default_factory  # type: ignore[assignment]
    with patch.dict(os.environ, {"HOME": "/HOME"}), patch.object(os, "geteuid", return_value=1000):
        for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
            os.environ.pop(variable, None)
        for_others = str(factory()).replace("/HOME", "~")
    with patch.object(os, "geteuid", return_value=0):
        return f"`{for_others}`; as root `{factory()}`"


def _allowed(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most = schema.get("maximum")
    words = {"integer": "whole number", "number": "number"}.get(schema.get("type", ""), "text")
    words = "path" if schema.get("format") == "path" else words
    limits = [f"from {least}"] if least is not None else [f"above {above}"] if above is not None else []
    return " ".join([words, *limits, *([f"to {most}"] if most is not None else [])])


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"{_NOTE}\n# {title}", *(part for part in parts if part)]) + "\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _text(name: str) -> str:
    path = FOLDER / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": settings,
    "errors.md": failures,
    "cli.md": command_line,
}

if __name__ == "__main__":
    sys.exit(main())
