"""Images of every form: how they say what they run, as whom, where, and with what else. Logs are whole in each."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docker.built import built
from tests.docker.contained import contained
from tests.docker.platform import on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.serving import Platform

pytestmark = pytest.mark.usefixtures("inside")

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["value"]
        if self.path == "/run":
            print("out", flush=True)
            print("err", file=sys.stderr, flush=True)
            with open("/dev/stdout", "w") as again:
                print("again", file=again)
        found = {"uid": os.getuid(), "at": os.getcwd(), "argv": sys.argv[1:]}
        found |= {"pid": os.getpid(), "env": sorted(os.environ)}
        data = json.dumps(found if self.path == "/run" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
BASE = "forms/base:1"
CMD = 'CMD ["python3", "/server.py"]\n'
BASH = "RUN mv /bash /usr/bin/bash && mv /libtinfo.so.6 /usr/lib/ && rm /bin/dash"
LIBRARY = Path("/lib/x86_64-linux-gnu/libtinfo.so.6")


class Form(NamedTuple):
    lines: str
    argv: tuple[str, ...] = ()
    at: str = "/"
    uid: int = 0


FORMS = {
    "shell-entrypoint": Form("ENTRYPOINT exec python3 /server.py a 'b c'", ("a", "b c")),
    "shell-entrypoint-that-stays": Form("ENTRYPOINT cd /tmp; python3 /server.py; echo over", at="/tmp"),
    "shell-cmd": Form('CMD python3 /server.py "$HOME"', ("/root",)),
    "own-shell": Form('SHELL ["/bin/sh", "-ec"]\nCMD python3 /server.py'),
    "entrypoint-and-cmd": Form(
        'ENTRYPOINT ["python3", "/server.py"]\nCMD ["a b", "$c", "*", "", "-x"]', ("a b", "$c", "*", "", "-x")
    ),
    "script": Form('ENTRYPOINT ["/begin"]\nCMD ["x"]', ("begun", "x")),
    "script-nearby": Form('WORKDIR "/odd place/ü"\nCOPY begin .\nENTRYPOINT ["./begin"]', ("begun",), "/odd place/ü"),
    "script-on-the-path": Form('ENV PATH=/:/usr/bin\nCMD ["begin"]', ("begun",)),
    "user": Form(f"USER 4321:4321\n{CMD}", uid=4321),
    "user-by-name": Form(f"WORKDIR /tmp\nUSER nobody\n{CMD}", at="/tmp", uid=65534),
    "stop-signal": Form(f"STOPSIGNAL SIGUSR1\n{CMD}"),
    "volumes": Form(f"VOLUME /data /action\nWORKDIR /data\n{CMD}", at="/data"),
    "health-check": Form(f"HEALTHCHECK --interval=1s --timeout=1s CMD true\n{CMD}"),
    "environment-for-shells": Form(f"ENV ENV=/etc/passwd BASH_ENV=/etc/passwd IFS=/ CDPATH=/ PS4=x UID=7\n{CMD}"),
    "environment-no-shell-takes": Form(f'ENV a.b=1 "c-d"=2\n{CMD}'),
    "no-path": Form('ENV PATH=/nowhere\nCMD ["/usr/bin/python3", "/server.py"]'),
    "busybox": Form(f"RUN rm /bin/dash && /busybox ln -sf /busybox /bin/sh\n{CMD}"),
    "bash-is-sh": Form(f"{BASH} && ln -sf bash /bin/sh\n{CMD}"),
    "bash-alone": Form(f'{BASH} /bin/sh\nCMD ["/begin-bash"]', ("bash",)),
    "no-shell": Form('RUN rm /bin/sh /bin/dash\nENTRYPOINT ["python3", "/server.py"]'),
    "labels": Form(f"LABEL upcall.invoker=7 a=b\nEXPOSE 80 443\n{CMD}"),
}
SHELLS = {"PWD", "OLDPWD", "SHLVL", "_"}
"""Variables that shells have of their own."""


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    busybox = shutil.which("busybox")
    assert busybox, "scripts/setup test brings it"
    files: dict[str, bytes | Path] = {
        "server.py": SERVER.encode(),
        "begin": b'#!/bin/sh\nexec python3 /server.py begun "$@"\n',
        "begin-bash": b"#!/usr/bin/bash\npython3 /server.py bash\n",
        "busybox": Path(busybox),
        "bash": Path("/bin/bash"),
        "libtinfo.so.6": LIBRARY,
    }
    built(engine, BASE, "FROM base/python:3\nCOPY . /\n", files)
    for name, form in FORMS.items():
        built(engine, f"forms/{name}:1", f"FROM {BASE}\n{form.lines}", {"begin": files["begin"]})
    before = volumes(engine)
    with on_docker(engine, tmp_path_factory.mktemp("forms") / "data", "--memory", "4 GB") as made:
        yield made
    assert volumes(engine) <= before


def volumes(engine: Engine) -> set[str]:
    """They go with their containers."""
    return {each["Name"] for each in engine.call("GET", "/volumes")["Volumes"] or ()}


def create(platform: Platform, name: str) -> None:
    action = {"exec": {"kind": "blackbox", "image": f"forms/{name}:1"}, "limits": {"memory": 128}}
    assert platform.call("PUT", f"actions/{name}", action).status == 200


@pytest.mark.parametrize("name", FORMS)
def test_it_runs_as_it_says_and_its_logs_are_whole(platform: Platform, engine: Engine, name: str) -> None:
    create(platform, name)
    form, first = FORMS[name], recorded(platform, name)["response"]["result"]
    assert (tuple(first["argv"]), first["at"], first["uid"]) == (form.argv, form.at, form.uid)
    record = recorded(platform, name)
    assert record["response"]["result"] == first
    lines = sorted(printed(record), key=lambda line: line.startswith("stderr"))
    assert lines == ["stdout: out", "stdout: again", "stderr: err"]
    with contained(engine, f"forms/{name}:1") as alone:
        assert alone.init() == (200, {})
        found = alone.run()[1]
    assert set(first["env"]) - SHELLS == {*found["env"], "__OW_API_HOST"} - SHELLS
    assert (first["pid"] == 1) == (found["pid"] == 1)
