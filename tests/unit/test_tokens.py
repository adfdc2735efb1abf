"""Tokens: what is issued is read back until it expires; nothing else is read."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.accounts import Token
from darkroom.domain.ids import AccountId, ProjectId, UserId
from darkroom.errors import Unauthenticated
from darkroom.services.tokens import Tokens
from darkroom.store.sealing import Sealer

DAY = 24 * 60 * 60 * 1000
START = 1_767_409_445_123  #: 2026-01-03T03:04:05.123Z
PREFIX = "Incorrect IAM authentication information: "
KEY = Sealer.new_key()


class World:
    """Tokens with a clock under the test's control."""

    def __init__(self) -> None:
        self.now = START
        self.sealer = Sealer(KEY)
        self.tokens = Tokens(self.sealer, lambda: self.now)

    def issue(self, name: str = "builder") -> tuple[str, Token]:
        return self.tokens.issue(
            user_id=UserId("1" * 32),
            user_name=name,
            account_id=AccountId("a" * 32),
            account_name="acme",
            project_id=ProjectId("0" * 32),
            project_name="local-1",
            roles=["te_admin", "reader"],
            methods=["password", "totp"],
        )

    def refusal(self, text: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            self.tokens.read(text)
        return refused.value.message.removeprefix(PREFIX)


@pytest.fixture
def world() -> World:
    return World()


def test_a_token_says_what_was_put_into_it(world: World) -> None:
    text, issued = world.issue()
    assert issued == Token(
        id=issued.id,
        user_id=UserId("1" * 32),
        user_name="builder",
        account_id=AccountId("a" * 32),
        account_name="acme",
        project_id=ProjectId("0" * 32),
        project_name="local-1",
        roles=("te_admin", "reader"),
        methods=("password", "totp"),
        issued_at=START,
        expires_at=START + DAY,
    )
    assert world.tokens.read(text) == issued


def test_a_token_for_the_account_has_no_project(world: World) -> None:
    text, _ = world.tokens.issue(
        user_id=UserId("1" * 32), user_name="builder", account_id=AccountId("a" * 32), account_name="acme"
    )
    assert world.tokens.read(text).project_id is None


def test_every_token_has_an_id_of_its_own(world: World) -> None:
    assert re.fullmatch("[0-9a-f]{32}", world.issue()[1].id)
    assert world.issue()[1].id != world.issue()[1].id


@given(name=st.text(st.characters(codec="utf-8")))
def test_the_text_fits_into_a_header_whatever_it_says(name: str) -> None:
    world = World()
    text, issued = world.issue(name)
    assert re.fullmatch("MII[A-Za-z0-9_-]+", text)
    assert world.tokens.read(text) == issued


def test_another_process_with_the_same_key_reads_it(world: World) -> None:
    text, issued = world.issue()
    assert World().tokens.read(text) == issued


def test_another_installations_token_is_refused(world: World) -> None:
    text, _ = Tokens(Sealer(Sealer.new_key()), lambda: START).issue(
        user_id=UserId("1" * 32), user_name="builder", account_id=AccountId("a" * 32), account_name="acme"
    )
    assert world.refusal(text) == "decrypt token fail"


def test_a_token_is_read_until_the_very_millisecond_it_expires(world: World) -> None:
    text, issued = world.issue()
    world.now = START + DAY - 1
    assert world.tokens.read(text) == issued
    world.now = START + DAY
    assert world.refusal(text) == "token expires, expires_at: 2026-01-04T03:04:05.123000Z"


def test_a_life_can_be_chosen(world: World) -> None:
    tokens = Tokens(world.sealer, lambda: START, life_ms=1000)
    _, issued = tokens.issue(
        user_id=UserId("1" * 32), user_name="builder", account_id=AccountId("a" * 32), account_name="acme"
    )
    assert issued.expires_at == START + 1000


@given(data=st.data())
def test_one_changed_character_is_refused(data: st.DataObject) -> None:
    world = World()
    text, _ = world.issue()
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda character: character != text[position]))
    assert world.refusal(text[:position] + other + text[position + 1 :]) == "decrypt token fail"


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    assert World().refusal(text) == "decrypt token fail"
    assert World().refusal("MII" + text) == "decrypt token fail"


@pytest.mark.parametrize("addition", ["=", "==", "\n", " ", "A", "!"])
def test_a_token_has_one_spelling(world: World, addition: str) -> None:
    text, _ = world.issue()
    assert world.refusal(text + addition) == "decrypt token fail"
    assert world.refusal(addition + text) == "decrypt token fail"


class Twisted(Sealer):
    """Has the right key, but seals for another purpose, or another payload."""

    def __init__(self, purpose: str, payload: bytes | None = None) -> None:
        super().__init__(KEY)
        self.purpose, self.payload = purpose, payload

    def seal(self, plain: bytes, purpose: str) -> bytes:
        return super().seal(plain if self.payload is None else self.payload, self.purpose)

    def token(self) -> str:
        return Tokens(self, lambda: START).issue(
            user_id=UserId("1" * 32), user_name="builder", account_id=AccountId("a" * 32), account_name="acme"
        )[0]


def test_what_was_sealed_for_another_purpose_is_no_token(world: World) -> None:
    assert world.tokens.read(Twisted("token").token()).user_name == "builder"
    assert world.refusal(Twisted("secrets").token()) == "decrypt token fail"


@pytest.mark.parametrize("payload", [b"", b"\xc1", msgspec.msgpack.encode({"id": "x"}), msgspec.msgpack.encode(["x"])])
def test_a_sealed_payload_of_another_shape_is_no_token(world: World, payload: bytes) -> None:
    assert world.refusal(Twisted("token", payload).token()) == "decrypt token fail"


def test_a_token_got_by_another_expires_with_it_and_knows_where_it_comes_from(world: World) -> None:
    _, first = world.issue()
    said = {"user_id": UserId("1" * 32), "user_name": "b", "account_id": AccountId("a" * 32), "account_name": "acme"}
    world.now += 1000
    text, second = world.tokens.issue(**said, got_by=first)
    world.now += 1000
    _, third = world.tokens.issue(**said, got_by=second)
    assert world.tokens.read(text) == second
    assert first.expires_at == second.expires_at == third.expires_at == START + DAY
    assert (first.origin, second.origin, third.origin) == ("", first.id, first.id)
    assert (second.issued_at, third.issued_at) == (START + 1000, START + 2000)
    world.now = START + DAY
    assert world.refusal(text).startswith("token expires")


def test_tokens_issued_before_they_knew_where_they_come_from_stay_readable(world: World) -> None:
    said = list(msgspec.to_builtins(world.issue()[1]))
    old = Twisted("token", msgspec.msgpack.encode(said[:-1]))
    assert world.tokens.read(old.token()).origin == ""
