"""A log driver that the operator has chosen gets what containers print, and so do the records (spec: logs.md §6)."""

import json
import socket
from pathlib import Path

from tests.docker.platform import PATIENCE, on_docker, printed, recorded
from tests.system.engine import Engine

CODE = "import sys\ndef main(args):\n    print('out')\n    print('err', file=sys.stderr)\n    return {}\n"


def test_both_have_the_lines(inside: Engine, tmp_path: Path) -> None:
    received: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(PATIENCE)
        place = f"syslog-address=udp://127.0.0.1:{collector.getsockname()[1]}"
        extra = {"log-driver": "syslog", "log-opt": [place, "tag=actions"]}
        with on_docker(inside, tmp_path / "data", "--docker-extra-args", json.dumps(extra)) as platform:
            platform.create("prints", CODE)
            assert sorted(printed(recorded(platform, "prints"))) == ["stderr: err", "stdout: out"]  # of two streams
            while not {b"out", b"err"} <= {line.rsplit(b": ", 1)[-1].strip() for line in received}:
                received.append(collector.recv(65536))
