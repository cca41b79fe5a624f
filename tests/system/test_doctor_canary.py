"""The doctor's canary on a running platform, by the command as people type it."""

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

from tests.system.serving import Platform, running


def sung(platform: Platform) -> Any:
    server = ("--apihost", platform.url, "--auth", platform.auth)
    command = [sys.executable, "-m", "upcall", "doctor", "--machine", "--canary", "--json", *server]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def here(found: Any, platform: Platform) -> list[str]:
    """What is said of the platform: the machine may have its own troubles."""
    return [each["id"] for each in found["findings"] if each["where"] == f"the platform at {platform.url}"]


def test_a_platform_that_is_well_answers_a_canary_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        found = sung(platform)
        assert here(found, platform) == []
        assert found["unseen"] == []
        assert "by a canary of nodejs:" in found["looked_at"]
        assert platform.call("GET", "actions").body == []


def test_a_platform_that_takes_activations_and_runs_none_is_named(tmp_path: Path) -> None:
    """An operator has it wait: what it is given is accepted."""
    with running(tmp_path / "data", environment={"UPCALL_OPERATOR_PASSWORD": "secret"}) as platform:
        connection = platform.connect()
        key = b64encode(b"operator:secret").decode()
        connection.request("POST", "/disable", headers={"Authorization": f"Basic {key}"})
        assert connection.getresponse().status == 200
        connection.close()
        assert here(sung(platform), platform) == ["K8S-13"]
