"""What a command ends with when it cannot do its work: one clear sentence and an exit code, never a traceback."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command's exit code says to scripts."""

    FAILED = 1  #: the job failed, the service refused, or a file could not be read or written
    USAGE = 2  #: the command line is wrong
    TIMEOUT = 3  #: the job had not ended in the time given; it goes on
    NO_SERVICE = 4  #: no service could be asked
    INTERRUPTED = 130


class Failure(Exception):
    """Ends the command. `hint` says what to do about it; `trace` is what --verbose adds."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "", trace: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.trace = message, hint, trace


class UsageFailure(Failure):
    """The command line is wrong in a way that only shows once the command runs."""

    exit_code = ExitCode.USAGE


class NoService(Failure):
    """No service is running, or it cannot be reached or understood."""

    exit_code = ExitCode.NO_SERVICE


class NotDone(Failure):
    """A job had not ended in the time given."""

    exit_code = ExitCode.TIMEOUT


class Refusal(Failure):
    """The service answered with an error; `status` is that of HTTP, `code` the service's own."""

    def __init__(self, message: str, *, status: int, code: str = "", hint: str = "", trace: str = "") -> None:
        super().__init__(message, hint=hint, trace=trace)
        self.status, self.code = status, code
