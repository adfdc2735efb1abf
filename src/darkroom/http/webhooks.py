"""Routes of webhooks, beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.domain.ids import ProjectId
from darkroom.domain.webhooks import DEFAULT_KINDS, DeliveryStatus
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.parameters import PAGE, Choice, page_of
from darkroom.http.requests import decode, path_id, project_of
from darkroom.services.webhooks import Webhooks
from darkroom.wire import webhooks as wire

WEBHOOKS = "/v1/{project_id}/webhooks"

STATUS = Choice("status", DeliveryStatus, meaning="Only deliveries in this state.")


def routes(operations: Operations, webhooks: Webhooks) -> list[BaseRoute]:
    async def add_webhook(caller: Caller, request: Request, body: bytes) -> Response:
        """Have events of the project sent to an address; the answer has the secret, this once."""
        wanted = decode(request, body, wire.AddWebhook, wire.IN_WORDS)
        made, secret = await webhooks.add(
            caller,
            project_of(request),
            url=wanted.url,
            kinds=wanted.kinds or DEFAULT_KINDS,
            description=wanted.description or "",
        )
        return JSON(wire.webhook(made, secret), 201)

    async def list_webhooks(caller: Caller, request: Request) -> Response:
        """The webhooks of the project, newest first."""
        count, found = await webhooks.page(caller, project_of(request), **page_of(request))
        return JSON(wire.Webhooks(count, [wire.webhook(each) for each in found]))

    async def show_webhook(caller: Caller, request: Request) -> Response:
        """One webhook."""
        return JSON(wire.webhook(await webhooks.show(caller, *_path(request))))

    async def change_webhook(caller: Caller, request: Request, body: bytes) -> Response:
        """Change a webhook, disable it or enable it again."""
        wanted = decode(request, body, wire.ChangeWebhook, wire.IN_WORDS)
        return JSON(wire.webhook(await webhooks.change(caller, *_path(request), wanted.changes())))

    async def delete_webhook(caller: Caller, request: Request) -> Response:
        """Delete a webhook with its deliveries."""
        await webhooks.remove(caller, *_path(request))
        return Response(status_code=204)

    async def rotate_webhook_secret(caller: Caller, request: Request) -> Response:
        """Replace a webhook's secret; for a day the former one signs beside it."""
        return JSON(wire.Secret(await webhooks.rotate(caller, *_path(request))))

    async def test_webhook(caller: Caller, request: Request) -> Response:
        """Have an event sent that says nothing, to see whether it arrives."""
        return JSON(wire.delivery(await webhooks.test(caller, *_path(request))), 202)

    async def list_webhook_deliveries(caller: Caller, request: Request) -> Response:
        """What was sent to a webhook, newest first, and how that went."""
        project_id, webhook_id = _path(request)
        count, found = await webhooks.deliveries(
            caller, project_id, webhook_id, status=STATUS.read(request), **page_of(request)
        )
        return JSON(wire.Deliveries(count, [wire.delivery(each) for each in found]))

    async def show_webhook_delivery(caller: Caller, request: Request) -> Response:
        """One delivery."""
        found = await webhooks.delivery(caller, *_path(request), path_id(request, "delivery_id"))
        return JSON(wire.delivery(found))

    async def redeliver_webhook_delivery(caller: Caller, request: Request) -> Response:
        """Have something sent again."""
        found = await webhooks.redeliver(caller, *_path(request), path_id(request, "delivery_id"))
        return JSON(wire.delivery(found), 202)

    one = f"{WEBHOOKS}/{{webhook_id}}"
    sent = f"{one}/deliveries"
    return [
        operations.write("POST", WEBHOOKS, add_webhook, body=wire.AddWebhook, answer=wire.Webhook, status=201),
        operations.read("GET", WEBHOOKS, list_webhooks, parameters=PAGE, answer=wire.Webhooks),
        operations.read("GET", one, show_webhook, answer=wire.Webhook),
        operations.write("PATCH", one, change_webhook, body=wire.ChangeWebhook, answer=wire.Webhook),
        operations.read("DELETE", one, delete_webhook, status=204),
        operations.read("POST", f"{one}/actions/rotate-secret", rotate_webhook_secret, answer=wire.Secret),
        operations.read("POST", f"{one}/actions/test", test_webhook, answer=wire.Delivery, status=202),
        operations.read("GET", sent, list_webhook_deliveries, parameters=(STATUS, *PAGE), answer=wire.Deliveries),
        operations.read("GET", f"{sent}/{{delivery_id}}", show_webhook_delivery, answer=wire.Delivery),
        operations.read(
            "POST", f"{sent}/{{delivery_id}}/actions/redeliver", redeliver_webhook_delivery, answer=wire.Delivery,
            status=202,
        ),
    ]  # fmt: skip


def _path(request: Request) -> tuple[ProjectId, str]:
    return project_of(request), path_id(request, "webhook_id")
