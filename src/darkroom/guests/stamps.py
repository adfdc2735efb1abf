"""Tells whether something built is still current: a note beside it says what it was built from."""

import hashlib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def fingerprint(debs: Iterable[Path]) -> str:
    """Return a digest of the packages' names, which hold their versions, and of every file of this package of ours."""
    digest = hashlib.sha256()
    for deb in debs:
        digest.update(deb.name.encode() + b"\0")
    for ours in _sources(files("darkroom.guests")):
        digest.update(ours.name.encode() + b"\0" + ours.read_bytes() + b"\0")
    return digest.hexdigest()


def is_current(made: Path, inputs: str) -> bool:
    """Whether `made` is there and was built from `inputs`."""
    note = _note(made)
    return made.exists() and note.exists() and note.read_text() == inputs


def stamp(made: Path, inputs: str) -> None:
    """Note that `made` was built from `inputs`; to be called once it is whole and in its place."""
    fresh = _note(made).with_suffix(".new")
    fresh.write_text(inputs)
    fresh.replace(_note(made))


def _note(made: Path) -> Path:
    return made.with_name(made.name + ".inputs")


def _sources(folder: Traversable) -> Iterable[Traversable]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _sources(entry)
        elif entry.is_file():
            yield entry
