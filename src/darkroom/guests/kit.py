"""All guest images that Darkroom brings along, made in one folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darkroom.guests.appliance import Appliance, build_appliance
from darkroom.guests.tiny import build_tiny


@dataclass(frozen=True)
class Kit:
    """The helper appliance and the tiny base image."""

    appliance: Appliance
    tiny: Path


def build_kit(folder: Path, *, say: Callable[[str], None] = print) -> Kit:
    """Make the kit in `folder`, with the Debian packages it is made of in `folder/debs`; tell `say` what takes time.

    Returns at once, without network, when all is there and current. May run in several processes at once, and be
    interrupted at any time. Raises GuestBuildError.
    """
    cache = folder / "debs"
    return Kit(
        appliance=build_appliance(folder, cache=cache, say=say),
        tiny=build_tiny(folder / "tiny.qcow2", cache=cache, say=say),
    )
