"""Names that people read for the states and kinds of things, and the tone in which a state is shown."""

from typing import Final

from darkroom.console.i18n import N_
from darkroom.domain.apps import AppKind, AppStatus
from darkroom.domain.images import ImageStatus, ImageType
from darkroom.domain.jobs import JobStatus, JobType, SubJobStatus
from darkroom.domain.servers import ServerStatus

JOB_TYPES: Final = {
    JobType.CREATE_SERVER: N_("Create image server"),
    JobType.CREATE_SERVER_IMAGE: N_("Build image"),
    JobType.DELETE_SERVER: N_("Delete image server"),
}

IMAGE_TYPES: Final = {
    ImageType.GOLD: N_("Gold"),
    ImageType.PUBLIC: N_("Public"),
    ImageType.PRIVATE: N_("Private"),
    ImageType.SHARED: N_("Shared"),
    ImageType.OTHER: N_("Other"),
}

APP_KINDS: Final = {AppKind.PACKAGE: N_("Package"), AppKind.SCRIPT: N_("Script")}

#: A state's name and tone: `busy` goes on, `good` and `bad` are ends, `calm` is neither.
STATES: Final = {
    JobStatus.WAITING: (N_("Waiting"), "calm"),
    JobStatus.RUNNING: (N_("Running"), "busy"),
    JobStatus.SUCCESS: (N_("Succeeded"), "good"),
    JobStatus.FAILED: (N_("Failed"), "bad"),
    SubJobStatus.ABNORMAL: (N_("Left something behind"), "bad"),
    SubJobStatus.ROLLBACK: (N_("Being undone"), "busy"),
    SubJobStatus.ABORTING: (N_("Being cancelled"), "busy"),
    ServerStatus.CREATING: (N_("Being created"), "busy"),
    ServerStatus.ACTIVE: (N_("Active"), "good"),
    ServerStatus.BUILDING: (N_("Building an image"), "busy"),
    ServerStatus.BUILT: (N_("Image built"), "good"),
    ServerStatus.ERROR: (N_("In error"), "bad"),
    ServerStatus.DELETING: (N_("Being deleted"), "busy"),
    ImageStatus.QUEUED: (N_("Waits for its file"), "calm"),
    ImageStatus.SAVING: (N_("Being uploaded"), "busy"),
    ImageStatus.ACTIVE: (N_("Ready"), "good"),
    AppStatus.QUEUED: (N_("Waits for its file"), "calm"),
    AppStatus.SAVING: (N_("Being uploaded"), "busy"),
    AppStatus.ACTIVE: (N_("Ready"), "good"),
}

STEPS: Final = {
    "check host": N_("Check the host"),
    "boot machine": N_("Start the machine"),
    "await guest": N_("Wait for the guest"),
    "admit account": N_("Make the account"),
    "log in": N_("Log in"),
    "attach applications": N_("Attach applications"),
    "freeze disk": N_("Freeze the disk"),
    "generalise": N_("Generalise"),
    "flatten": N_("Write the image"),
    "discard snapshot": N_("Discard the snapshot"),
    "remove machine": N_("Remove the machine"),
}

#: What evidence tells of a machine and its guest.
SIGHTS: Final = {
    "state": N_("Machine"),
    "why": N_("Why it stopped"),
    "instance_id": N_("Machine's id"),
    "accelerator": N_("Accelerator"),
    "agent": N_("Guest agent"),
    "version": N_("Agent's version"),
    "os": N_("Operating system"),
    "kernel": N_("Kernel"),
    "hostname": N_("Host name"),
}

EVENTS: Final = {
    "server.added": N_("Ordered"),
    "server.changed": N_("Changed"),
    "server.moved": N_("State"),
    "server.machine_stopped": N_("The machine stopped"),
    "server.machine_kept": N_("The machine is kept to be looked at"),
    "server.machine_reaped": N_("The kept machine was removed"),
    "server.restarted": N_("The machine was started again"),
    "server.door_moved": N_("SSH moved to another port"),
    "server.admitted": N_("The account was let in"),
    "server.attach_begun": N_("Attaching applications began"),
    "server.attached": N_("Applications were attached"),
    "server.attach_ended": N_("Attaching applications ended"),
    "sub_job.moved": N_("Job"),
}

#: Why something is not offered to somebody.
NOT_ALLOWED: Final = N_("Your roles do not allow this.")

#: What can be done with a job: the button's words, what will happen, and the words that say yes to it.
ACTIONS: Final = {
    "cancel": (
        N_("Cancel"),
        N_("The step that runs is ended and what the job has done is undone. The job then ends as failed."),
        N_("Cancel the job"),
    ),
    "retry": (
        N_("Try again"),
        N_("A new job does the same for the same image servers, from the first step. This one stays as it is."),
        N_("Try again"),
    ),
    "clean": (
        N_("Clean up"),
        N_("What the job left behind is undone once more. The job stays failed."),
        N_("Clean up"),
    ),
}
