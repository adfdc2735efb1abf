"""Temporary keys: what a security token carries is read back until it expires, for its own AK; nothing else is read."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.domain.accounts import TemporaryKey
from darkroom.errors import Unauthenticated
from darkroom.services.keys import TemporaryKeys, new_access, new_secret
from darkroom.services.tokens import Tokens
from darkroom.store.sealing import Sealer

KEY = Sealer.new_key()
START = 1_767_409_445_123
PREFIX = "Incorrect IAM authentication information: "


class World:
    """Temporary keys with a clock under the test's control."""

    def __init__(self) -> None:
        self.now = START
        self.keys = TemporaryKeys(Sealer(KEY), lambda: self.now)

    def issue(self) -> tuple[str, TemporaryKey]:
        return self.keys.issue("user", 900)

    def refusal(self, access: str, token: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            self.keys.read(access, token)
        return refused.value.message.removeprefix(PREFIX)


@pytest.fixture
def world() -> World:
    return World()


def test_keys_have_the_vendors_shapes() -> None:
    assert len({new_access() for _ in range(100)}) == 100
    assert all(len(made) == 20 and made.isalnum() and made.isupper() for made in (new_access("HST"), new_access("A")))
    assert len(new_secret()) == 40
    assert new_secret().isalnum()


def test_a_key_is_read_back_from_its_security_token(world: World) -> None:
    token, made = world.issue()
    key = world.keys.read(made.access, token)
    assert (key.access, key.secret, key.user_id, key.created_at) == (made.access, made.secret, "user", START)
    assert key.temporary
    assert made.secret not in token
    assert made.expires_at == START + 900_000


def test_another_process_with_the_same_key_reads_it(world: World) -> None:
    token, made = world.issue()
    assert World().keys.read(made.access, token).secret == made.secret


def test_it_is_good_until_the_very_millisecond_it_expires(world: World) -> None:
    token, made = world.issue()
    world.now = START + 900_000 - 1
    assert world.keys.read(made.access, token).secret == made.secret
    world.now += 1
    assert world.refusal(made.access, token) == f"security token of ak {made.access} expires"


def test_it_is_good_for_its_own_access_key_alone(world: World) -> None:
    (token, made), (other_token, other) = world.issue(), world.issue()
    assert made.access != other.access
    assert world.refusal(other.access, token) == f"the security token is not that of ak {other.access}"
    assert world.refusal(made.access, other_token) == f"the security token is not that of ak {made.access}"


def test_a_token_is_no_security_token_nor_the_other_way_round(world: World) -> None:
    tokens = Tokens(Sealer(KEY), lambda: START)
    said = {"user_id": "user", "user_name": "user", "account_id": "a", "account_name": "a"}
    token, _ = tokens.issue(**said)
    security_token, made = world.issue()
    assert world.refusal(made.access, token) == "decrypt security token fail"
    assert world.refusal(made.access, token.removeprefix("MII")) == "decrypt security token fail"
    for text in (security_token, "MII" + security_token, "MII" + security_token.rstrip("=")):
        with pytest.raises(Unauthenticated):
            tokens.read(text)


@given(data=st.data())
def test_one_changed_bit_is_refused(data: st.DataObject) -> None:
    world = World()
    token, made = world.issue()
    sealed = bytearray(base64.urlsafe_b64decode(token))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert world.refusal(made.access, base64.urlsafe_b64encode(sealed).decode()) == "decrypt security token fail"


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    assert World().refusal("A", text) == "decrypt security token fail"
