"""Picks programs, libraries and kernel modules out of unpacked packages and lays out the trees of guests."""

import re
import shutil
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from darkroom.guests.elf import needed
from darkroom.guests.errors import GuestBuildError

_MODULE_WISHES = re.compile(rb"\0(?:depends=|softdep=pre: ?)([^\0]*)")


class PackageTree:
    """The files of unpacked Debian packages, below `root`, wherever the release keeps them (`/bin` or `/usr/bin`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def file(self, name: str) -> Path:
        """Return the file with the path `name`, looked for with and without a leading `usr/`."""
        for path in (self.root / name, self.root / "usr" / name, self.root / name.removeprefix("usr/")):
            if path.is_file():
                return path
        raise GuestBuildError(f"the Debian packages hold no {name}; empty the cache of packages and try again.")

    def library(self, name: str) -> Path:
        """Return the shared library called `name`."""
        try:
            return self._libraries[name]
        except KeyError:
            raise GuestBuildError(f"the Debian packages hold no library {name}.") from None

    @property
    def loader(self) -> Path:
        """The dynamic loader of amd64."""
        return self.file("lib64/ld-linux-x86-64.so.2")

    @property
    def kernel(self) -> Path:
        """The kernel image."""
        return next(self._glob("boot/vmlinuz-*"))

    def modules(self, names: Sequence[str]) -> list[Path]:
        """Return the files of kernel modules in an order that loads, dependencies first; built-in ones have none."""
        ordered: dict[str, Path] = {}
        for name in names:
            self._order(name.replace("-", "_"), ordered, frozenset())
        return list(ordered.values())

    def _order(self, name: str, ordered: dict[str, Path], above: frozenset[str]) -> None:
        if name in ordered or name in above or name not in self._modules:
            return
        for wishes in _MODULE_WISHES.findall(b"\0" + self._modules[name].read_bytes()):
            for wish in re.split(r"[ ,]+", wishes.decode()):
                self._order(wish.replace("-", "_"), ordered, above | {name})
        ordered[name] = self._modules[name]

    @cached_property
    def _libraries(self) -> dict[str, Path]:
        return {path.name: path for path in self._glob("**/*.so*") if path.is_file()}

    @cached_property
    def _modules(self) -> dict[str, Path]:
        return {path.stem.replace("-", "_"): path for path in self._glob("**/lib/modules/*/**/*.ko")}

    def _glob(self, pattern: str) -> Iterator[Path]:
        return iter(sorted(self.root.glob(pattern)))


class GuestTree:
    """A guest's files, gathered below `root` out of `source`."""

    def __init__(self, root: Path, source: PackageTree) -> None:
        self.root, self.source = root, source
        root.mkdir(parents=True)

    def folders(self, *names: str) -> None:
        """Make folders."""
        for name in names:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def text(self, name: str, content: str, *, mode: int = 0o644) -> None:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)

    def link(self, name: str, target: str) -> None:
        """Make the symbolic link `name`."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def copy(self, source: Path, name: str, *, mode: int) -> None:
        """Copy a file to `name`."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(mode)

    def ours(self, folder: str, name: str, place: str, *, mode: int = 0o755) -> None:
        """Copy `name` from our own `files/FOLDER` to `place`."""
        self.text(place, own_file(folder, name).decode(), mode=mode)

    def program(self, name: str, *, place: str | None = None, mode: int = 0o755) -> None:
        """Copy a program or a plug-in of the packages with the shared libraries it needs."""
        source = self.source.file(name)
        self.copy(source, place or name, mode=mode)
        self._libraries(source)

    def busybox(self, folder: str = "bin") -> None:
        """Copy the static busybox; its commands are linked by whoever starts it."""
        self.copy(self.source.file("bin/busybox"), f"{folder}/busybox", mode=0o755)

    def _libraries(self, binary: Path) -> None:
        for name in needed(binary.read_bytes()):
            if name == self.source.loader.name:
                self.copy(self.source.loader, f"lib64/{name}", mode=0o755)
                continue
            place = f"lib/x86_64-linux-gnu/{name}"
            if not (self.root / place).exists():
                library = self.source.library(name)
                self.copy(library, place, mode=0o644)
                self._libraries(library)


def own_file(folder: str, name: str) -> bytes:
    """Return one of the files that this package brings along for the inside of guests."""
    return (files("darkroom.guests") / "files" / folder / name).read_bytes()
