"""Moving files between this machine and the service, and showing how far it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

from darkroom.cli import output
from darkroom.cli.client import Api
from darkroom.cli.failures import Failure, NoService, Refusal

CHUNK = 2**20
#: How often, and seconds apart, the record of a failed upload is tried to be deleted.
TRIES, PAUSE = 20, 0.25


@contextmanager
def open_file(file: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Lend an ordinary file that is not empty, and its size. Raises Failure."""
    try:
        with file.open("rb") as disk:
            size = file.stat().st_size
            if not file.is_file() or not size:
                raise Failure(f"{file} is {'empty' if file.is_file() else 'no ordinary file'}.")
            yield disk, size
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror or error}.") from error


def take_back(api: Api, path: str) -> bool:
    """Delete the record of an upload that failed; say whether it has gone.

    The service may need a moment to see that no more bytes come.
    """
    for _ in range(TRIES):
        try:
            api.call("DELETE", path)
        except NoService:
            break
        except Refusal as refusal:
            if refusal.status == 404:
                return True
            time.sleep(PAUSE)
        else:
            return True
    return False


class _Speed(ProgressColumn):
    """How fast it goes, in the same units as everything else."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{output.size(int(speed))}/s" if speed else "")


class _Advance:
    """Told how many bytes have been moved."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def __call__(self, count: int) -> None:
        self._progress.advance(self._task, count)


@contextmanager
def transfer(what: str, size: int) -> Iterator[_Advance]:
    """Show a transfer on the terminal; what is lent is called with the number of bytes moved."""
    console = output.err()
    columns = (BarColumn(bar_width=30), DownloadColumn(binary_units=True), _Speed(), TimeRemainingColumn())
    shown = console.is_terminal
    with Progress("{task.description}", *columns, console=console, transient=True, disable=not shown) as progress:
        yield _Advance(progress, progress.add_task(what, total=size or None))


def pieces(disk: BinaryIO, advance: _Advance) -> Iterator[bytes]:
    """Yield a file in chunks, and tell of each once it is taken."""
    while chunk := disk.read(CHUNK):
        yield chunk
        advance(len(chunk))
