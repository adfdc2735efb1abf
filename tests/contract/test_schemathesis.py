"""The service against its own OpenAPI document: whatever the document allows, no answer is one it does not describe."""

from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service_process import Service
from test_openapi import OURS

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

_schema = schemathesis.openapi.from_dict(OURS)
_described = [result.ok() for result in _schema.get_all_operations()]
#: All but the streams, which do not end, what would take the caller's own sign-in away, and what would have the service
#: send to addresses made up by chance.
OPERATIONS = [
    each
    for each in _described
    if (each.method.upper() in ("GET", "HEAD") or not each.path.startswith("/v3"))
    and not each.path.endswith("/image-server-jobs/events")
    and not (each.path.startswith("/v1/{project_id}/webhooks") and each.method.upper() in ("POST", "PATCH"))
]


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    known = service.credentials
    user = {"name": known["user"], "password": known["password"], "domain": {"name": known["account"]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"id": known["project_id"]}}
    answer = httpx2.post(
        f"{service.endpoint}/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}}, trust_env=False
    )
    return str(answer.headers["X-Subject-Token"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=[each.label for each in OPERATIONS])
def test_nothing_that_the_document_describes_is_a_surprise(service: Service, token: str, operation: Any) -> None:
    @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        if "project_id" in case.path_parameters:
            case.path_parameters["project_id"] = service.project_id
        answer = case.call(base_url=service.endpoint, headers={"X-Auth-Token": token})
        case.validate_response(answer, checks=CHECKS)

    ask()
