"""When `scripts/setup` does its work and when it does not; Python and uv are stand-ins that write down their calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
echo "python $*" >> "$CALLS"
case "$*" in
*sys.executable*) readlink -f "$0" ;;
*enable-optimizations*) ! grep -q "^# slow" "$0"; exit ;;
*--clear*) rm -rf .venv; mkdir -p .venv/bin; ln -s "$(readlink -f "$0")" .venv/bin/python ;;
*install*) printf '#!/bin/sh\\necho "uv $*" >> "$CALLS"\\n' > .venv/bin/uv; chmod +x .venv/bin/uv ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    (folder / "scripts").mkdir(parents=True)
    for name in ("scripts/setup", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, folder / name)
    stand_in(tmp_path / "python3.11", tmp_path / "python3")
    for tool in (
        "bwrap",
        "nft",
        "java",
        "mvn",
        "node",
        "npm",
        "curl",
        "setpriv",
        "pasta",
        "slirp4netns",
        "iptables",
        "ip",
        "mmdebstrap",
        "dockerd",
        "docker-registry",
        "go",
        "containerd",
        "runc",
        "sysctl",
    ):
        (tmp_path / tool).symlink_to("/bin/true")
    return folder


def stand_in(real: Path, link: Path, more: str = "") -> None:
    real.parent.mkdir(exist_ok=True)
    real.write_text(PYTHON + more)
    real.chmod(0o755)
    link.unlink(missing_ok=True)
    link.symlink_to(real)


def setup(folder: Path, *arguments: str, said: str = "", **variables: str) -> list[str]:
    """Runs it with the PATH of an ordinary user's login; gives the calls that change something."""
    tools = folder.parent
    calls = tools / "calls"
    calls.write_text("")
    path = f"{tools}:{tools / 'more'}:/usr/local/bin:/usr/bin:/bin"
    environment = {"CALLS": str(calls), "PATH": path, "HOME": str(tools), **variables}
    done = subprocess.run(
        [folder / "scripts" / "setup", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
    return [line for line in calls.read_text().splitlines() if " -c " not in line]


MADE = ["python -m venv --clear .venv", "python -m pip install -q --disable-pip-version-check uv==0.13.9"]
SYNC = "uv sync -q --frozen --inexact --compile-bytecode"
SYNC += " --extra encryption --extra kafka --extra kubernetes --extra postgres --extra zookeeper"
COMPILED = ["python -m compileall -q upcall"]
SYNCED = [SYNC, *COMPILED]


def test_it_works_once(checkout: Path) -> None:
    assert setup(checkout) == MADE + SYNCED
    assert setup(checkout) == []
    assert setup(checkout, "test") == [f"{SYNC} --extra dev", *COMPILED]
    assert setup(checkout, "test") == setup(checkout) == []


def test_changed_requirements_are_installed(checkout: Path) -> None:
    setup(checkout)
    with (checkout / "uv.lock").open("a") as lock:
        lock.write("# changed\n")
    assert setup(checkout) == SYNCED


def test_a_deleted_environment_is_made_again(checkout: Path) -> None:
    setup(checkout)
    shutil.rmtree(checkout / ".venv")
    assert setup(checkout) == MADE + SYNCED


def test_a_moved_checkout_gets_a_new_environment(checkout: Path) -> None:
    setup(checkout)
    moved = checkout.rename(checkout.with_name("moved"))
    assert setup(moved) == MADE + SYNCED
    assert setup(moved) == []


def test_an_upgraded_python_gets_a_new_environment(checkout: Path) -> None:
    setup(checkout)
    os.unlink(checkout.parent / "python3.11")
    stand_in(checkout.parent / "python3.13", checkout.parent / "python3")
    assert setup(checkout) == MADE + SYNCED
    assert setup(checkout) == []


def test_a_python_that_is_built_to_be_fast_is_taken_before_one_that_is_not(checkout: Path) -> None:
    tools = checkout.parent
    stand_in(tools / "python3.11", tools / "python3", "# slow\n")
    stand_in(tools / "more" / "python3.12", tools / "more" / "python3")
    said = f"setup: {tools}/more/python3 runs upcall (PYTHON=/another/python3 scripts/setup changes that)\n"
    assert setup(checkout, said=said) == MADE + SYNCED
    assert (checkout / ".venv/bin/python").resolve() == tools / "more" / "python3.12"
    assert setup(checkout) == []
    assert setup(checkout, "test") == [f"{SYNC} --extra dev", *COMPILED]


def test_the_python_that_was_asked_for_stays(checkout: Path) -> None:
    tools = checkout.parent
    stand_in(tools / "python3.11", tools / "python3", "# slow\n")
    stand_in(tools / "more" / "python3.12", tools / "more" / "python3")
    assert setup(checkout, PYTHON="python3") == MADE + SYNCED
    assert setup(checkout) == setup(checkout, PYTHON="python3") == []
    assert setup(checkout, "test") == [f"{SYNC} --extra dev", *COMPILED]
    assert (checkout / ".venv/bin/python").resolve() == tools / "python3.11"


def test_another_python_that_is_asked_for_gets_a_new_environment(checkout: Path) -> None:
    setup(checkout)
    more = checkout.parent / "more" / "python3"
    stand_in(more.with_name("python3.12"), more)
    said = f"setup: {more} runs upcall (PYTHON=/another/python3 scripts/setup changes that)\n"
    assert setup(checkout, PYTHON=str(more), said=said) == MADE + SYNCED
    assert setup(checkout, PYTHON=str(more)) == setup(checkout) == []


def test_without_root_it_prints_the_line_that_root_has_to_run(checkout: Path) -> None:
    (checkout.parent / "python3").unlink()
    (checkout.parent / "id").write_text("#!/bin/sh\necho 1000\n")
    (checkout.parent / "id").chmod(0o755)
    for tool in ("bash", "dirname", "cat", "cksum", "readlink", "env"):
        (checkout.parent / tool).symlink_to(shutil.which(tool) or tool)
    done = subprocess.run(
        [checkout / "scripts" / "setup"],
        env={"PATH": str(checkout.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "setup: these packages are missing; run as root:  "
        "apt-get update && apt-get install -y --no-install-recommends python3 python3-venv libseccomp2\n"
    )
