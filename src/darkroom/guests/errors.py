"""What can go wrong while guest images are built."""


class GuestBuildError(Exception):
    """A guest image could not be built; the message says what to do about it."""
