"""A container made ready for an action by hand: by Docker's own client, with the arguments that upcall gives."""

import http.client
import json
import shutil
import subprocess
import time

from tests.system.engine import Engine
from upcall.app.offer import docker_manifest

ARGUMENTS = [
    *(
        "--cpu-shares=8",
        "--memory=128m",
        "--memory-swap=128m",
        "--network=bridge",
        "--env=__OW_API_HOST=http://10.0.0.1",
    ),
    *("--cap-drop=NET_RAW", "--cap-drop=NET_ADMIN", "--ulimit=nofile=1024:1024", "--pids-limit=1024"),
    "--log-driver=json-file",
]
IMAGES = {runtime.kind: str(runtime.image) for runtime in docker_manifest().all}


class Hand:
    """Somebody with a shell."""

    def __init__(self, engine: Engine) -> None:
        program = shutil.which("docker")
        assert program is not None, "Docker's client is missing: apt-get install docker.io"
        self._docker = [program, "--host", engine.url]

    def cold(self, kind: str, code: str) -> float:
        """Seconds from nothing to an action that can be run."""
        began = time.perf_counter()
        id = self._said("run", "-d", *ARGUMENTS, IMAGES[kind])
        address = self._said("inspect", "--format", "{{.NetworkSettings.IPAddress}}", id)
        init = {"name": "n", "main": "main", "code": code, "binary": False, "env": {}}
        connection = http.client.HTTPConnection(address, 8080, timeout=10)
        while connection.sock is None:
            try:
                connection.connect()
            except ConnectionRefusedError:
                time.sleep(0.001)
        connection.request("POST", "/init", json.dumps({"value": init}), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        took = time.perf_counter() - began
        connection.close()
        self._said("rm", "--force", id)
        return took

    def _said(self, *words: str) -> str:
        done = subprocess.run([*self._docker, *words], check=True, capture_output=True, text=True, timeout=60)
        return done.stdout.strip()
