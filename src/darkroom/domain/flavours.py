"""Flavours: how much of the host an image server gets, by the contract's `product_id` or `flavor_id`."""

from collections.abc import Iterable

import msgspec


class Flavour(msgspec.Struct, frozen=True, kw_only=True):
    """Processors and memory (MiB) of a machine."""

    product_id: str
    flavor_id: str
    cpus: int
    memory_mib: int


#: The table that ships with Darkroom; a settings file may replace it.
FLAVOURS: tuple[Flavour, ...] = (
    Flavour(product_id="darkroom.tiny", flavor_id="tiny", cpus=1, memory_mib=256),
    Flavour(product_id="darkroom.small", flavor_id="small", cpus=1, memory_mib=1024),
    Flavour(product_id="workspace.appstream.general.large.2", flavor_id="large.2", cpus=2, memory_mib=4096),
    Flavour(product_id="workspace.appstream.general.large.4", flavor_id="large.4", cpus=2, memory_mib=8192),
    Flavour(product_id="workspace.appstream.general.xlarge.2", flavor_id="xlarge.2", cpus=4, memory_mib=8192),
    Flavour(product_id="workspace.appstream.general.xlarge.4", flavor_id="xlarge.4", cpus=4, memory_mib=16384),
    Flavour(product_id="workspace.appstream.general.2xlarge.4", flavor_id="2xlarge.4", cpus=8, memory_mib=32768),
)


def find(flavours: Iterable[Flavour], wanted: str) -> Flavour | None:
    """Return the flavour whose product or flavour id is `wanted`, if there is one."""
    return next((flavour for flavour in flavours if wanted in (flavour.product_id, flavour.flavor_id)), None)
