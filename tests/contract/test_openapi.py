"""The document made of the code against the contract's: whoever changes either without the other learns it here."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from darkroom.app import Service
from darkroom.http import openapi
from darkroom.settings import Settings

CONTRACT = Path(__file__).parents[2] / "docs" / "reference" / "contract" / "openapi.yaml"
Schema = dict[str, Any]


def _document() -> Schema:
    with tempfile.TemporaryDirectory() as data:
        service = Service(Settings(data=Path(data), driver="simulated"))
        routes = service.application().routes
        service.store.close()
    return json.loads(json.dumps(openapi.document(routes)))


def _by_id(document: Schema) -> dict[str, tuple[str, str, Schema]]:
    return {
        operation["operationId"]: (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


OURS, THEIRS = _document(), yaml.safe_load(CONTRACT.read_text())
MINE, CONTRACTS = _by_id(OURS), _by_id(THEIRS)
#: Operations of the contract's document that belong to other services (contract section 4), or to signing in.
ELSEWHERE = {"ShowJob", "ShowJobDetail", "ListProduct", "ListAvailabilityZone", "ListAz", "ListSessionType"}
ELSEWHERE |= {"ListVolumeType", "CreateToken"}
ELSEWHERE |= {"CreateTemporaryAccessKey", "CreateTokenWithIdToken"}
HERE = sorted(CONTRACTS.keys() - ELSEWHERE)


def _resolved(schema: Schema, document: Schema) -> Schema:
    """Return a schema with references followed, null and alternatives of it dropped, and `allOf` merged."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    for part in schema.get("allOf", ()):
        merged = _resolved(part, document)
        properties = {**schema.get("properties", {}), **merged.get("properties", {})}
        required = [*schema.get("required", ()), *merged.get("required", ())]
        schema = {**schema, **merged, "properties": properties, "required": required}
    for union in ("oneOf", "anyOf"):
        others = [part for part in schema.get(union, ()) if part.get("type") != "null"]
        if len(others) == 1:
            return _resolved(others[0], document)
    kind = schema.get("type")
    if isinstance(kind, list):
        schema = {**schema, "type": next(each for each in kind if each != "null")}
    return schema


def _assert_same(mine: Schema, theirs: Schema, where: str, *, request: bool) -> None:
    mine, theirs = _resolved(mine, OURS), _resolved(theirs, THEIRS)
    if "enum" in mine and "type" not in mine:
        mine["type"] = "string"
    assert mine.get("type") == theirs.get("type"), where
    limits = ("minLength", "maxLength", "minimum", "maximum", "multipleOf", "minItems", "maxItems") if request else ()
    for limit in limits:
        assert mine.get(limit) == theirs.get(limit), f"{where}: {limit}"
    if "enum" in theirs:
        assert set(mine["enum"]) <= set(theirs["enum"]), where
        assert not request or set(mine["enum"]) == set(theirs["enum"]), where
    if theirs.get("type") == "object":
        _assert_same_object(mine, theirs, where, request=request)
    if theirs.get("type") == "array" and "items" in theirs:
        _assert_same(mine["items"], theirs["items"], f"{where}[]", request=request)


def _assert_same_object(mine: Schema, theirs: Schema, where: str, *, request: bool) -> None:
    wanted = theirs.get("properties", {})
    if request:
        assert set(mine["properties"]) == set(wanted), where
        assert set(mine.get("required", ())) == set(theirs.get("required", ())), where
    else:
        assert set(theirs.get("required", ())) <= set(mine["properties"]), where
    for name in wanted.keys() & mine["properties"].keys():
        _assert_same(mine["properties"][name], wanted[name], f"{where}.{name}", request=request)


def _json_of(content: Schema) -> Schema:
    return content["content"]["application/json"]["schema"]


@pytest.mark.parametrize("name", HERE)
def test_every_operation_is_where_the_contract_has_it(name: str) -> None:
    assert MINE[name][:2] == CONTRACTS[name][:2]


@pytest.mark.parametrize("name", HERE)
def test_its_query_is_the_contracts(name: str) -> None:
    theirs = [_resolved(parameter, THEIRS) for parameter in CONTRACTS[name][2].get("parameters", ())]
    mine = {parameter["name"]: parameter for parameter in MINE[name][2]["parameters"]}
    for parameter in theirs:
        if parameter["in"] != "query" or (name, parameter["name"]) == ("ListImages", "enterprise_project_id"):
            continue  # an image is in the default enterprise project whatever is asked for (contract 10, topic 16)
        own = mine[parameter["name"]]
        assert own["required"] == parameter.get("required", False)
        for limit in ("type", "minimum", "maximum", "default"):
            if limit in parameter["schema"]:
                assert own["schema"].get(limit) == parameter["schema"][limit], f"{parameter['name']}: {limit}"
        if "pattern" in parameter["schema"]:
            assert own["schema"]["pattern"] == parameter["schema"]["pattern"]


@pytest.mark.parametrize("name", [name for name in HERE if "requestBody" in CONTRACTS[name][2]])
def test_its_body_is_the_contracts(name: str) -> None:
    if not CONTRACTS[name][2]["requestBody"].get("required"):
        return
    _assert_same(
        _json_of(MINE[name][2]["requestBody"]), _json_of(CONTRACTS[name][2]["requestBody"]), name, request=True
    )


@pytest.mark.parametrize("name", HERE)
def test_its_answer_is_the_contracts(name: str) -> None:
    theirs = CONTRACTS[name][2]["responses"]
    status = next(status for status in theirs if status.startswith("2"))
    answer = _resolved(theirs[status], THEIRS)
    mine = MINE[name][2]["responses"][status]
    assert ("content" in mine) == ("content" in answer)
    if "content" in answer:
        _assert_same(_json_of(mine), _json_of(answer), name, request=False)
    assert set(theirs) <= set(MINE[name][2]["responses"])


def test_the_document_is_one_that_others_can_read() -> None:
    patterns = [node["pattern"] for node in _nodes(OURS) if "pattern" in node]
    assert patterns
    assert not [pattern for pattern in patterns if r"\Z" in pattern or "(?P" in pattern]
    references = {node["$ref"].rsplit("/", 1)[1] for node in _nodes(OURS) if "$ref" in node}
    known = OURS["components"]["schemas"].keys() | OURS["components"]["responses"].keys()
    assert references <= known


def _nodes(node: Any) -> list[Schema]:
    if isinstance(node, dict):
        return [node, *(found for value in node.values() for found in _nodes(value))]
    return [found for value in node for found in _nodes(value)] if isinstance(node, list) else []
