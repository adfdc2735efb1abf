"""Roles and standing: which actions a pattern names, and what is a user's, a project's, an account's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.accounts import Account, Caller, Project, Token, User
from darkroom.domain.roles import BUILT_IN, EVERYWHERE, Grant, Role
from darkroom.domain.standing import Standing
from darkroom.errors import Forbidden

ACTIONS = [
    "workspace:imageServer:create", "workspace:imageServer:list", "workspace:imageServer:get",
    "workspace:imageServer:getAccess", "workspace:images:getImageJob", "workspace:images:listImageJobs",
    "workspace:imageServer:countImageSubJobs", "ims:images:get", "ims:images:delete", "iam:users:list",
    "iam:users:create",
]  # fmt: skip


def allowed(*patterns: str) -> set[str]:
    return {action for action in ACTIONS if Role(name="r", actions=patterns).allows(action)}


@pytest.mark.parametrize(
    ("patterns", "actions"),
    [
        (["*"], set(ACTIONS)),
        (["workspace:imageServer:get"], {"workspace:imageServer:get"}),
        (["workspace:imageServer:get*"], {"workspace:imageServer:get", "workspace:imageServer:getAccess"}),
        (["workspace:imageServer:get*", "!*Access"], {"workspace:imageServer:get"}),
        (["!*Access", "workspace:imageServer:get*"], {"workspace:imageServer:get"}),
        (["ims:*", "!ims:images:delete"], {"ims:images:get"}),
        (["WORKSPACE:*", "images", "!x"], set()),
        ([], set()),
    ],
)
def test_patterns_name_actions(patterns: list[str], actions: set[str]) -> None:
    assert allowed(*patterns) == actions


@given(st.sampled_from(ACTIONS), st.lists(st.sampled_from(["*", "*:get*", "ims:*", "workspace:*"])))
def test_what_is_taken_away_is_not_allowed_whatever_else_is(action: str, others: list[str]) -> None:
    assert not Role(name="r", actions=(*others, f"!{action}")).allows(action)


def test_the_built_in_roles_are_for_what_they_say() -> None:
    def of(name: str) -> set[str]:
        return allowed(*BUILT_IN[name].actions)

    assert of("te_admin") == set(ACTIONS)
    assert of("operator") == {action for action in ACTIONS if not action.startswith("iam:")}
    assert of("readonly") == {
        "workspace:imageServer:list", "workspace:imageServer:get", "workspace:images:getImageJob",
        "workspace:images:listImageJobs", "workspace:imageServer:countImageSubJobs", "ims:images:get",
    }  # fmt: skip


# Standing

MAIN, OTHER = Account(id="main", name="main", main=True), Account(id="other", name="other")
HERE = Project(id="here", account_id="main", name="here")
THERE = Project(id="there", account_id="main", name="there")
FOREIGN = Project(id="foreign", account_id="other", name="foreign")
USER = User(id="user", account_id="main", name="user", password_hash="")
OWN = Role(name="own", actions=("ims:*",), account_id="other")


def standing(*grants: tuple[str, str], **more: Any) -> Standing:
    """Return what there is, with a user who has been granted roles in projects."""
    given = [Grant(user_id="user", project_id=project, role=role) for role, project in grants]
    everything = {"accounts": [MAIN, OTHER], "projects": [HERE, THERE, FOREIGN], "users": [USER], "roles": [OWN]}
    return Standing(1, **{**everything, "grants": given, **more})


def token(**changes: Any) -> Token:
    said = {
        "id": "token", "user_id": "user", "user_name": "user", "account_id": "main", "account_name": "main",
        "project_id": "here", "project_name": "here", "roles": ("operator",), "methods": ("password",),
        "issued_at": 1000, "expires_at": 2000,
    }  # fmt: skip
    return Token(**{**said, **changes})


def held(known: Standing, project: str) -> list[str]:
    return [role.name for role in known.held(USER, project)]


def test_roles_everywhere_are_held_in_each_project_and_others_in_theirs() -> None:
    known = standing(("readonly", EVERYWHERE), ("operator", "here"))
    assert held(known, "here") == ["operator", "readonly"]
    assert held(known, "there") == held(known, EVERYWHERE) == ["readonly"]


def test_a_granted_role_that_is_not_there_is_none() -> None:
    known = standing(("no-such", EVERYWHERE), ("own", EVERYWHERE))
    assert held(known, "here") == [], "a role of another account's own is not there either"


def test_a_project_is_usable_with_a_role_in_it() -> None:
    known = standing(("operator", "here"))
    assert known.usable(USER, "here") == HERE
    assert known.usable(USER, "there") is None
    assert known.usable(USER, "none") is None
    everywhere = standing(("operator", EVERYWHERE))
    assert everywhere.usable(USER, "there") == THERE
    assert everywhere.usable(USER, "foreign") is None, "everywhere is within the account"
    off = Project(id="here", account_id="main", name="here", enabled=False)
    assert standing(("operator", "here"), projects=[off]).usable(USER, "here") is None


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({}, {"revoked": ["token"]}),
        ({"id": "child", "origin": "token"}, {"revoked": ["token"]}),
        ({}, {"users": []}),
        ({}, {"users": [User(id="user", account_id="main", name="user", password_hash="", enabled=False)]}),
        ({}, {"users": [User(id="user", account_id="main", name="user", password_hash="", tokens_from=1001)]}),
        ({}, {"accounts": [Account(id="main", name="main", enabled=False)]}),
        ({}, {"accounts": []}),
        ({}, {"projects": []}),
        ({}, {"projects": [Project(id="here", account_id="main", name="here", enabled=False)]}),
    ],
)
def test_a_token_is_good_no_more_once_what_it_rests_on_has_gone(changes: Any, more: Any) -> None:
    assert standing(("operator", EVERYWHERE)).may_be(token(**changes)) == USER
    assert standing(("operator", EVERYWHERE), **more).may_be(token(**changes)) is None


def test_a_token_outlives_the_revocation_of_others() -> None:
    known = standing(revoked=["another", "child"])
    assert known.may_be(token()) == USER
    assert known.may_be(token(project_id=None)) == USER
    assert known.may_be(token(id="sibling", origin="token")) == USER


def test_a_caller_has_the_roles_of_its_token_as_far_as_they_are_still_held() -> None:
    known = standing(("readonly", EVERYWHERE), ("operator", "here"))

    def names(caller: Caller | None) -> list[str]:
        return [role.name for role in caller.roles] if caller else []

    assert names(known.caller(USER, "here")) == ["operator", "readonly"]
    assert names(known.carrier(token(roles=("operator", "te_admin")))) == ["operator"]
    assert names(known.carrier(token(roles=("operator",), project_id=None))) == []
    assert known.carrier(token(roles=())) is not None
    assert names(known.carrier(token(roles=()))) == []


def test_a_token_that_is_good_no_more_has_no_carrier() -> None:
    assert standing(("operator", EVERYWHERE)).carrier(token()) is not None
    assert standing(("operator", EVERYWHERE), revoked=["token"]).carrier(token()) is None


@pytest.mark.parametrize(
    ("grant", "role", "admin"),
    [
        (("te_admin", EVERYWHERE), "te_admin", True),
        (("te_admin", "here"), "te_admin", False),
        (("operator", EVERYWHERE), "te_admin", False),
        (("te_admin", EVERYWHERE), "operator", False),
    ],
)
def test_who_is_te_admin_everywhere_administers_the_account(grant: tuple[str, str], role: str, admin: bool) -> None:
    for main in (True, False):
        known = standing(grant, accounts=[Account(id="main", name="main", main=main)])
        callers = [known.carrier(token(roles=(role,)))]
        if role == grant[0]:  # a key has all the roles of its user
            callers.append(known.caller(USER, "here"))
        for caller in callers:
            assert caller
            assert (caller.is_admin, caller.is_main_admin) == (admin, admin and main)


def test_a_caller_must_be_in_the_project_and_have_a_role_for_the_action() -> None:
    caller = standing(("readonly", EVERYWHERE)).caller(USER, "here")
    caller.must("ims:images:get", "here")
    for action, project, words in (("ims:images:get", "there", "project"), ("ims:images:delete", "here", "action")):
        with pytest.raises(Forbidden, match=words):
            caller.must(action, project)


def test_a_caller_without_a_project_is_in_none() -> None:
    caller = standing(("te_admin", EVERYWHERE)).caller(USER, EVERYWHERE)
    for project in (EVERYWHERE, "here"):
        with pytest.raises(Forbidden, match="needs a project"):
            caller.must("ims:images:get", project)


def test_an_administrator_administers_its_account_and_of_the_main_one_all() -> None:
    def caller(**more: Any) -> Caller:
        return Caller(user_id="u", user_name="u", account_id="a", project_id="", roles=(), **more)

    for who, accounts in (
        (caller(), set()),
        (caller(is_admin=True), {"a"}),
        (caller(is_admin=True, is_main_admin=True), {"a", "b", ""}),
    ):
        for account in ("a", "b", ""):
            if account in accounts:
                who.must_administer("iam:users:create", account)
            else:
                with pytest.raises(Forbidden, match="iam:users:create"):
                    who.must_administer("iam:users:create", account)
