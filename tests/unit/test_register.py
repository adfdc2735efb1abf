"""The register: identity in memory is what the database says, soon, and at once where it matters."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from darkroom.domain.accounts import AccessKey, Account, Caller, Project, User
from darkroom.domain.roles import EVERYWHERE, Grant, Role
from darkroom.domain.standing import Standing
from darkroom.errors import Conflict, Unavailable
from darkroom.services.register import LOOK_EVERY_S, Register
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store
from darkroom.store.transaction import Transaction

ADMIN = User(id="admin", account_id="main", name="admin", password_hash="hash", roles=("te_admin",))
CALLER = Caller(user_id="admin", user_name="admin", account_id="main", project_id=EVERYWHERE, roles=())


class World:
    """One database, and two processes that each have a register of it; the time is the test's."""

    def __init__(self, store: Store) -> None:
        self.store, self.ticks, self.now, self.looks = store, 0.0, 1000, 0
        self.mine, self.theirs = (Register(store, lambda: self.now, lambda: self.ticks) for _ in range(2))
        self.loop = asyncio.Runner()
        revision = store.grants.revision

        async def counted() -> int:
            self.looks += 1
            return await revision()

        store.grants.revision = counted  # type: ignore[method-assign]

    def run(self, work: Awaitable[Any]) -> Any:
        async def run() -> Any:
            return await work

        return self.loop.run(run())

    def change(self, work: Callable[[Transaction], Any]) -> Any:
        """Change identity by the other process."""
        return self.run(self.theirs.change(CALLER, "test", "x", work))

    def standing(self) -> Standing:
        found: Standing = self.run(self.mine.knowing(ADMIN.id))
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    sqlite = f"sqlite:///{tmp_path / 'darkroom.db'}"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    store = Store(url, Sealer(Sealer.new_key()))
    store.migrate()

    def add(tx: Transaction) -> None:
        tx.accounts.add_account(Account(id="main", name="main", main=True))
        tx.accounts.add_project(Project(id="here", account_id="main", name="here", description="d"))
        tx.accounts.add_user(ADMIN)

    world = World(store)
    world.run(store.write(add))
    with world.loop:
        yield world
        store.close()


def test_it_says_what_is_in_the_database_but_no_secrets(world: World) -> None:
    known = world.standing()
    assert known.accounts == {"main": Account(id="main", name="main", main=True)}
    assert known.projects == {"here": Project(id="here", account_id="main", name="here", description="d")}
    assert known.users["admin"].password_hash == ""
    assert [role.name for role in known.held(known.users["admin"], "here")] == ["te_admin"]


def test_the_database_is_not_asked_again_for_a_second(world: World) -> None:
    world.standing()
    looks = world.looks
    for _ in range(100):
        world.ticks += LOOK_EVERY_S / 101
        world.standing()
    assert world.looks == looks
    world.ticks += LOOK_EVERY_S
    known = world.standing()
    assert world.looks == looks + 1
    assert world.standing() is known, "what has not changed is not read again"


def test_a_change_is_in_force_in_its_own_process_when_it_is_made(world: World) -> None:
    known = world.standing()
    work = lambda tx: tx.accounts.change_user("admin", enabled=False)  # noqa: E731
    world.run(world.mine.change(CALLER, "user.changed", "admin", work, enabled=False))
    assert known.active("admin")
    assert world.standing().active("admin") is None


@pytest.mark.parametrize(
    "work",
    [
        lambda tx: tx.accounts.change_user("admin", enabled=False),
        lambda tx: tx.accounts.change_user("admin", tokens_from=7),
        lambda tx: tx.accounts.change_project("here", enabled=False),
        lambda tx: tx.accounts.change_account("main", enabled=False),
        lambda tx: tx.accounts.remove_user("admin"),
        lambda tx: tx.accounts.remove_project("here"),
        lambda tx: tx.accounts.add_user(User(id="b", account_id="main", name="b", password_hash="")),
        lambda tx: tx.accounts.add_project(Project(id="b", account_id="main", name="b")),
        lambda tx: tx.accounts.add_account(Account(id="b", name="b")),
        lambda tx: tx.grants.add(Grant(user_id="admin", project_id="here", role="readonly")),
        lambda tx: tx.grants.remove(Grant(user_id="admin", project_id=EVERYWHERE, role="te_admin")),
        lambda tx: tx.grants.put_role(Role(name="r", actions=("*",), account_id="main")),
        lambda tx: tx.grants.revoke_token("t", 2000, 1000),
    ],
)
def test_a_change_of_another_process_is_seen_a_second_later(world: World, work: Callable[[Transaction], Any]) -> None:
    before = world.standing()
    world.change(work)
    assert world.standing() is before
    world.ticks += LOOK_EVERY_S
    after = world.standing()
    parts = ("accounts", "projects", "users", "roles", "grants", "revoked")
    assert [part for part in parts if getattr(before, part) != getattr(after, part)] != []
    assert after.revision > before.revision


def test_somebody_who_has_just_come_is_known_at_once(world: World) -> None:
    world.standing()
    world.change(lambda tx: tx.accounts.add_user(User(id="new", account_id="main", name="new", password_hash="")))
    assert "new" in world.run(world.mine.knowing("new")).users
    world.change(lambda tx: tx.accounts.add_project(Project(id="new", account_id="main", name="new")))
    assert "new" in world.run(world.mine.knowing("admin", "new")).projects
    looks = world.looks
    world.run(world.mine.knowing("new", "new"))
    assert world.looks == looks


def test_a_change_that_is_refused_changes_nothing_and_has_no_event(world: World) -> None:
    def work(tx: Transaction) -> None:
        tx.accounts.change_user("admin", enabled=False)
        tx.grants.must_keep_an_admin("main")

    with pytest.raises(Conflict, match="last"):
        world.change(work)
    assert world.run(world.theirs.look()).active("admin")
    assert world.run(world.store.database.all("SELECT kind FROM events")) == []


def test_an_event_says_who_made_a_change(world: World) -> None:
    world.run(world.mine.change(CALLER, "user.changed", "admin", lambda tx: None, enabled=True))
    (row,) = world.run(world.store.database.all("SELECT kind, at, project_id, resource_id, data FROM events"))
    assert row == ("user.changed", 1000, "", "admin", '{"by":"admin","enabled":true}')


def test_revoked_tokens_are_forgotten_once_they_have_expired(world: World) -> None:
    world.change(lambda tx: tx.grants.revoke_token("first", 2000, world.now))
    world.change(lambda tx: tx.grants.revoke_token("second", 3000, world.now))
    assert world.run(world.mine.look()).revoked == {"first", "second"}
    world.now = 2000
    world.change(lambda tx: tx.grants.revoke_token("third", 4000, world.now))
    assert world.run(world.mine.look()).revoked == {"second", "third"}
    rows = world.run(world.store.database.all("SELECT id FROM revoked_tokens ORDER BY id"))
    assert rows == [("second",), ("third",)]


def test_a_database_that_does_not_answer_lets_nobody_in(world: World) -> None:
    world.standing()

    async def silent() -> int:
        raise Unavailable

    world.store.grants.revision = silent  # type: ignore[method-assign]
    world.ticks += LOOK_EVERY_S
    for _ in range(2):
        with pytest.raises(Unavailable):
            world.standing()


# Access keys

KEY = AccessKey(access="AK", secret="s", user_id="admin")


@pytest.fixture
def keyed(world: World) -> World:
    """A key that has been used here."""
    world.change(lambda tx: tx.accounts.add_access_key(KEY))
    assert world.run(world.mine.key("AK")) == KEY
    return world


def test_a_key_is_read_once_as_long_as_identity_does_not_change(keyed: World) -> None:
    used = keyed.run(keyed.mine.key("AK"))
    keyed.ticks += LOOK_EVERY_S
    assert keyed.run(keyed.mine.key("AK")) is used
    keyed.change(lambda tx: tx.accounts.change_project("here", description="other"))
    keyed.ticks += LOOK_EVERY_S
    assert keyed.run(keyed.mine.key("AK")) is not used


@pytest.mark.parametrize(
    ("work", "after"),
    [
        (lambda tx: tx.accounts.change_access_key("AK", enabled=False), msgspec.structs.replace(KEY, enabled=False)),
        (
            lambda tx: tx.accounts.change_access_key("AK", description="d"),
            msgspec.structs.replace(KEY, description="d"),
        ),
        (lambda tx: tx.accounts.remove_access_key("AK"), None),
        (lambda tx: tx.accounts.remove_user("admin"), None),
    ],
)
def test_a_key_changed_here_is_changed_at_once_and_elsewhere_a_second_later(
    keyed: World, work: Callable[[Transaction], Any], after: AccessKey | None
) -> None:
    keyed.run(keyed.theirs.key("AK"))
    keyed.change(work)
    assert keyed.run(keyed.theirs.key("AK")) == after
    assert keyed.run(keyed.mine.key("AK")) == KEY
    keyed.ticks += LOOK_EVERY_S
    assert keyed.run(keyed.mine.key("AK")) == after


def test_a_key_given_elsewhere_is_known_at_once(keyed: World) -> None:
    assert keyed.run(keyed.mine.key("NEW")) is None
    keyed.change(lambda tx: tx.accounts.add_access_key(msgspec.structs.replace(KEY, access="NEW")))
    assert keyed.run(keyed.mine.key("NEW")).access == "NEW"


def test_a_key_that_was_taken_away_while_it_was_read_is_not_kept(keyed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read = keyed.store.accounts.access_key
    keyed.change(lambda tx: tx.accounts.change_project("here", description="other"))  # so that it is read again
    keyed.ticks += LOOK_EVERY_S

    async def slowly(access: str) -> AccessKey | None:
        key = await read(access)
        await keyed.mine.change(CALLER, "test", "x", lambda tx: tx.accounts.remove_access_key(access))
        return key

    monkeypatch.setattr(keyed.store.accounts, "access_key", slowly)
    assert keyed.run(keyed.mine.key("AK")) == KEY, "it was there when it was asked for"
    monkeypatch.setattr(keyed.store.accounts, "access_key", read)
    assert keyed.run(keyed.mine.key("AK")) is None
