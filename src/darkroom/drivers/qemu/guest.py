"""Makes an account in a guest, by its agent; the guest's network need not be up for it."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Final

from darkroom.drivers.base import GuestAccount
from darkroom.drivers.qemu.agent import Agent, AgentRefused, AgentSilent, agent
from darkroom.errors import AccountFailed

#: Seconds that making the account may take, of which cloud-init may need ten minutes to finish a first boot.
_ADMIT: Final = 600.0 + 180.0
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PUBLIC_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+(?: [ -~]*)?")
_HOST_KEY = re.compile(r"^host-key: ([a-z0-9@.-]+ [A-Za-z0-9+/=]+)$", re.MULTILINE)
_LONGEST_NAME: Final = 32

# As the agent's own settings forbid it on Red Hat's systems.
_EXEC_REFUSED = "The guest agent refuses to run commands (guest-exec); its settings in the image must allow that"


def account_problem(name: str) -> str:
    """Say why a Linux guest cannot have an administrator of this name, or "" if it can."""
    if name == "root":
        return "root exists in every guest and cannot be the account of an image server"
    if not name.strip():
        return "the name is empty"
    if len(name) > _LONGEST_NAME:
        return f"the name is longer than {_LONGEST_NAME} characters"
    if not _ACCOUNT.fullmatch(name):
        return "a Linux account's name begins with a letter or _ and goes on with letters, digits, _, . and -"
    return ""


def host_name(name: str) -> str:
    """Return `name` as a host name of one label by RFC 1123: letters, digits and hyphens, at most 63."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "image-server"


async def admit(vm: Path, name: str, account: GuestAccount) -> str:
    """Make the account in the guest of the machine called `name`, whose folder is `vm`; return its SSH host key.

    Raises AccountFailed.
    """
    _must_be_usable(account)
    try:
        async with agent(vm, limit=20.0) as guest:
            return await _admit(guest, name, account)
    except AgentSilent as problem:
        raise AccountFailed(f"The account {account.name!r} could not be made: {problem}.") from problem
    except AgentRefused as problem:
        raise AccountFailed(f"{_EXEC_REFUSED}: {problem}.") from problem


def _must_be_usable(account: GuestAccount) -> None:
    if problem := account_problem(account.name):
        raise AccountFailed(f"The account {account.name!r} cannot be made: {problem}.")
    if not account.password or not account.password.isprintable():
        raise AccountFailed(f"The account {account.name!r} cannot be made: its password is empty or not printable.")
    if not _PUBLIC_KEY.fullmatch(account.public_key.strip()):
        raise AccountFailed(f"The account {account.name!r} cannot be made: its public key is not one OpenSSH line.")


async def _admit(guest: Agent, name: str, account: GuestAccount) -> str:
    script = files("darkroom.drivers.qemu").joinpath("admit.sh").read_text()
    # Nothing is ever pasted into the script; the password is kept out of the environment, which others may read.
    ended = await guest.run(
        ["/bin/sh", "-c", script],
        stdin=account.password.encode() + b"\n",
        environment={
            "ACCOUNT": account.name,
            "PUBLIC_KEY": account.public_key.strip(),
            "HOST_NAME": host_name(name),
        },
        limit=_ADMIT,
    )
    key = _HOST_KEY.search(ended.output)
    if ended.status != 0 or not key:
        said = " / ".join(ended.output.strip().splitlines()[-3:]) or f"status {ended.status}"
        raise AccountFailed(f"The account {account.name!r} could not be made in the guest: {said}.")
    return key[1]
