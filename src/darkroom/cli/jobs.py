"""`darkroom jobs`: what the service is doing, has done, and why it failed."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from darkroom.cli import complete, output, progress, remains, watch, why
from darkroom.cli import timeline as drawing
from darkroom.cli.client import Api
from darkroom.cli.failures import ExitCode, Failure, Refusal
from darkroom.cli.output import Json
from darkroom.domain.jobs import JobStatus, JobType

app = typer.Typer(no_args_is_help=True, help="Follow jobs: list them, show one with its steps, wait for its end.")

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")]
JobId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the job.", autocompletion=complete.jobs, show_default=False)
]


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    job_type: Annotated[JobType | None, typer.Option("--type", help="Only jobs of this kind.")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    json: Json = False,
) -> None:
    """List jobs, the newest first."""
    found = ctx.obj.api().items(
        "/v1/{project}/image-server-jobs",
        job_type=job_type.value if job_type else "",
        status=status.value if status else None,
        limit=limit,
    )
    if json:
        output.dump(found)
        return
    output.table(
        ("ID", "TYPE", "STATUS", "BEGUN", "TOOK"),
        [
            (
                job["id"],
                job["job_type"],
                output.status(job["status"]),
                output.short_time(job["begin_time"]),
                output.took(job["begin_time"], job.get("end_time")),
            )
            for job in found
        ],
        nothing="No jobs.",
    )


@app.command()
def show(ctx: typer.Context, job_id: JobId, json: Json = False) -> None:
    """Show one job: its sub-jobs, its steps and how long each took, and why it failed."""
    api = ctx.obj.api()
    job = api.get(progress.path_of(job_id))
    if json:
        output.dump(job)
        return
    output.details(
        {
            "Job": job["id"],
            "Type": job["job_type"],
            "Status": output.status(job["status"]),
            "Begun": output.time(job["begin_time"]),
            "Ended": output.time(job.get("end_time")),
            "Took": output.took(job["begin_time"], job.get("end_time")),
        }
    )
    for reason in progress.reasons(job):
        output.say(Text.assemble("\n", reason))
    _show_sub_jobs(job)
    _show_steps(job, progress.timeline(api, job_id))


@app.command()
def timeline(ctx: typer.Context, job_id: JobId, json: Json = False) -> None:
    """Draw what a job did and when: every step with its time, what was undone, what is to come."""
    api: Api = ctx.obj.api()
    found = api.get(f"{progress.path_of(job_id)}/timeline")
    if json:
        output.dump(found)
    else:
        drawing.draw(api.get(progress.path_of(job_id)), found)


@app.command("why")
def explain(
    ctx: typer.Context,
    job_id: JobId,
    screen: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the picture of the machine's screen (PNG).", show_default=False),
    ] = None,
    lines: Annotated[int, typer.Option(min=0, help="Lines of the serial console to show.")] = 20,
    json: Json = False,
) -> None:
    """Explain why a job failed: the step, the error, what to do about it, and what the machine showed."""
    api: Api = ctx.obj.api()
    found = why.failures(api, job_id)
    if json:
        output.dump(found)
    else:
        job = api.get(progress.path_of(job_id))
        why.explain(job, found, lines=lines, offer_screen=screen is None)
    if screen is None:
        return
    saved = why.save_screens(api, found, screen)
    if not saved:
        raise Failure("There is no picture of a screen.", hint="`darkroom jobs why ID` says what was seen.")
    for path in saved:
        output.note(f"The screen is in {path}.")


@app.command()
def wait(
    ctx: typer.Context,
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long.")] = None,
    json: Json = False,
) -> None:
    """Wait until a job has ended. Exit code 0: it succeeded; 1: it failed; 3: it goes on after the time given."""
    finish(ctx.obj.api(), job_id, timeout=timeout, json=json)


@app.command("watch")
def watch_jobs(
    ctx: typer.Context,
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="Ids of jobs; default: all that run, and those that begin meanwhile.",
            autocompletion=complete.jobs,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Watch jobs as they go on, until they have ended: bars on a terminal, else a line for each event.

    Exit code 0: all succeeded; 1: not all. A restart of the service is waited for.
    """
    watch.watch(ctx.obj, job_ids or [])


@app.command()
def cancel(ctx: typer.Context, job_id: JobId, wait: Wait = False) -> None:
    """Cancel a job: what it has done is undone. Repeating this changes nothing."""
    api: Api = ctx.obj.api()
    api.call("POST", f"{progress.path_of(job_id)}/actions/cancel")
    job = progress.follow(api, job_id) if wait else api.get(progress.path_of(job_id))
    output.say(Text.assemble(f"Job {job_id}, which is to be cancelled: ", output.status(job["status"])))


@app.command()
def retry(ctx: typer.Context, job_id: JobId, wait: Wait = False, json: Json = False) -> None:
    """Try a failed job again, as a new job."""
    answer = ctx.obj.api().call("POST", f"{progress.path_of(job_id)}/actions/retry")
    accepted(ctx.obj.api(), answer["job_id"], wait=wait, json=json)


@app.command()
def clean(
    ctx: typer.Context,
    job_id: Annotated[
        str,
        typer.Argument(
            metavar="[ID]",
            help="Id of the job; default: all that left something.",
            autocompletion=complete.jobs,
            show_default=False,
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Undo once more what failed jobs could not undo. Exits with 1 if something is still left behind then."""
    left = remains.clean(ctx.obj.api(), job_id)
    if json:
        output.dump(left)
    for each in [] if json else left:
        output.say(Text(remains.told(each), "bold red"))
    if left:
        raise typer.Exit(ExitCode.FAILED)
    if not json:
        output.say("Nothing is left behind.")


def finish(api: Api, job_id: str, *, timeout: float | None = None, json: bool = False) -> dict[str, Any]:
    """Follow a job to its end, print how it ended, and return it. Exits with 1 if it failed."""
    job = progress.follow(api, job_id, timeout=timeout)
    if json:
        output.dump(job)
    else:
        took = output.took(job["begin_time"], job.get("end_time"))
        output.say(Text.assemble(f"Job {job_id}: ", output.status(job["status"]), f" after {took}"))
        for line in [*progress.reasons(job), *map(Text, _fruits(job))]:
            output.say(line)
        if job["status"] == JobStatus.FAILED:
            output.say(f"More: darkroom jobs why {job_id}")
    if job["status"] != JobStatus.SUCCESS:
        raise typer.Exit(ExitCode.FAILED)
    return job


def accepted(api: Api, job_id: str, *, wait: bool, json: bool) -> None:
    """Print that a job was accepted and how to follow it, or follow it to its end."""
    if wait:
        finish(api, job_id, json=json)
    elif json:
        output.dump({"job_id": job_id})
    else:
        output.say(f"Job {job_id} is under way. Follow it: darkroom jobs wait {job_id}")


def _fruits(job: dict[str, Any]) -> list[str]:
    """Say what a job that succeeded has made, and what can be done with it."""
    made = [sub["job_resource_info"] for sub in job["sub_jobs"] if sub["status"] == JobStatus.SUCCESS]
    if job["job_type"] == JobType.CREATE_SERVER:
        text = "Image server {resource_name} is ready: {resource_id}\nLog in: darkroom servers ssh {resource_name}"
    elif job["job_type"] == JobType.CREATE_SERVER_IMAGE:
        text = "Image {resource_name} is ready: {resource_id}"
    else:
        return []
    return [text.format_map(resource) for resource in made]


def reason(api: Api, job_id: str) -> str:
    """Return why a job failed, in one text; empty if that is no longer known."""
    try:
        job = api.get(progress.path_of(job_id))
    except Refusal:
        return ""  # it has been purged
    told = [sub["job_execute_info"]["error_message"] for sub in job["sub_jobs"]]
    return "\n".join([*filter(None, told), f"(darkroom jobs show {job_id})"])


def _show_sub_jobs(job: dict[str, Any]) -> None:
    output.say("")
    output.table(
        ("SUB-JOB", "RESOURCE", "RESOURCE ID", "STATUS"),
        [
            (
                sub["id"],
                sub["job_resource_info"]["resource_name"],
                sub["job_resource_info"]["resource_id"],
                output.status(sub["status"]),
            )
            for sub in job["sub_jobs"]
        ],
        fold="RESOURCE",
    )


def _show_steps(job: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    if not steps:
        return
    names = {sub["id"]: sub["job_resource_info"]["resource_name"] for sub in job["sub_jobs"]}
    several = len(names) > 1
    output.say("")
    output.table(
        (*(["RESOURCE"] if several else []), "STEP", "STATUS", "BEGUN", "TOOK", "NOTE"),
        [
            (
                *([names.get(step["sub_job_id"], "?")] if several else []),
                progress.label(step),
                output.status(step["status"]),
                f"{begun:%H:%M:%S}" if (begun := output.moment(step.get("begin_time"))) else "",
                output.took(step.get("begin_time"), step.get("end_time")),
                _remark(step),
            )
            for step in steps
        ],
        fold="NOTE",
    )


def _remark(step: dict[str, Any]) -> str:
    if step.get("error"):  # in full it stands above, as the job's failure
        return drawing.remark(step)
    parts = [drawing.remark(step)]
    facts = {name: value for name, value in (step.get("detail") or {}).items() if name != "kept_minutes"}
    parts += [_fact(name, value) for name, value in facts.items()]
    return ", ".join(part for part in parts if part)


def _fact(name: str, value: Any) -> str:
    """Spell one detail of a step; sizes are bytes, and a digest is told by its beginning."""
    words = name.replace("_", " ")
    if isinstance(value, list):
        return f"{words} {' '.join(map(str, value))}"
    if name.endswith("size"):
        return f"{words} {output.size(value)}"
    if name.endswith("_seconds"):
        return f"{words.removesuffix(' seconds')} {value:.3f} s"
    return f"{words} {value[:12]}…" if name == "sha256" else f"{words} {value}"
