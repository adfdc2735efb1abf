"""What a simulated guest is: the text files on its disk. Its accounts and its identity are among them."""

import secrets
import struct
from base64 import b64encode
from collections.abc import Sequence

import msgspec

from darkroom.drivers.base import GuestAccount

MACHINE_ID = "/etc/machine-id"
PASSWD = "/etc/passwd"  # noqa: S105 - a file
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"

#: Files whose path begins so make a disk one machine's own.
_OWN = (MACHINE_ID, "/etc/ssh/ssh_host_", "/etc/hostname", "/var/log/")

_FRESH = {
    "/etc/os-release": 'ID=simulated\nPRETTY_NAME="Simulated guest"\n',
    PASSWD: "root:x:0:0:root:/root:/bin/sh\n",
}


class Guest(msgspec.Struct, frozen=True):
    """A guest's disk: absolute paths and what the files say."""

    files: dict[str, str] = msgspec.field(default_factory=lambda: dict(_FRESH))

    @property
    def host_key(self) -> str:
        return self.files[HOST_KEY].strip()

    @property
    def facts(self) -> dict[str, str]:
        """What its agent says of it."""
        release = dict(line.partition("=")[::2] for line in self.files.get("/etc/os-release", "").splitlines())
        facts = {
            "os": release.get("PRETTY_NAME", "").strip('"'),
            "hostname": self.files.get("/etc/hostname", "").strip(),
        }
        return {name: fact for name, fact in facts.items() if fact}

    def writing(self, path: str, text: str) -> "Guest":
        return Guest({**self.files, path: text})

    def booted(self, name: str) -> "Guest":
        """Return it as it is after a boot: with an identity of its own, unless it had one already."""
        own = {MACHINE_ID: f"{secrets.token_hex(16)}\n", HOST_KEY: f"{_new_host_key()}\n", "/etc/hostname": f"{name}\n"}
        return Guest({**own, **self.files})

    def admitting(self, account: GuestAccount) -> "Guest":
        """Return it with the account, whose key may log in."""
        others = self._passwd_without([account.name])
        uid = 1000 + len(others)
        line = f"{account.name}:x:{uid}:{uid}::/home/{account.name}:/bin/sh\n"
        keys = {_authorized_keys(account.name): f"{account.public_key.strip()}\n"}
        return Guest({**self.files, PASSWD: "".join(others) + line, **keys})

    def admits(self, account: GuestAccount) -> bool:
        """Tell whether the account exists here and its key may log in. A key's comment does not matter."""
        keys = self.files.get(_authorized_keys(account.name), "")
        return bool(keys) and keys.split()[:2] == account.public_key.split()[:2]

    def generalised(self, accounts: Sequence[str]) -> "Guest":
        """Return it without these accounts and without what is one machine's own."""
        unwanted = (*_OWN, *(f"/home/{name}/" for name in accounts))
        kept = {path: text for path, text in self.files.items() if not path.startswith(unwanted)}
        return Guest({**kept, PASSWD: "".join(self._passwd_without(accounts))})

    def _passwd_without(self, accounts: Sequence[str]) -> list[str]:
        lines = self.files.get(PASSWD, "").splitlines(keepends=True)
        return [line for line in lines if line.split(":")[0] not in accounts]


def _authorized_keys(name: str) -> str:
    return f"/home/{name}/.ssh/authorized_keys"


def _new_host_key() -> str:
    """Make up an OpenSSH public key line of the right shape (RFC 8709, section 4)."""
    fields = (b"ssh-ed25519", secrets.token_bytes(32))
    blob = b"".join(struct.pack(">I", len(field)) + field for field in fields)
    return f"ssh-ed25519 {b64encode(blob).decode()}"
