"""Runs the few host programs that building needs, and turns their failures into sentences."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which

from darkroom.guests.errors import GuestBuildError

#: Which Debian or Ubuntu package brings a program that the host must have.
PROVIDERS = {"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg", "qemu-img": "qemu-utils"}


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run `command` and return its standard output; `env` is added to the environment.

    Raises GuestBuildError when the program is missing or fails, with the last lines it wrote.
    """
    program = str(command[0])
    if which(program) is None:
        package = PROVIDERS.get(program, program)
        raise GuestBuildError(f"{program} is not installed: install the package {package} on this host.")
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        said = " / ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise GuestBuildError(f"{Path(program).name} failed with status {done.returncode}: {said or 'it said nothing'}")
    return done.stdout
