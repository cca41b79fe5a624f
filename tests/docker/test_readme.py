"""What the README and the reference of Docker's driver show, as it stands there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.docker.platform import on_docker
from tests.system.engine import Engine
from upcall.model.images import Image
from upcall.model.runtimes import parse_manifest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
REFERENCE = ROOT / "docs" / "reference"
PAGES = ("docker.md", "images.md", "registries.md", "operator.md", "actions.md")
SAYS = """ok: created action mine
{
    "greeting": "Hello from a container"
}
at work in a container
"""


def test_an_image_of_ones_own_is_made_and_called_as_the_readme_shows(engine: Engine, tmp_path: Path) -> None:
    [block] = re.findall(r"^```bash\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UPCALL_", "XDG_"))}
    with on_docker(engine, home / ".local" / "share" / "upcall"):
        done = subprocess.run(
            ["bash", "-euc", block.replace("/tmp/", f"{tmp_path}/")],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**environment, "HOME": str(home), "DOCKER_HOST": engine.url},
            timeout=120,
        )
    engine.call("DELETE", "/images/localhost/mine:1", force="true")
    assert (done.returncode, done.stdout.partition("\n")[2]) == (0, SAYS), done.stderr


def test_the_manifest_of_the_reference_is_one() -> None:
    [block] = re.findall(r'^ {4}(\{"runtimes".*?)\n\n', (REFERENCE / "docker.md").read_text(), re.MULTILINE | re.DOTALL)
    manifest = parse_manifest(block)
    assert manifest.kinds == ["python:3"]
    assert manifest.blackboxes == [Image("dockerskeleton", "openwhisk", "nightly")]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_the_reference_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#]+)", (REFERENCE / page).read_text()):
        assert (REFERENCE / link).exists(), link
