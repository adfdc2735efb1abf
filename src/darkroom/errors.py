"""
Everything that can go wrong, as one tree. A class's docstring is its default message.

DarkroomError                   500
├─ Refused                      400  the caller can mend it
│  ├─ InvalidParameter          400  names the field
│  ├─ ServerNotReady            400  the image server's state does not allow this
│  ├─ Unauthenticated           401  TokenInvalid, WrongPassword
│  ├─ Forbidden                 403  QuotaExceeded
│  ├─ NotFound                  404  JobNotFound, ServerNotFound, ImageNotFound, AppNotFound, UnknownPath
│  ├─ MethodNotAllowed          405
│  ├─ Conflict                  409
│  ├─ TooLarge                  413
│  ├─ UnsupportedMediaType      415
│  └─ TooManyRequests           429
└─ Fault                        500  we, or the machine below, must mend it
   ├─ Unavailable               503
   └─ JobFault                  ends a job as FAILED; its code and message become `job_execute_info`
      ├─ HostFull, QemuMissing, MachineFailed, GuestSilent, AccountFailed, LoginFailed, ImageDamaged
      ├─ SnapshotFailed, GeneraliseFailed, CaptureFailed
      ├─ DeleteFailed
      ├─ AttachFailed, GuestRefused
      └─ StepTimedOut, Cancelled
"""

from typing import ClassVar


class DarkroomError(Exception):
    """Something went wrong inside Darkroom."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "WKS.00211401"

    def __init__(self, message: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().split("\n")[0]
        super().__init__(self.message)


class Refused(DarkroomError):
    """The request cannot be carried out as it is."""

    status = 400
    code = "WKS.00211102"


class InvalidParameter(Refused):
    """A parameter is invalid."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{field}: {problem}" if field else problem)


class ServerNotReady(Refused):
    """The image server's state does not allow this action."""


class SubJobNotFinal(Refused):
    """A sub-job that has not ended cannot be deleted."""


class JobNotCancellable(Refused):
    """The job cannot be cancelled any more."""


class JobNotRetryable(Refused):
    """Only a job that failed can be tried again."""


class JobNotCleanable(Refused):
    """The job has left nothing behind that could be cleaned up."""


class Unauthenticated(Refused):
    """Incorrect IAM authentication information: x-auth-token not found"""

    status = 401
    code = "APIGW.0301"

    def __init__(self, reason: str = "x-auth-token not found") -> None:
        self.reason = reason
        super().__init__(f"Incorrect IAM authentication information: {reason}")


class TokenInvalid(Unauthenticated):
    """Incorrect IAM authentication information: decrypt token fail"""


class WrongPassword(Unauthenticated):
    """The username or password is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.message = "The username or password is wrong."


class Forbidden(Refused):
    """You do not have permission for this action."""

    status = 403
    code = "WKS.00081102"


class QuotaExceeded(Forbidden):
    """The project's quota does not allow more."""


class NotFound(Refused):
    """The resource does not exist."""

    status = 404
    code = "WKS.00211902"


class JobNotFound(NotFound):
    """The job does not exist."""

    code = "WKS.00129901"


class ServerNotFound(NotFound):
    """The image server does not exist."""

    code = "WKS.00129901"


class ImageNotFound(NotFound):
    """The image does not exist."""


class AppNotFound(NotFound):
    """The application does not exist."""


class UnknownPath(NotFound):
    """The API does not exist or has not been published."""

    code = "APIGW.0101"


class MethodNotAllowed(Refused):
    """The method is not allowed for this resource."""

    status = 405
    code = "WKS.00000405"


class Conflict(Refused):
    """The request conflicts with the resource."""

    status = 409
    code = "WKS.00211103"


class TooLarge(Refused):
    """The request body is too large."""

    status = 413
    code = "APIGW.0201"


class UnsupportedMediaType(Refused):
    """The request body must be JSON."""

    status = 415
    code = "WKS.00000415"


class TooManyRequests(Refused):
    """The throttling threshold has been reached."""

    status = 429
    code = "APIGW.0308"


class Fault(DarkroomError):
    """The operation failed; try again later."""


class Unavailable(Fault):
    """The service is unavailable; try again later."""

    status = 503
    code = "WKS.00050902"


class JobFault(Fault):
    """The job failed unexpectedly."""

    code = "Darkroom.0001"


class StepTimedOut(JobFault):
    """A step of the job took longer than it may."""

    code = "Darkroom.0002"


class Cancelled(JobFault):
    """The job was cancelled."""

    code = "Darkroom.0003"


class HostFull(JobFault):
    """The host has not enough memory or disk space."""

    code = "Darkroom.0101"


class QemuMissing(JobFault):
    """QEMU is not installed on the host."""

    code = "Darkroom.0102"


class MachineFailed(JobFault):
    """The machine did not start, or stopped by itself."""

    code = "Darkroom.0103"


class GuestSilent(JobFault):
    """The guest agent did not answer in time."""

    code = "Darkroom.0104"


class AccountFailed(JobFault):
    """The account could not be made in the guest."""

    code = "Darkroom.0105"


class LoginFailed(JobFault):
    """The account could not log in to the guest."""

    code = "Darkroom.0106"


class ImageDamaged(JobFault):
    """The base image is missing or damaged."""

    code = "Darkroom.0107"


class SnapshotFailed(JobFault):
    """The machine's disk could not be frozen."""

    code = "Darkroom.0201"


class GeneraliseFailed(JobFault):
    """The image could not be generalised."""

    code = "Darkroom.0202"


class CaptureFailed(JobFault):
    """The image could not be captured."""

    code = "Darkroom.0203"


class DeleteFailed(JobFault):
    """The machine could not be deleted."""

    code = "Darkroom.0301"


class AttachFailed(JobFault):
    """The application could not be attached."""

    code = "Darkroom.0401"

    def __init__(self, problem: str = "", output: str = "") -> None:
        self.problem, self.output = problem, output.strip()
        super().__init__(f"{problem} Its last output: {self.output}" if self.output else problem)

    def within(self, limit: int) -> "AttachFailed":
        """Return it with a message of at most so many characters; the end of the output is what stays."""
        spare = limit - (len(self.message) - len(self.output))
        if len(self.message) <= limit or spare < 2:
            return self
        return AttachFailed(self.problem, f"…{self.output[1 - spare :]}")


class GuestRefused(JobFault):
    """The guest refused what was asked of it."""

    code = "Darkroom.0402"
