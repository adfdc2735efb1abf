"""ListImages: filters of the image service select by what is said of images, and nothing by what none can have."""

import pytest
from service_process import Service

TYPES = ("private", "public", "gold")


@pytest.fixture(scope="module")
def added(service: Service) -> dict[str, str]:
    """Images by their type, none of them with bytes yet."""
    return {
        image_type: service.ask("POST", "/v2/images", {"name": image_type, "__imagetype": image_type}).json()["id"]
        for image_type in TYPES
    }


def found(service: Service, **query: str) -> list[str]:
    return [image["__imagetype"] for image in service.get("/v2/cloudimages", **query)["images"]]


@pytest.mark.parametrize(
    ("name", "value", "types"),
    [
        ("visibility", "public", {"public", "gold"}), ("visibility", "private", {"private"}), ("visibility", "x", ()),
        ("__imagetype", "gold", {"gold"}), ("__imagetype", "shared", ()), ("__imagetype", "market", ()),
        ("status", "queued", TYPES), ("status", "active", ()), ("status", "deleted", ()), ("status", "killed", ()),
        ("__os_type", "Linux", TYPES), ("__os_type", "Windows", ()),
        ("__isregistered", "true", TYPES), ("__isregistered", "false", ()),
        ("tag", "", TYPES), ("tag", "team.a", ()),
    ],
)  # fmt: skip
def test_a_filter_selects_what_is_said(
    service: Service, added: dict[str, str], name: str, value: str, types: tuple[str, ...]
) -> None:
    assert len(added) == len(TYPES)
    assert set(found(service, **{name: value})) == set(types)


def test_a_page_is_full_although_others_lie_between(service: Service, added: dict[str, str]) -> None:
    for number in range(110):
        assert service.ask("POST", "/v2/images", {"name": f"between-{number}"}).status_code == 201
    assert found(service, visibility="public", limit="1") == ["gold"]
    assert found(service, visibility="public", limit="2") == ["gold", "public"]
    assert found(service, visibility="public", limit="1", marker=added["gold"]) == ["public"]
    assert found(service, visibility="private", limit="1", sort_dir="asc") == ["private"]
    assert len(found(service, visibility="private")) == 111


@pytest.mark.parametrize(("name", "value"), [("__imagetype", "x"), ("status", "x")])
def test_what_the_contract_does_not_know_is_refused(service: Service, name: str, value: str) -> None:
    assert service.ask("GET", f"/v2/cloudimages?{name}={value}").status_code == 400
