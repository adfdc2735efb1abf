"""The serial console's last lines and bounds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.drivers.qemu import serial


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "serial.log"


def test_the_last_lines_are_plain_text(log: Path) -> None:
    log.write_bytes(
        b"\x1b[2J\x1b[01;32mfirst\x1b[0m\r\n\r\n\x1b]0;title\x07 50%\r100%\r\n\xff\xfe\x00bell\x07\tend\r\n"
    )
    assert serial.tail(log.parent, 10) == ["first", "100%", "bell    end"]
    assert serial.tail(log.parent, 1) == ["bell    end"]
    assert serial.tail(log.parent, 0) == []


def test_without_a_log_there_are_no_lines(tmp_path: Path) -> None:
    assert serial.tail(tmp_path / "none", 5) == []
    assert "nothing" in serial.told(tmp_path)


def test_a_link_in_place_of_the_log_is_not_followed(log: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * (serial.MOST + 1))
    log.symlink_to(secret)
    assert serial.tail(tmp_path, 5) == []
    serial.trim(tmp_path)
    assert secret.stat().st_size == serial.MOST + 1


def test_a_base_image_that_was_given_the_name_of_the_log_is_not_cut(log: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"x" * (serial.MOST + 1))
    log.hardlink_to(image)
    serial.trim(tmp_path)
    assert image.stat().st_size == serial.MOST + 1


def test_a_long_log_keeps_its_newest_part_and_can_be_written_on(log: Path) -> None:
    with log.open("ab") as writer:
        writer.write(b"old\n" * (serial.MOST // 4) + b"newest\n")
        writer.flush()
        serial.trim(log.parent)
        assert log.stat().st_size == serial.KEPT
        writer.write(b"later\n")
    assert serial.tail(log.parent, 2) == ["newest", "later"]


def test_a_short_log_is_left_alone(log: Path) -> None:
    log.write_bytes(b"x" * serial.MOST)
    serial.trim(log.parent)
    assert log.stat().st_size == serial.MOST


@given(st.binary(max_size=400))
def test_whatever_a_guest_writes_becomes_printable(data: bytes) -> None:
    assert all(line.isprintable() for line in serial.readable(data))
