"""The driver that only pretends: for people who want the API and no hypervisor, and for tests.

Its whole state is small JSON files in the data folder, so it outlives the process, and another process may look at it:

    simulated/machines/<server id>.json   a machine: what was asked for, its guest, its frozen disks
    simulated/released/<server id>.json   a machine that was let go of with its disk
    simulated/faults.json                 which calls shall fail (see `Faults`)
    images/<image id>.json, .disk         an image: what is known of it, and its bytes

Nothing is kept in memory between calls. They may come from any thread, event loop or process.
"""

from darkroom.drivers.simulated.compute import SimulatedCompute
from darkroom.drivers.simulated.faults import Fault, Faults
from darkroom.drivers.simulated.images import SimulatedImageStore
from darkroom.drivers.simulated.pace import INSTANT, Durations

__all__ = ["INSTANT", "Durations", "Fault", "Faults", "SimulatedCompute", "SimulatedImageStore"]
