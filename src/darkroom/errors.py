"""
Everything that can go wrong, as one tree. A class's docstring is its default message.

DarkroomError                   500
├─ Refused                      400  the caller can mend it
│  ├─ InvalidParameter          400  names the field
│  ├─ ServerNotReady            400  the image server's state does not allow this
│  ├─ Unauthenticated           401  TokenInvalid, WrongPassword
│  ├─ Forbidden                 403  QuotaExceeded
│  ├─ NotFound                  404  JobNotFound, ServerNotFound, ImageNotFound, AppNotFound,
│  │                                 EvidenceNotFound, WebhookNotFound, DeliveryNotFound, UnknownPath
│  ├─ MethodNotAllowed          405
│  ├─ Conflict                  409
│  ├─ TooLarge                  413
│  ├─ UnsupportedMediaType      415
│  └─ TooManyRequests           429
└─ Fault                        500  we, or the machine below, must mend it
   ├─ Unavailable               503  MachineUnreachable
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

    #: What whoever meets it can do.
    cure: ClassVar[str] = "Look into the service's log under the request id, and report it."
    status: ClassVar[int] = 500
    code: ClassVar[str] = "WKS.00211401"

    def __init__(self, message: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().split("\n")[0]
        super().__init__(self.message)


class Refused(DarkroomError):
    """The request cannot be carried out as it is."""

    cure = "Change the request as the message says."
    status = 400
    code = "WKS.00211102"


class InvalidParameter(Refused):
    """A parameter is invalid."""

    cure = "Correct the field that the message names."

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{field}: {problem}" if field else problem)


class ServerNotReady(Refused):
    """The image server's state does not allow this action."""

    cure = "Wait until the image server is in one of the states that the message names."


class SubJobNotFinal(Refused):
    """A sub-job that has not ended cannot be deleted."""

    cure = "Wait for the end of the job, or cancel it."


class JobNotCancellable(Refused):
    """The job cannot be cancelled any more."""

    cure = "Let it end; undo a creation by deleting the image server."


class JobNotRetryable(Refused):
    """Only a job that failed can be tried again."""

    cure = "Look at the job's state, and order the work anew if its resource has changed."


class JobNotCleanable(Refused):
    """The job has left nothing behind that could be cleaned up."""

    cure = "Nothing needs to be done."


class Unauthenticated(Refused):
    """Incorrect IAM authentication information: x-auth-token not found"""

    cure = "Send a valid token or signature; compare the canonical request in the message with your own."
    status = 401
    code = "APIGW.0301"

    def __init__(self, reason: str = "x-auth-token not found") -> None:
        self.reason = reason
        super().__init__(f"Incorrect IAM authentication information: {reason}")


class TokenInvalid(Unauthenticated):
    """Incorrect IAM authentication information: decrypt token fail"""

    cure = "Sign in for a new token."


class WrongPassword(Unauthenticated):
    """The username or password is wrong."""

    cure = "Check the user, its account and its password."

    def __init__(self) -> None:
        super().__init__()
        self.message = "The username or password is wrong."


class Forbidden(Refused):
    """You do not have permission for this action."""

    cure = "Have a role granted that allows the action, or sign in to the project in the path."
    status = 403
    code = "WKS.00081102"


class QuotaExceeded(Forbidden):
    """The project's quota does not allow more."""

    cure = "Delete what is no longer needed, or have the quota raised."


class NotFound(Refused):
    """The resource does not exist."""

    cure = "Check the id, and that it belongs to the project you are signed in to."
    status = 404
    code = "WKS.00211902"


class JobNotFound(NotFound):
    """The job does not exist."""

    cure = "Check the id; jobs of long ago are purged."
    code = "WKS.00129901"


class ServerNotFound(NotFound):
    """The image server does not exist."""

    cure = "Check the id with ListImageServers; it may have been deleted."
    code = "WKS.00129901"


class ImageNotFound(NotFound):
    """The image does not exist."""

    cure = "Check the id with `darkroom images list`."


class EvidenceNotFound(NotFound):
    """There is no such evidence of a failure."""

    cure = "Look with `darkroom jobs why` at what was kept; not every machine has a screen."


class AppNotFound(NotFound):
    """The application does not exist."""

    cure = "Check the id with `darkroom apps list`."


class WebhookNotFound(NotFound):
    """The webhook does not exist."""

    cure = "Check the id with `darkroom webhooks list`."


class DeliveryNotFound(NotFound):
    """The delivery does not exist."""

    cure = "Check the id with `darkroom webhooks deliveries`; those that ended are kept for seven days."


class UnknownPath(NotFound):
    """The API does not exist or has not been published."""

    cure = "Check the path against `/openapi.json`."
    code = "APIGW.0101"


class MethodNotAllowed(Refused):
    """The method is not allowed for this resource."""

    cure = "Use one of the methods in the header `Allow`."
    status = 405
    code = "WKS.00000405"


class Conflict(Refused):
    """The request conflicts with the resource."""

    cure = "Look at the resource's present state; with an Idempotency-Key, use another key for another request."
    status = 409
    code = "WKS.00211103"


class TooLarge(Refused):
    """The request body is too large."""

    cure = "Send less at once."
    status = 413
    code = "APIGW.0201"


class UnsupportedMediaType(Refused):
    """The request body must be JSON."""

    cure = "Send JSON, with the content type application/json."
    status = 415
    code = "WKS.00000415"


class TooManyRequests(Refused):
    """The throttling threshold has been reached."""

    cure = "Wait a minute, and poll less often or with `Prefer: wait`."
    status = 429
    code = "APIGW.0308"


class Fault(DarkroomError):
    """The operation failed; try again later."""

    cure = "Try again; if it stays so, look into the service's log under the request id."


class Unavailable(Fault):
    """The service is unavailable; try again later."""

    cure = "Try again after a while; see that the database runs and can be reached."
    status = 503
    code = "WKS.00050902"


class MachineUnreachable(Unavailable):
    """The machine cannot be reached from here."""

    cure = "Ask a process of the service that runs on the machine's host; see in the message what was tried."


class JobFault(Fault):
    """The job failed unexpectedly."""

    cure = "Look into the service's log under the job's id, then try the job again."
    code = "Darkroom.0001"


class StepTimedOut(JobFault):
    """A step of the job took longer than it may."""

    cure = "Find out what hangs; raise the limit in the settings if the step only needs longer."
    code = "Darkroom.0002"


class Cancelled(JobFault):
    """The job was cancelled."""

    cure = "Nothing needs to be done; `darkroom jobs retry` starts it anew."
    code = "Darkroom.0003"


class HostFull(JobFault):
    """The host has not enough memory or disk space."""

    cure = "Free memory or disk space on the host, or choose a smaller flavour; then try the job again."
    code = "Darkroom.0101"


class QemuMissing(JobFault):
    """QEMU is not installed on the host."""

    cure = "Install what the message names; `darkroom doctor` lists what is missing."
    code = "Darkroom.0102"


class MachineFailed(JobFault):
    """The machine did not start, or stopped by itself."""

    cure = "Read what QEMU said in the message, and `darkroom doctor`."
    code = "Darkroom.0103"


class GuestSilent(JobFault):
    """The guest agent did not answer in time."""

    cure = "See in the serial lines how far the guest came; install and enable the QEMU guest agent in the image."
    code = "Darkroom.0104"


class AccountFailed(JobFault):
    """The account could not be made in the guest."""

    cure = "Choose an account name that the guest accepts and that none of its system users has."
    code = "Darkroom.0105"


class LoginFailed(JobFault):
    """The account could not log in to the guest."""

    cure = "See that the image runs an SSH server that takes public keys."
    code = "Darkroom.0106"


class ImageDamaged(JobFault):
    """The base image is missing or damaged."""

    cure = "Import the image again, or restore its file from a backup."
    code = "Darkroom.0107"


class SnapshotFailed(JobFault):
    """The machine's disk could not be frozen."""

    cure = "See that the machine runs, then try the job again."
    code = "Darkroom.0201"


class GeneraliseFailed(JobFault):
    """The image could not be generalised."""

    cure = "Read the reason in the message; disks with LVM or encryption are not supported."
    code = "Darkroom.0202"


class CaptureFailed(JobFault):
    """The image could not be captured."""

    cure = "Read the reason in the message, then try the job again."
    code = "Darkroom.0203"


class DeleteFailed(JobFault):
    """The machine could not be deleted."""

    cure = "Read the reason in the message, then try the job again."
    code = "Darkroom.0301"


class AttachFailed(JobFault):
    """The application could not be attached."""

    cure = "Mend the application by the last lines of its output in the message."
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

    cure = "Read what the guest said in the message."
    code = "Darkroom.0402"


def cure_of(code: str) -> str:
    """Return what whoever meets an error of a job's code can do; empty for a code that jobs do not fail with."""
    kinds: list[type[JobFault]] = [JobFault, *JobFault.__subclasses__()]
    return next((kind.cure for kind in kinds if kind.code == code), "")
