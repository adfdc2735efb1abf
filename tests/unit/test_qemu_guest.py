"""Names of accounts and hosts in guests."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.drivers.qemu.guest import account_problem, host_name


@pytest.mark.parametrize("name", ["builder", "Admin", "_svc", "zhang.san", "a-b_c.d", "x" * 32])
def test_usable_names(name: str) -> None:
    assert account_problem(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "root",
        "x" * 33,
        "123",
        "1abc",
        "-rf",
        "a:b",
        "a/b",
        "a b",
        "a\nb",
        "a$",
        "$(id)",
        "é",
        "张三",
        "a;b",
        ".x",
    ],
)
def test_unusable_names_are_told_why(name: str) -> None:
    assert account_problem(name)


@pytest.mark.parametrize(
    ("name", "host"),
    [("Web Server_01", "web-server-01"), ("-x-", "x"), ("张三", "image-server"), ("a" * 70, "a" * 63), ("a.b", "a-b")],
)
def test_host_names(name: str, host: str) -> None:
    assert host_name(name) == host


@given(st.text())
def test_every_host_name_is_one_label_of_rfc_1123(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", host_name(name))
