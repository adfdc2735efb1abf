"""Processes that the bench starts, and ends."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PATIENCE = 60


class PeerFailed(Exception):
    """A peer did not start; the message is what it said."""


@contextmanager
def announced(command: Sequence[str | Path], log: Path) -> Iterator[str]:
    """Run a program that prints its endpoint once it listens; yield that, and end the program afterwards."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        if not endpoint:
            raise PeerFailed(log.read_text(errors="replace")[-2000:])
        yield endpoint
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def resident_kib(pid: int) -> int:
    """Return how much memory a process has in RAM, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
