"""`python -m darkroom.guests FOLDER` makes the guest images in FOLDER."""

import sys
from pathlib import Path

from darkroom.guests import GuestBuildError, build_kit


def main() -> int:
    """Build the kit in the folder named on the command line; return the exit status."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m darkroom.guests FOLDER", file=sys.stderr)
        return 2
    try:
        kit = build_kit(Path(sys.argv[1]))
    except GuestBuildError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"kernel    {kit.appliance.kernel}\ninitrd    {kit.appliance.initrd}\ntiny base {kit.tiny}")
    return 0


sys.exit(main())
