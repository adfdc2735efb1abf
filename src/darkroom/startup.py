"""What a process of the service does before it works: files only its owner may read, a lock, a listening socket."""

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from darkroom.errors import DarkroomError
from darkroom.services.first_start import Credentials
from darkroom.store.sealing import Sealer


class CannotStart(DarkroomError):
    """The service cannot start."""


def secret_key(path: Path, records: Path) -> bytes:
    """Return the key that seals tokens and secrets, made the first time.

    Raises CannotStart if it is missing beside `records` of a former start: what is sealed there would be lost.
    """
    if not path.exists():
        if records.exists():
            raise CannotStart(f"{path} is missing, without which the secrets in {records} cannot be read. Restore it.")
        fresh = _written_beside(path, Sealer.new_key())
        with suppress(FileExistsError):  # another process was quicker, and its key counts
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


def keep(path: Path, credentials: Credentials) -> None:
    """Keep the first user's credentials in a file for its owner alone. Raises CannotStart."""
    try:
        write_private(path, msgspec.to_builtins(credentials))
    except OSError as error:
        raise CannotStart(f"The first user's credentials cannot be written to {path}: {error.strerror}.") from None


def announce(path: Path, credentials: Credentials) -> None:
    """Show the first user's credentials this once, and where they are kept."""
    print(
        f"\nFirst start: this user has been made. It is shown once, and kept in {path} (mode 0600).\n\n"
        f"  account     {credentials.account}\n"
        f"  user        {credentials.user}\n"
        f"  password    {credentials.password}\n"
        f"  project     {credentials.project}  {credentials.project_id}\n"
        f"  access key  {credentials.access_key}\n"
        f"  secret key  {credentials.secret_key}\n",
        flush=True,
    )


def forget(service_file: Path) -> None:
    """Remove the file by which clients find the service, unless another process has written it since."""
    with suppress(FileNotFoundError, ValueError):
        if msgspec.json.decode(service_file.read_bytes())["pid"] == os.getpid():
            service_file.unlink()


def write_private(path: Path, content: object) -> None:
    """Write plain data as JSON into a file for its owner alone."""
    _write_bytes(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def _write_bytes(path: Path, content: bytes) -> None:
    _written_beside(path, content).replace(path)


def _written_beside(path: Path, content: bytes) -> Path:
    """Return a new file, for its owner alone, that has the content and is to take the place of `path`."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return partial


@contextmanager
def alone(data: Path) -> Iterator[None]:
    """Hold the data folder: two services on one would each believe the machines to be theirs."""
    with (data / "service.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(f"Another service uses the data folder {data}.") from None
        yield


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            raise CannotStart(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
        listener.set_inheritable(False)
        yield listener
