"""Every page is held against the rules of axe, in every language and in all colours."""

from pathlib import Path

import pytest
from service_process import Service
from visits import OpenPage, paths

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """async () => (await axe.run()).violations.map(({id, help, nodes}) =>
    `${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(" ")}`)"""


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_no_page_breaks_a_rule_of_accessibility(
    open_page: OpenPage,
    service: Service,
    server: str,
    failed: str,
    language: str,
    colours: str,
) -> None:
    page = open_page("/console/jobs", locale=language, color_scheme=colours, bypass_csp=True)

    violations = {}
    for path in paths(service, server, failed):
        page.goto(path)
        page.add_script_tag(path=AXE)
        if found := page.evaluate(_RUN):
            violations[path] = found

    assert violations == {}


def test_a_dialog_breaks_no_rule_either(open_page: OpenPage, server: str) -> None:
    page = open_page(f"/console/servers/{server}", bypass_csp=True)
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("dialog").wait_for()
    page.add_script_tag(path=AXE)

    assert page.evaluate(_RUN) == []
