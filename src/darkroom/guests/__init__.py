"""Builds the small guest images and the helper appliance from Debian packages, without root, loop devices or mounts."""

from darkroom.guests.appliance import (
    PROBE_OK,
    Appliance,
    TaskVerdict,
    build_appliance,
    kernel_command_line,
    task_archive,
    verdict,
)
from darkroom.guests.errors import GuestBuildError
from darkroom.guests.generalise import generalise_task
from darkroom.guests.kit import Kit, build_kit
from darkroom.guests.tiny import build_tiny

__all__ = [
    "PROBE_OK",
    "Appliance",
    "GuestBuildError",
    "Kit",
    "TaskVerdict",
    "build_appliance",
    "build_kit",
    "build_tiny",
    "generalise_task",
    "kernel_command_line",
    "task_archive",
    "verdict",
]
