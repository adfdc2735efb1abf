"""What a person sees: tables, times in the local zone, sizes in MiB and GiB; or the API's objects as JSON.

Results go to standard output; progress, warnings and errors to standard error. Colour and live drawing only on a
terminal, and never with NO_COLOR. Names and answers are of others' making: what in them would steer the terminal is
shown as a sign.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from darkroom.cli.failures import ExitCode, UsageFailure

Json = Annotated[bool, typer.Option("--json", help="Print the API's objects as JSON, and nothing else.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_STYLES = {
    "SUCCESS": "green", "ACTIVE": "green", "BUILT": "green", "active": "green", "DELIVERED": "green",
    "FAILED": "bold red", "ERROR": "bold red", "ABNORMAL": "bold red",
    "RUNNING": "cyan", "CREATING": "cyan", "BUILDING": "cyan", "saving": "cyan",
    "DELETING": "yellow", "ROLLBACK": "yellow", "ABORTING": "yellow", "WAITING": "yellow", "PENDING": "yellow",
    "queued": "yellow",
}  # fmt: skip
#: Wide enough that nothing is folded where a program, not a person, reads the lines.
_PIPE_WIDTH = 400
#: Signs for characters that a terminal obeys: Unicode's pictures of controls; or that turn or break lines unseen.
_SIGNS = {
    **{code: 0x2400 + code for code in range(0x20) if code not in b"\t\n\r"},
    **dict.fromkeys([*range(0x80, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
    0x7F: 0x2421,
    0x0D: None,
}


def out() -> Console:
    """Return the console of standard output."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console of standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return _Console(stderr=stderr, width=width, highlight=False, emoji=False, markup=False)


class _Console(Console):
    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*map(_visible, objects), **how)


def visible(text: str) -> str:
    """Return a text with signs in place of what would steer a terminal. Lines and tabs stay."""
    return text.translate(_SIGNS)


def _visible(shown: Any) -> Any:
    if isinstance(shown, Text):
        shown = shown.copy()
        shown.plain = visible(shown.plain)
    return visible(shown) if isinstance(shown, str) else shown


def is_interactive() -> bool:
    """Tell whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def say(text: str | Text) -> None:
    """Print a result for people."""
    out().print(text, soft_wrap=True)


def note(text: str | Text) -> None:
    """Print a remark that is not the result."""
    err().print(text, soft_wrap=True)


def warn(text: str) -> None:
    note(Text.assemble(("Warning: ", "yellow"), text))


def dump(data: Any) -> None:
    """Print JSON."""
    write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def status(word: str) -> Text:
    return Text(word, _STYLES.get(word, ""))


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, fold: str = "", nothing: str = "") -> None:
    """Print rows under headings; only the column `fold` may be broken into lines. `nothing` is said for no rows."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for heading in headings:
        drawn.add_column(heading, no_wrap=heading != fold, overflow="fold")
    for row in rows:
        drawn.add_row(*(_visible(Text(cell) if isinstance(cell, str) else cell) for cell in row))
    if drawn.row_count:
        console = out()
        with console.capture() as drawing:
            console.print(drawn)
        write("".join(f"{line.rstrip()}\n" for line in drawing.get().splitlines()))
    elif nothing:
        note(nothing)


def details(pairs: Mapping[str, str | Text]) -> None:
    """Print names and values, leaving out what is empty. Values are never broken, so that they can be copied."""
    shown = {name: value for name, value in pairs.items() if value}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        say(Text.assemble((f"{name:<{width}}  ", "bold"), value))


def moment(stamp: str | None) -> datetime | None:
    """Return one of the API's times in the local zone; None for one that is not known."""
    try:
        return datetime.fromisoformat(stamp).astimezone() if stamp else None
    except ValueError:
        return None


def time(stamp: str | None) -> str:
    """Spell a time to the second, in the local zone."""
    then = moment(stamp)
    return f"{then:%Y-%m-%d %H:%M:%S}" if then else ""


def short_time(stamp: str | None) -> str:
    """Spell a time in twelve places: the minute within the last half year, the year before that."""
    then = moment(stamp)
    if not then:
        return ""
    recent = abs(datetime.now().astimezone() - then) < timedelta(days=182)
    return f"{then:%d %b %H:%M}" if recent else f"{then:%d %b %Y}"


def duration(seconds: float) -> str:
    """Spell a duration: 0.4 s, 12.3 s, 3 min 05 s, 1 h 02 min, 3 d 04 h."""
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24:02} h"


def took(begin: str | None, end: str | None) -> str:
    """Spell how long something took; until now if it has not ended."""
    start, stop = moment(begin), moment(end) or datetime.now().astimezone()
    return duration((stop - start).total_seconds()) if start else ""


def size(count: int | None) -> str:
    """Spell a number of bytes in KiB, MiB or GiB."""
    if not count:
        return ""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def write(text: str) -> None:
    """Print text as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def confirm(question: str, going: Sequence[str], *, yes: bool) -> None:
    """Ask before something is lost. Raises UsageFailure where nobody can be asked, ends the command on a no."""
    if yes:
        return
    if not is_interactive():
        raise UsageFailure("Nobody can be asked here whether to delete; say --yes.")
    note("\n".join([question, *(f"  {line}" for line in going)]))
    try:
        agreed = typer.confirm("Go on?", err=True)
    except typer.Abort:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if not agreed:
        note("Nothing was deleted.")
        raise typer.Exit(ExitCode.FAILED)
