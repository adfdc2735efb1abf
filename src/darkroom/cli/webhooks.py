"""`darkroom webhooks`: addresses that are sent the events of a project."""

import time
from typing import Annotated, Any

import typer
from rich.text import Text

from darkroom.cli import complete, output, who
from darkroom.cli.client import Api
from darkroom.cli.failures import ExitCode
from darkroom.cli.output import Json

app = typer.Typer(no_args_is_help=True, help="Keep webhooks: addresses that are sent what happens in the project.")
PATH = "/v1/{project}/webhooks"
#: Seconds between two looks whether something has been sent; an attempt takes ten at most.
INTERVAL = 0.3

WebhookId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the webhook.", autocompletion=complete.webhooks, show_default=False)
]
DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY", help="Id of the delivery.", show_default=False)]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Which events: '*', 'job.*' or 'job.ended'; may be repeated."),
]


@app.command()
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to send events.", show_default=False)],
    kinds: Kinds = None,
    description: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Have events sent to an address; without --kind those of jobs. Its secret is shown this once."""
    order = {"url": url, "kinds": kinds or None, "description": description}
    made = ctx.obj.api().call("POST", PATH, body=order)
    if json:
        output.dump(made)
        return
    _tell(made)
    output.note("The secret is shown this once; the receiver needs it to verify what it is sent.")


@app.command("list")
def list_webhooks(ctx: typer.Context, json: Json = False) -> None:
    """List webhooks, the newest first."""
    found = ctx.obj.api().items(PATH)
    if json:
        output.dump(found)
        return
    rows = [(each["id"], _state(each), " ".join(each["kinds"]), each["url"]) for each in found]
    output.table(("ID", "STATE", "KINDS", "URL"), rows, fold="URL", nothing="No webhooks.")


@app.command()
def show(ctx: typer.Context, webhook_id: WebhookId, json: Json = False) -> None:
    """Show a webhook."""
    found = ctx.obj.api().get(_path(webhook_id))
    output.dump(found) if json else _tell(found)


@app.command()
def change(
    ctx: typer.Context,
    webhook_id: WebhookId,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where to send events from now on.")] = None,
    kinds: Kinds = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
) -> None:
    """Change a webhook; what is not named stays."""
    given = {"url": url, "kinds": kinds, "description": description}
    _change(ctx, webhook_id, {name: value for name, value in given.items() if value is not None})


@app.command()
def disable(ctx: typer.Context, webhook_id: WebhookId) -> None:
    """Disable a webhook: what happens meanwhile is not sent to it, nor later."""
    _change(ctx, webhook_id, {"enabled": False})


@app.command()
def enable(ctx: typer.Context, webhook_id: WebhookId) -> None:
    """Enable a webhook again: what was on its way goes on, and what happens from now on is sent."""
    _change(ctx, webhook_id, {"enabled": True})


@app.command()
def remove(ctx: typer.Context, webhook_id: WebhookId, yes: output.Yes = False) -> None:
    """Remove a webhook, with what was on its way to it."""
    api = ctx.obj.api()
    found = api.get(_path(webhook_id))
    output.confirm("This webhook will be removed:", [f"{found['id']}  {found['url']}"], yes=yes)
    api.call("DELETE", _path(webhook_id))
    output.say(f"Webhook {webhook_id} is removed.")


@app.command()
def rotate(ctx: typer.Context, webhook_id: WebhookId, json: Json = False) -> None:
    """Replace the secret. For a day everything is signed with the former one too."""
    answer = ctx.obj.api().call("POST", f"{_path(webhook_id)}/actions/rotate-secret")
    if json:
        output.dump(answer)
        return
    output.details({"Secret": answer["secret"]})
    output.note("The secret is shown this once; the former one goes on signing beside it for a day.")


@app.command()
def deliveries(
    ctx: typer.Context,
    webhook_id: WebhookId,
    status: Annotated[str | None, typer.Option(help="Only PENDING, DELIVERED or FAILED ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    json: Json = False,
) -> None:
    """List what was sent to a webhook, the newest first, and how that went."""
    found = ctx.obj.api().items(f"{_path(webhook_id)}/deliveries", limit=limit, status=status)
    if json:
        output.dump(found)
        return
    rows = [
        (
            each["id"],
            each["kind"],
            output.status(each["status"]),
            output.short_time(each["create_time"]),
            str(len(each["attempts"])),
            _last(each),
        )
        for each in found
    ]
    output.table(("ID", "KIND", "STATUS", "CREATED", "TRIES", "AT LAST"), rows, fold="AT LAST", nothing="Nothing yet.")


@app.command()
def test(ctx: typer.Context, webhook_id: WebhookId) -> None:
    """Send an event that says nothing, and tell how that went. Exits with 1 if it did not arrive."""
    api = ctx.obj.api()
    _follow(api, webhook_id, api.call("POST", f"{_path(webhook_id)}/actions/test"), attempts=0)


@app.command()
def redeliver(ctx: typer.Context, webhook_id: WebhookId, delivery_id: DeliveryId) -> None:
    """Send something again, and tell how that went. Exits with 1 if it did not arrive."""
    api = ctx.obj.api()
    path = f"{_path(webhook_id)}/deliveries/{who.in_path(delivery_id)}"
    attempts = len(api.get(path)["attempts"])
    _follow(api, webhook_id, api.call("POST", f"{path}/actions/redeliver"), attempts=attempts)


def _path(webhook_id: str) -> str:
    return f"{PATH}/{who.in_path(webhook_id)}"


def _change(ctx: typer.Context, webhook_id: str, changes: dict[str, Any]) -> None:
    _tell(ctx.obj.api().call("PATCH", _path(webhook_id), body=changes))


def _follow(api: Api, webhook_id: str, delivery: dict[str, Any], *, attempts: int) -> None:
    """Wait until a delivery has been attempted once more, and tell how."""
    path = f"{_path(webhook_id)}/deliveries/{delivery['id']}"
    while delivery["status"] == "PENDING" and len(delivery["attempts"]) <= attempts:
        time.sleep(INTERVAL)
        delivery = api.get(path)
    output.say(Text.assemble(f"Delivery {delivery['id']}: ", output.status(delivery["status"]), f", {_last(delivery)}"))
    if delivery["status"] != "DELIVERED":
        raise typer.Exit(ExitCode.FAILED)


def _last(delivery: dict[str, Any]) -> str:
    """Spell how the latest attempt went."""
    if not delivery["attempts"]:
        return "not sent yet"
    attempt = delivery["attempts"][-1]
    said = f" ({' '.join(attempt['answer'].split())[:80]})" if attempt.get("error") and attempt.get("answer") else ""
    return f"{attempt.get('error') or attempt['status']}{said} after {output.duration(attempt['took_ms'] / 1000)}"


def _state(webhook: dict[str, Any]) -> str:
    if not webhook["enabled"]:
        return "disabled"
    return "failing" if "failing_since" in webhook else "enabled"


def _tell(webhook: dict[str, Any]) -> None:
    output.details(
        {
            "Webhook": webhook["id"],
            "URL": webhook["url"],
            "Kinds": " ".join(webhook["kinds"]),
            "Description": webhook["description"],
            "State": _state(webhook),
            "Because": webhook.get("disabled_reason", ""),
            "Failing since": output.time(webhook.get("failing_since")),
            "Created": output.time(webhook["create_time"]),
            "Secret": webhook.get("secret", ""),
        }
    )
