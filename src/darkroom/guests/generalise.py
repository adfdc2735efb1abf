"""The appliance's task that makes an installed Linux system ready to become many machines."""

import re
from collections.abc import Sequence

from darkroom.guests.appliance import task_archive
from darkroom.guests.trees import own_file

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")


def generalise_task(accounts: Sequence[str]) -> bytes:
    """Return the task archive that takes away what belongs to one machine or person, and `accounts` with their homes.

    Raises ValueError for a name that no account can have.
    """
    for name in accounts:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name that an account can have")
    names = "".join(f"{name}\n" for name in accounts)
    return task_archive(own_file("task", "generalise.sh"), {"accounts": names.encode()})
