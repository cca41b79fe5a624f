"""Logs that are left to Docker's log driver, or written to files besides (spec: logs.md §5, §6)."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.platform import on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.serving import Platform

CODE = "import sys\ndef main(args):\n    print('out')\n    print('err', file=sys.stderr)\n    return {}\n"


@contextlib.contextmanager
def served(engine: Engine, folder: Path, store: str, *options: str) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("CONFIG_whisk_spi_LogStoreProvider", store)
        variables.setenv("UPCALL_LOGS_FOLDER", str(folder / "logs"))
        with on_docker(engine, folder / "data", *options) as platform:
            yield platform


def test_a_log_driver_has_all_and_records_have_nothing(inside: Engine, tmp_path: Path) -> None:
    provider = "org.apache.openwhisk.core.containerpool.logging.LogDriverLogStoreProvider"
    extra = {"log-opt": ["max-size=1m"]}
    with served(inside, tmp_path, provider, "--prewarm", "none", "--docker-extra-args", json.dumps(extra)) as platform:
        platform.create("prints", CODE)
        record = recorded(platform, "prints")
        assert (record["response"]["status"], record["logs"]) == ("success", [])
        logs = platform.call("GET", f"activations/{record['activationId']}/logs")
        assert logs.body == {"logs": ["Logs are not available."]}
        platform.create("fails", "def main(args):\n    import os; os._exit(1)")
        assert recorded(platform, "fails")["logs"] == []
        (id,) = (each["Id"] for each in inside.containers("upcall.instance") if each["Names"][0].endswith("_prints"))
        host = inside.inspect(id)["HostConfig"]
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}  # the engine's own default
        assert not host.get("Mounts")
        written = inside.call("GET", f"/containers/{id}/logs", stdout="1", stderr="1")
        assert written.count(b"out\n") == written.count(b"err\n") == 1


def test_files_have_the_lines_of_containers_too(inside: Engine, tmp_path: Path) -> None:
    provider = "org.apache.openwhisk.core.containerpool.logging.DockerToActivationFileLogStoreProvider"
    with served(inside, tmp_path, provider) as platform:
        platform.create("prints", CODE)
        record = recorded(platform, "prints")
        assert sorted(printed(record)) == ["stderr: err", "stdout: out"]
    (path,) = (tmp_path / "logs").iterdir()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    mine = [each for each in found if each["activationId"] == record["activationId"]]
    assert [f"{each['time']} {each['stream']}: {each['log']}" for each in mine[:-1]] == [
        f"{line}\n" for line in record["logs"]
    ]
    assert mine[-1]["annotations"] == record["annotations"]
