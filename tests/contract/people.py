"""Users for tests of identity: made by the service's own API, and ways to sign in as them."""

from typing import Any

import httpx2
from service_process import Service, Signature

from darkroom.domain.ids import new_hex

PASSWORD = "correct horse battery"


def must(answer: httpx2.Response, status: int = 200) -> Any:
    """Return the body of an answer that must have that status."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


class Person:
    """A user of the first account, or of another one, with an access key."""

    def __init__(self, service: Service, *roles: str, project: str = "", account: str = "", name: str = "") -> None:
        """Make a user who has the roles in one project, or in all of the account."""
        self.service = service
        self.account = account or service.credentials["account_id"]
        self.name = name or f"user-{new_hex()}"
        order = {"name": self.name, "password": PASSWORD, "domain_id": self.account}
        self.id = must(service.ask("POST", "/v3/users", {"user": order}), 201)["user"]["id"]
        for role in roles:
            must(service.ask("PUT", self.grant(role, project)), 204)
        self.access, self.secret = self.new_key()
        self.signature = Signature(self.access, self.secret)

    def grant(self, role: str, project: str = "") -> str:
        """Return the path of a grant to this user."""
        place = f"projects/{project}" if project else f"domains/{self.account}"
        return f"/v3/{place}/users/{self.id}/roles/{role}"

    def new_key(self) -> tuple[str, str]:
        made = must(
            self.service.ask("POST", "/v3.0/OS-CREDENTIAL/credentials", {"credential": {"user_id": self.id}}), 201
        )
        return made["credential"]["access"], made["credential"]["secret"]

    def change(self, **changes: Any) -> None:
        """Change this user as an administrator does."""
        must(self.service.ask("PATCH", f"/v3/users/{self.id}", {"user": changes}))

    def ask(self, method: str, path: str, body: Any = None, *, project: str = "", **more: Any) -> httpx2.Response:
        """Send a request that this user has signed, in the first project or in another one."""
        project = project or self.service.project_id
        path = path if path.startswith("/") else f"/v1/{project}/{path}"
        return self.service.ask(
            method,
            path,
            body,
            auth=self.signature,
            headers={"X-Project-Id": project, **more.pop("headers", {})},
            **more,
        )

    def ask_for_account(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        """Send a signed request that names no project."""
        return self.service.http(method, path, json=body, auth=self.signature, **more)

    def sign_in(self, scope: Any = None, *, password: str = PASSWORD) -> httpx2.Response:
        identity = {"methods": ["password"], "password": {"user": {"id": self.id, "password": password}}}
        return self.service.http(
            "POST", "/v3/auth/tokens", json={"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
        )

    def token(self, scope: Any = None) -> str:
        answer = self.sign_in(scope or {"project": {"id": self.service.project_id}})
        assert answer.status_code == 201, answer.text
        return str(answer.headers["x-subject-token"])


def renew(service: Service, token: str, scope: Any = None) -> httpx2.Response:
    """Get a token by a token."""
    identity = {"methods": ["token"], "token": {"id": token}}
    body = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
    return service.http("POST", "/v3/auth/tokens", json=body)


def with_token(service: Service, token: str, path: str = "", *, method: str = "GET", **headers: str) -> httpx2.Response:
    """Send a request with a token, by default one that reads jobs."""
    path = path or f"/v1/{service.project_id}/image-server-jobs?job_type="
    return service.http(method, path, headers={"X-Auth-Token": token, **headers})


def temporary_key(service: Service, token: str, **more: Any) -> httpx2.Response:
    """Ask for a temporary key by a token."""
    identity = {"methods": ["token"], "token": {"id": token, **more}}
    return service.http("POST", "/v3.0/OS-CREDENTIAL/securitytokens", json={"auth": {"identity": identity}})


def new_account(service: Service) -> tuple[str, str]:
    """Make another account; return its id and its project's."""
    name = f"account-{new_hex()}"
    account = must(service.ask("POST", "/v3/domains", {"domain": {"name": name}}), 201)["domain"]["id"]
    (project,) = must(service.ask("GET", "/v3/projects", domain_id=account))["projects"]
    return account, project["id"]


def new_project(service: Service, **more: Any) -> str:
    order = {"name": f"project-{new_hex()}", **more}
    return str(must(service.ask("POST", "/v3/projects", {"project": order}), 201)["project"]["id"])


def assert_keystone(answer: httpx2.Response, status: int, *words: str) -> None:
    """See that an answer is an error in Keystone's envelope (contract section 9.3)."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"code", "message", "title"}
    assert error["code"] == status
    assert answer.headers["x-iam-trace-id"] == answer.headers["x-request-id"]
    for word in words:
        assert word in error["message"], error


def assert_native(answer: httpx2.Response, status: int, code: str, *words: str) -> None:
    """See that an answer is an error of the identity service's own paths."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"error_msg", "error_code"}
    assert body["error_code"] == code, body
    for word in words:
        assert word in body["error_msg"], body
