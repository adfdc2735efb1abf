"""Routes that manage users, in Keystone's shapes, and their access keys, in the vendor's. Beside the contract."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from darkroom.domain.accounts import Caller
from darkroom.http.answers import JSON
from darkroom.http.operations import Operations
from darkroom.http.parameters import ID_LIMIT, Text
from darkroom.http.requests import base_url, decode, path_id
from darkroom.services.users import Users
from darkroom.wire import credentials as keys_wire
from darkroom.wire import directory as wire

KEYS = "/v3.0/OS-CREDENTIAL/credentials"
USER = Text("user_id", ID_LIMIT, meaning="Whose keys; by default the caller's.")


def routes(operations: Operations, users: Users) -> list[BaseRoute]:
    async def add_user(caller: Caller, request: Request, body: bytes) -> Response:
        """Add a user, who may nothing yet."""
        wanted = decode(request, body, wire.AddUser, wire.IN_WORDS).user
        added = await users.add(
            caller,
            name=wanted.name,
            password=wanted.password,
            account_id=wanted.domain_id or "",
            enabled=wanted.enabled is not False,
        )
        return JSON(wire.OneUser(wire.user(added, base_url(request))), 201)

    async def change_user(caller: Caller, request: Request, body: bytes) -> Response:
        """Change a user's name or password, or disable or enable it."""
        wanted = decode(request, body, wire.ChangeUser, wire.IN_WORDS).user
        changed = await users.change(
            caller, path_id(request, "user"), name=wanted.name, password=wanted.password, enabled=wanted.enabled
        )
        return JSON(wire.OneUser(wire.user(changed, base_url(request))))

    async def remove_user(caller: Caller, request: Request) -> Response:
        """Delete a user with its keys and roles."""
        await users.remove(caller, path_id(request, "user"))
        return Response(status_code=204)

    async def change_own_password(caller: Caller, request: Request, body: bytes) -> Response:
        """Change one's own password."""
        wanted = decode(request, body, wire.ChangeOwnPassword, wire.IN_WORDS).user
        await users.change_own_password(
            caller, path_id(request, "user"), original=wanted.original_password, password=wanted.password
        )
        return Response(status_code=204)

    async def add_key(caller: Caller, request: Request, body: bytes) -> Response:
        """Give a user an access key; its secret is shown here and never again."""
        wanted = decode(request, body, keys_wire.AddCredential, keys_wire.IN_WORDS).credential
        key = await users.add_key(caller, wanted.user_id, wanted.description or "")
        return JSON(keys_wire.OneCredential(keys_wire.credential(key, with_secret=True)), 201)

    async def list_keys(caller: Caller, request: Request) -> Response:
        """List a user's access keys."""
        found = await users.keys(caller, USER.read(request) or caller.user_id)
        return JSON(keys_wire.Credentials([keys_wire.credential(key) for key in found]))

    async def show_key(caller: Caller, request: Request) -> Response:
        """Show one access key, without its secret."""
        return JSON(keys_wire.OneCredential(keys_wire.credential(await users.key(caller, path_id(request, "access")))))

    async def change_key(caller: Caller, request: Request, body: bytes) -> Response:
        """Disable or enable an access key, or describe it."""
        wanted = decode(request, body, keys_wire.ChangeCredential, keys_wire.IN_WORDS).credential
        enabled = None if wanted.status is None else wanted.status is keys_wire.Status.ACTIVE
        key = await users.change_key(
            caller, path_id(request, "access"), enabled=enabled, description=wanted.description
        )
        return JSON(keys_wire.OneCredential(keys_wire.credential(key)))

    async def remove_key(caller: Caller, request: Request) -> Response:
        """Delete an access key."""
        await users.remove_key(caller, path_id(request, "access"))
        return Response(status_code=204)

    one_user, one_key = "/v3/users/{user}", f"{KEYS}/{{access}}"
    key = keys_wire.OneCredential
    return [
        operations.write("POST", "/v3/users", add_user, body=wire.AddUser, answer=wire.OneUser, status=201),
        operations.write("PATCH", one_user, change_user, body=wire.ChangeUser, answer=wire.OneUser),
        operations.read("DELETE", one_user, remove_user, status=204),
        operations.write("POST", f"{one_user}/password", change_own_password, body=wire.ChangeOwnPassword, status=204),
        operations.write("POST", KEYS, add_key, body=keys_wire.AddCredential, answer=key, status=201),
        operations.read("GET", KEYS, list_keys, parameters=(USER,), answer=keys_wire.Credentials),
        operations.read("GET", one_key, show_key, answer=key),
        operations.write("PUT", one_key, change_key, body=keys_wire.ChangeCredential, answer=key),
        operations.read("DELETE", one_key, remove_key, status=204),
    ]
