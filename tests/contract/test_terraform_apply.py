"""Terraform itself applies, changes and destroys what docs/howto/terraform.md shows.

Runs where `terraform` or `tofu` is installed and DARKROOM_TEST_TERRAFORM_PROVIDER names a folder that holds the
executable `terraform-provider-huaweicloud`.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_process import Service

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "terraform.md"
PROVIDER = os.environ.get("DARKROOM_TEST_TERRAFORM_PROVIDER", "")
PROGRAM = shutil.which("terraform") or shutil.which("tofu")

pytestmark = pytest.mark.skipif(
    not (PROGRAM and PROVIDER), reason="needs terraform, and a provider in DARKROOM_TEST_TERRAFORM_PROVIDER"
)

Terraform = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's configuration, in which Terraform takes the provider from where we are told."""
    found = re.search(r"^```hcl\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    (tmp_path / "main.tf").write_text(found[1])
    override = f'dev_overrides {{ "huaweicloud/huaweicloud" = "{PROVIDER}" }}'
    (tmp_path / "terraformrc").write_text(f"provider_installation {{\n  {override}\n  direct {{}}\n}}\n")
    return tmp_path


@pytest.fixture
def terraform(folder: Path, service: Service, image: str) -> Terraform:
    known = service.credentials
    environment = os.environ | {
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": str(folder / "terraformrc"),
        "TF_VAR_endpoint": service.endpoint,
        "TF_VAR_project_id": known["project_id"],
        "TF_VAR_base_image": image,
        "HW_ACCESS_KEY": known["access_key"],
        "HW_SECRET_KEY": known["secret_key"],
    }

    def run(*words: str, status: int = 0) -> str:
        line = [str(PROGRAM), words[0], "-no-color", *words[1:]]
        ended = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run


def test_what_the_page_shows_is_applied_changed_and_destroyed(
    terraform: Terraform, folder: Path, service: Service
) -> None:
    terraform("apply", "-auto-approve")
    output = json.loads(terraform("output", "-json"))
    (server,) = _servers(terraform)
    image = f"/v2/images/{output['golden_image']['value']}"
    assert service.get(image)["name"] == "tf-golden"
    assert "tf-build" in output["servers"]["value"]
    assert service.server(server)["status"] == "BUILT"
    terraform("plan", "-detailed-exitcode")  # 2 would mean that it found a difference

    main = folder / "main.tf"
    main.write_text(main.read_text().replace("where golden images are made", ""))
    terraform("apply", "-auto-approve")
    assert service.server(server)["description"] == ""
    terraform("plan", "-detailed-exitcode")

    terraform("destroy", "-auto-approve")
    assert server not in service.machines()
    assert service.ask("GET", image).status_code == 404


def test_a_server_that_was_deleted_by_others_is_made_anew(terraform: Terraform, service: Service) -> None:
    only = "-target=huaweicloud_workspace_app_image_server.build"
    terraform("apply", "-auto-approve", only)
    (first,) = _servers(terraform)
    service.succeeded(service.delete(first))
    terraform("plan", "-detailed-exitcode", only, status=2)
    terraform("apply", "-auto-approve", only)
    (second,) = _servers(terraform)
    assert second != first
    terraform("destroy", "-auto-approve")


def _servers(terraform: Terraform) -> list[str]:
    state: Any = json.loads(terraform("show", "-json"))
    resources = state["values"]["root_module"]["resources"]
    kind = "huaweicloud_workspace_app_image_server"
    return [found["values"]["id"] for found in resources if found["mode"] == "managed" and found["type"] == kind]
