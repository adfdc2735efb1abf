"""Timestamps as the contract spells them."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.wire.times import parse, spell, spell_micros, spell_seconds

#: From the year 1000 to the end of the year 9999, in milliseconds.
MOMENTS = st.integers(-30_610_224_000_000, 253_402_300_799_999)
SPELLED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,2}[1-9])?Z", re.ASCII)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (1_716_201_589_610, "2024-05-20T10:39:49.61Z"),  # the four of the seed page
        (1_716_203_004_206, "2024-05-20T11:03:24.206Z"),
        (1_716_201_590_723, "2024-05-20T10:39:50.723Z"),
        (1_716_203_004_194, "2024-05-20T11:03:24.194Z"),
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (10, "1970-01-01T00:00:00.01Z"),
        (100, "1970-01-01T00:00:00.1Z"),
        (101, "1970-01-01T00:00:00.101Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_known_moments(ms: int, text: str) -> None:
    assert spell(ms) == text
    assert parse(text) == ms


@given(MOMENTS)
def test_what_was_spelled_is_read_back(ms: int) -> None:
    text = spell(ms)
    assert parse(text) == ms
    assert SPELLED.fullmatch(text), "no zero ends the fraction, and a whole second has none"


@given(MOMENTS)
def test_later_moments_have_later_seconds(ms: int) -> None:
    assert spell_seconds(ms) <= spell_seconds(min(ms + 1000, 253_402_300_799_999))


@given(st.integers(-30_610_224_000, 253_402_300_799))
def test_a_whole_second_has_no_fraction(seconds: int) -> None:
    assert "." not in spell(seconds * 1000)


@given(st.from_regex(re.compile(r"[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z", re.ASCII), fullmatch=True))
def test_a_text_of_the_right_form_is_read_or_refused_as_no_time(text: str) -> None:
    try:
        ms = parse(text)
    except ValueError:
        return
    # Spelled again it is the same but for the zeros at the end of its fraction.
    assert spell(ms) == re.sub(r"\.?0*Z$", "Z", text) if "." in text else spell(ms) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "2024-05-20", "2024-05-20T10:39:49", "2024-05-20 10:39:49Z", "2024-05-20T10:39:49+00:00",
        "2024-05-20T10:39:49.Z", "2024-05-20T10:39:49.6100Z", "2024-05-20T10:39:49z", "2024-13-20T10:39:49Z",
        "2024-02-30T10:39:49Z", "2024-05-20T24:00:00Z", "2024-05-20T10:39:60Z", " 2024-05-20T10:39:49Z",
        "2024-05-20T10:39:49Z\n", "２024-05-20T10:39:49Z", "0000-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse(text), int)


def test_the_other_services_spellings() -> None:
    assert spell_micros(1_716_201_589_610) == "2024-05-20T10:39:49.610000Z"
    assert spell_micros(0) == "1970-01-01T00:00:00.000000Z"
    assert spell_seconds(1_716_201_589_999) == "2024-05-20T10:39:49Z"
