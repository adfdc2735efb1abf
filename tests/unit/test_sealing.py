"""Sealing: what is sealed opens again, whole, with the same key and for the same purpose, and in no other case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.store.sealing import SealBroken, Sealer

KEY = bytes(range(32))
SEALER = Sealer(KEY)
#: "attack at dawn", sealed with KEY for "secrets" by this layout's first version.
SEALED_ONCE = bytes.fromhex("01d0f58ec35dabcb485f3ed6626bac4fc053ffc51ac3e22dc42ae59eefa5aea34a5ef3a62eb65e6f41598f")


@given(plain=st.binary(max_size=200), purpose=st.text(st.characters(codec="utf-8"), max_size=20))
def test_what_is_sealed_opens_again(plain: bytes, purpose: str) -> None:
    assert Sealer(KEY).open(SEALER.seal(plain, purpose), purpose) == plain


def test_what_an_earlier_process_sealed_still_opens() -> None:
    assert SEALER.open(SEALED_ONCE, "secrets") == b"attack at dawn"


def test_sealing_twice_gives_two_texts_and_neither_shows_the_plain_one() -> None:
    first, second = SEALER.seal(b"attack at dawn", "x"), SEALER.seal(b"attack at dawn", "x")
    assert first != second
    assert b"attack" not in first


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SealBroken):
        Sealer(Sealer.new_key()).open(SEALED_ONCE, "secrets")


@pytest.mark.parametrize("purpose", ["", "secret", "secrets ", "Secrets"])
def test_another_purpose_does_not_open_it(purpose: str) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(SEALED_ONCE, purpose)


@given(bit=st.integers(0, len(SEALED_ONCE) * 8 - 1))
def test_one_flipped_bit_breaks_the_seal(bit: int) -> None:
    flipped = bytearray(SEALED_ONCE)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        SEALER.open(bytes(flipped), "secrets")


@pytest.mark.parametrize("length", range(len(SEALED_ONCE)))
def test_a_shortened_text_breaks_the_seal(length: int) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(SEALED_ONCE[:length], "secrets")


def test_a_broken_seal_is_a_value_error_with_a_message() -> None:
    with pytest.raises(ValueError, match="damaged"):
        SEALER.open(SEALED_ONCE + b"\x00", "secrets")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"k" * length)


def test_new_keys_differ_and_fit() -> None:
    first, second = Sealer.new_key(), Sealer.new_key()
    assert first != second
    assert Sealer(first).open(Sealer(first).seal(b"x", "p"), "p") == b"x"
