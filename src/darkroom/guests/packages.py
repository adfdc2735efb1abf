"""Fetches Debian packages with apt and unpacks them, without installing anything and without root."""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from darkroom.guests.commands import run
from darkroom.guests.errors import GuestBuildError
from darkroom.guests.locks import held, workshop

Say = Callable[[str], None]

#: The metapackage whose dependency is the kernel package proper.
KERNEL = "linux-image-cloud-amd64"

_LIBRARY = ("lib", "zlib")
_APT_LISTS = Path("/var/lib/apt/lists")
_LINKS = re.compile(r"^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9+.-]*)$")
_ADVICE = "Run `apt-get update`, and see that the apt sources of this host are those of Debian for amd64."


def fetch(names: Sequence[str], *, cache: Path, say: Say) -> list[Path]:
    """Return the .deb files of `names` and of every library they depend on, downloading the missing ones into `cache`.

    What a set of names stands for is written down in `cache` and looked up anew only after apt's lists have changed;
    when apt then knows nothing (a host without lists or network), what was written down still serves.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with held(cache / ".lock"):
        note = cache / f"set-{_digest(names)}.json"
        known = json.loads(note.read_text()) if note.exists() else {}
        complete = bool(known) and all((cache / file).exists() for file in known["files"])
        if complete and known["lists"] == _lists_state():
            return [cache / file for file in known["files"]]
        try:
            files = _resolve(names)
            _download(files, cache, say)
        except GuestBuildError:
            if not complete:
                raise
            return [cache / file for file in known["files"]]
        _write(note, json.dumps({"names": list(names), "lists": _lists_state(), "files": files}, indent=1))
        return [cache / file for file in files]


def unpack(debs: Iterable[Path], folder: Path) -> None:
    """Unpack the files of each package into `folder`, one over the other."""
    for deb in debs:
        run(["dpkg-deb", "--extract", deb, folder])


def libraries(listing: str, names: Sequence[str]) -> list[str]:
    """Return `names` and all the library packages (`lib…`, `zlib…`) that they need, directly or not.

    `listing` is what `apt-cache depends --recurse` says of them. Of a choice between packages the first is taken.
    Packages that are not libraries are left out on purpose: the guests have no use for what maintainer scripts need.
    """
    graph: dict[str, list[str]] = {}
    package = ""
    for line in listing.splitlines():
        if line[:1] not in (" ", ""):
            package = line.strip()
        elif link := _LINKS.match(line):
            graph.setdefault(package, []).append(link[1])
    found, waiting = dict.fromkeys(names), list(names)
    while waiting:
        links = (name for name in graph.get(waiting.pop(0), []) if name.startswith(_LIBRARY) and name not in found)
        for name in list(dict.fromkeys(links)):
            found[name] = None
            waiting.append(name)
    return list(found)


def _resolve(names: Sequence[str]) -> list[str]:
    """Return the file names, which hold the versions, that `apt-get download` would make; asks no network."""
    wanted = [_kernel_package() if name == KERNEL else name for name in names]
    hide = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    listing = _apt(["apt-cache", "depends", "--recurse", *hide, *wanted])
    uris = _apt(["apt-get", "download", "--print-uris", *libraries(listing, wanted)])
    return [shlex.split(line)[1] for line in uris.splitlines() if line.startswith("'")]


def _kernel_package() -> str:
    for line in _apt(["apt-cache", "depends", KERNEL]).splitlines():
        if link := _LINKS.match(line):
            return link[1]
    raise GuestBuildError(f"apt knows no package {KERNEL}. {_ADVICE}")


def _download(files: Sequence[str], cache: Path, say: Say) -> None:
    missing = [file for file in files if not (cache / file).exists()]
    if not missing:
        return
    say(f"downloading {len(missing)} Debian packages")
    # Each name carries its version, so that what arrives is what was resolved.
    pinned = ["{}={}".format(*unquote(file).split("_")[:2]) for file in missing]
    with workshop(cache, "download") as incoming:
        _apt(["apt-get", "download", "--quiet", *pinned], cwd=incoming)
        for file in missing:
            arrived = incoming / file
            if not arrived.exists():
                raise GuestBuildError(f"apt-get did not bring {file}. {_ADVICE}")
            arrived.rename(cache / file)


def _apt(command: list[str], cwd: Path | None = None) -> str:
    # As root, apt would hand the download to its own account, which may not enter our folder.
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    try:
        return run([command[0], *as_root, *command[1:]], cwd=cwd)
    except GuestBuildError as problem:
        if "not installed" in str(problem):
            raise
        raise GuestBuildError(f"Debian packages cannot be fetched: {problem}. {_ADVICE}") from problem


def _digest(names: Sequence[str]) -> str:
    """Name a set of packages; what it stands for also hangs on how this module looks them up."""
    return hashlib.sha256(" ".join(names).encode() + Path(__file__).read_bytes()).hexdigest()[:16]


def _lists_state() -> int:
    """A number that changes whenever apt's lists of packages do."""
    return _APT_LISTS.stat().st_mtime_ns if _APT_LISTS.is_dir() else 0


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.rename(path)
