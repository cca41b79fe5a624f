"""Our runtimes' images under any Invoker: the contract, and no word of ours in what they print.

spec: container.md §2, §8; logs.md §1.
"""

import contextlib
import http.client
import io
import socket
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.docker.built import built
from tests.docker.contained import READY, SENTINEL, Contained, contained, posted
from tests.system.engine import Engine
from upcall import __version__
from upcall.runtimes.python.order import WHOLE

PYTHON, NODE, SKELETON = (f"upcall/{name}:{__version__}" for name in ("python", "nodejs", "skeleton"))
TALKING = {
    PYTHON: """
import sys
def main(args):
    print("one")
    print("two", file=sys.stderr)
    print("three", end="")
    return {"greeting": "Hello " + args.get("name", "stranger")}
""",
    NODE: """
function main({ name = 'stranger' }) {
  console.log('one');
  console.error('two');
  process.stdout.write('three');
  return { greeting: 'Hello ' + name };
}
""",
    SKELETON: """#!/bin/sh
echo one
echo three
echo two >&2
echo '{"greeting": "Hello Ada"}'
""",
}
BROKEN = {PYTHON: "def main(", NODE: "function main( {", SKELETON: "no program"}


def zipped(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


@pytest.mark.parametrize("image", TALKING)
def test_each_run_ends_with_a_sentinel_on_both_streams_and_nothing_else_is_added(inside: Engine, image: str) -> None:
    with contained(inside, image) as container:
        assert container.init(TALKING[image]) == READY
        for _ in range(2):
            assert container.run({"name": "Ada"}) == (200, {"greeting": "Hello Ada"})
        lines = container.ended(2)
    assert lines == {"stdout": ["one", "three", SENTINEL] * 2, "stderr": ["two", SENTINEL] * 2}


@pytest.mark.parametrize("image", TALKING)
def test_a_failed_init_ends_with_sentinels_a_second_one_is_refused_without_a_word(inside: Engine, image: str) -> None:
    with contained(inside, image) as container:
        status, answer = container.init(BROKEN[image])
        assert (status, list(answer)) == (502, ["error"])
        assert [lines[-1] for lines in container.ended(1).values()] == [SENTINEL] * 2
    with contained(inside, image) as container:
        assert container.run()[0] == 403
        assert container.init(TALKING[image]) == READY
        assert container.init(TALKING[image]) == (403, {"error": "Cannot initialize the action more than once."})
        assert container.run()[0] == 200


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (PYTHON, "import os\ndef main(args):\n    return {k: os.environ[k] for k in args['names']}"),
        (NODE, "function main(args) { return Object.fromEntries(args.names.map((k) => [k, process.env[k]])) }"),
        (
            SKELETON,
            '#!/bin/sh\nprintf \'{"A": "%s", "__OW_DEADLINE": "%s", "__OW_API_HOST": "%s"}\' '
            '"$A" "$__OW_DEADLINE" "$__OW_API_HOST"',
        ),
    ],
)
def test_what_init_and_run_and_the_container_bring_is_the_environment(inside: Engine, image: str, code: str) -> None:
    with contained(inside, image, Env=["__OW_API_HOST=http://172.17.0.1"]) as container:
        assert container.init(code, env={"A": "1", "__OW_DEADLINE": "1"}) == READY
        expected = {"A": "1", "__OW_DEADLINE": "2", "__OW_API_HOST": "http://172.17.0.1"}
        assert container.run({"names": list(expected)}, deadline="2") == (200, expected)


GARBAGE = [
    b"\r\n\r\n",
    b"GARBAGE\r\n\r\n",
    b"POST /run HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"POST /run HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /run HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"A" * 200_000,
]


@pytest.mark.parametrize("image", [PYTHON, NODE])
def test_whoever_sends_what_is_no_request_disturbs_nobody_for_long(inside: Engine, image: str) -> None:
    with contained(inside, image) as container, contextlib.ExitStack() as open_:

        def sent(data: bytes) -> socket.socket:
            stranger = open_.enter_context(socket.create_connection((container.address, 8080), timeout=30))
            with contextlib.suppress(ConnectionError):
                stranger.sendall(data)
            return stranger

        assert container.init(TALKING[image]) == READY
        sent(b"POST /run HTTP/1.1\r\nContent-Le")  # the rest never comes
        for data in GARBAGE:
            with contextlib.suppress(ConnectionError):
                sent(data).recv(1000)  # it is answered, or cut off
            assert container.run({"name": "Ada"}) == (200, {"greeting": "Hello Ada"})


ORPHANS = {
    PYTHON: """
import glob, subprocess
def state(path):
    try:
        return open(path).read().rpartition(") ")[2][0]
    except OSError:
        return ""
def main(args):
    subprocess.run("(sleep 0.01; exit 3) & true", shell=True)
    return {"states": [state(path) for path in glob.glob("/proc/[0-9]*/stat")]}
""",
    NODE: r"""
const fs = require('fs');
function state(pid) {
  try { return /\) (.)/.exec(fs.readFileSync(`/proc/${pid}/stat`))[1] } catch { return '' }
}
function main() {
  require('child_process').execSync('(sleep 0.01; exit 3) > /dev/null & true');
  return { states: fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(state) };
}
""",
}


@pytest.mark.parametrize("image", ORPHANS)
def test_orphans_are_reaped(inside: Engine, image: str) -> None:
    with contained(inside, image) as container:
        assert container.init(ORPHANS[image]) == READY
        deadline = time.monotonic() + 30
        for _ in range(10):
            assert container.run()[0] == 200
        while (found := container.run()[1]["states"]).count("Z") > 1:  # what the one before has just left
            assert time.monotonic() < deadline, found


@pytest.mark.parametrize("image", TALKING)
def test_sigterm_ends_the_container_at_once(inside: Engine, image: str) -> None:
    with contained(inside, image) as container:
        assert container.init(TALKING[image]) == READY
        inside.call("POST", f"/containers/{container.id}/kill", signal="SIGTERM")
        assert container.awaited() == 143


EXITS = {
    PYTHON: "import os\ndef main(args):\n    os._exit(7)",
    NODE: "function main() { process.exit(7) }",
    SKELETON: "#!/bin/sh\nkill -9 $$",
}


@pytest.mark.parametrize(("image", "status"), [(PYTHON, 7), (NODE, 7), (SKELETON, 1)])
def test_the_container_ends_when_the_action_ends_its_process(inside: Engine, image: str, status: int) -> None:
    with contained(inside, image) as container:
        assert container.init(EXITS[image]) == READY
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            container.run()
        assert container.awaited() == status


HUNGRY = {
    PYTHON: "def main(args):\n    held = [bytearray(1 << 20) for _ in range(1000)]\n    return {}",
    NODE: "function main() { const held = []; for (;;) held.push(new Array(1 << 17).fill(Math.random())) }",
}


@pytest.mark.parametrize("image", HUNGRY)
def test_who_takes_more_than_the_containers_memory_is_ended_by_the_kernel(inside: Engine, image: str) -> None:
    """And not by the language's own bound: so the platform can tell."""
    with contained(inside, image, memory=512) as container:
        assert container.init(HUNGRY[image]) == READY
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            container.run()
        assert container.awaited() == 137
        assert container.inspect()["State"]["OOMKilled"]


def together(container: Contained, count: int) -> list[Any]:
    """Results of runs that are all begun before any has ended, if the container takes them so."""
    connections = [container.connection() for _ in range(count)]
    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(lambda each: posted(each, "/run", {"value": {"count": count}}), connections))
    for each in connections:
        each.close()
    assert [status for status, _ in answers] == [200] * count
    return [answer["most"] for _, answer in answers]


PARALLEL = """
let [active, most] = [0, 0];
async function main({ count }) {
  most = Math.max(most, ++active);
  for (let turn = 0; turn < 100 && most < count; turn++) await new Promise((done) => setTimeout(done, 1));
  active--;
  return { most };
}
"""


@pytest.mark.parametrize(("told", "most"), [((), 3), (("__OW_ALLOW_CONCURRENT=false",), 1)])
def test_node_runs_side_by_side_unless_told_not_to(inside: Engine, told: tuple[str, ...], most: int) -> None:
    with contained(inside, NODE, Env=list(told)) as container:
        assert container.init(PARALLEL) == READY
        assert max(together(container, 3)) == most
        container.ended(3)


@pytest.mark.parametrize("image", TALKING)
def test_any_user_will_do_and_nobodys_files_are_written_but_the_actions(inside: Engine, image: str) -> None:
    with contained(
        inside, image, User="4321", host={"ReadonlyRootfs": True, "Tmpfs": {"/action": "exec"}}
    ) as container:
        assert container.init(TALKING[image]) == READY
        assert container.run({"name": "Ada"}) == (200, {"greeting": "Hello Ada"})
        container.ended(1)


@pytest.mark.parametrize(
    ("image", "files"),
    [
        (
            PYTHON,
            {
                "__main__.py": "import os\nfrom lib import x\ndef main(args):\n    return {'x': x, 'at': os.getcwd()}",
                "lib.py": "x = 1",
            },
        ),
        (
            NODE,
            {
                "index.js": "exports.main = () => ({ x: require('./lib').x, at: process.cwd() })",
                "lib.js": "exports.x = 1",
            },
        ),
        (SKELETON, {"exec": '#!/bin/sh\n. ./lib\necho "{\\"x\\": $x, \\"at\\": \\"$PWD\\"}"', "lib": "x=1"}),
    ],
)
def test_a_zip_is_unpacked_where_the_action_then_is(inside: Engine, image: str, files: dict[str, str]) -> None:
    with contained(inside, image) as container:
        assert container.init(zipped(files)) == READY
        assert container.run() == (200, {"x": 1, "at": "/action"})


def test_a_compiled_program_is_an_action(inside: Engine) -> None:
    """`echo` of this host, whose argument is its last line; the image has the same C library."""
    with contained(inside, SKELETON) as container:
        assert container.init(Path("/bin/echo").read_bytes()) == READY
        assert container.run({"a": ["☃"]}) == (200, {"a": ["☃"]})


UPSTREAMS_CMD = 'CMD ["/bin/bash", "-c", "cd actionProxy && python -u actionproxy.py"]'


@pytest.mark.parametrize("rest", ["", UPSTREAMS_CMD])
def test_an_image_made_of_the_skeleton_brings_its_own_program(inside: Engine, rest: str) -> None:
    """The last lines of Dockerfiles that were written for upstream's skeleton do no harm."""
    dockerfile = f"FROM {SKELETON}\nADD exec /action/exec\n{rest}"
    image = built(inside, "derived/own:1", dockerfile, {"exec": b"#!/bin/sh\necho '[1]'"})
    with contained(inside, image) as container:
        assert container.init() == READY
        assert container.run() == (200, [1])
    with contained(inside, image) as container:
        assert container.init("#!/bin/sh\necho '[2]'") == READY
        assert container.run() == (200, [2])


def test_the_skeleton_alone_has_nothing_to_run(inside: Engine) -> None:
    with contained(inside, SKELETON) as container:
        assert container.init() == (403, {"error": "Missing main/no code to execute."})


def test_modules_of_an_image_made_of_pythons_are_found(inside: Engine) -> None:
    place = "$(python3 -c 'import site; print(site.getsitepackages()[0])')"
    dockerfile = f"FROM {PYTHON}\nENV PYTHONPATH=/libs\nADD near.py /libs/\nADD far.py /\n"
    dockerfile += f"RUN mkdir -p {place} && mv /far.py {place}"
    image = built(inside, "derived/modules:1", dockerfile, {"near.py": b"x = 1", "far.py": b"y = 2"})
    with contained(inside, image) as container:
        assert container.init("import far, near\ndef main(args):\n    return {'x': near.x, 'y': far.y}") == READY
        assert container.run() == (200, {"x": 1, "y": 2})


def test_python_does_not_find_the_runtimes_own_modules(inside: Engine) -> None:
    with contained(inside, PYTHON) as container:
        assert container.init("import sys\ndef main(args):\n    return {'path': sys.path, 'argv': sys.argv}") == READY
        status, answer = container.run()
        assert (status, answer["argv"]) == (200, ["-c"])
        assert not [path for path in answer["path"] if path.startswith("/opt/upcall") or not path]


@pytest.mark.parametrize("image", [PYTHON, NODE])
def test_a_platform_of_ours_is_told_the_turns_and_not_the_ends(inside: Engine, image: str, tmp_path: Path) -> None:
    """The engine's log has none of it: first test."""
    for name in ("stdout", "stderr"):
        (tmp_path / name).touch()
    mounts = [
        {"Type": "bind", "Source": str(tmp_path / name), "Target": f"/dev/upcall.{name}"}
        for name in ("stdout", "stderr")
    ]
    started = inside.call("GET", f"/images/{image}/json")["Config"]["Entrypoint"]
    shell = ["/bin/sh", "-c", 'exec "$@" >/dev/upcall.stdout 2>/dev/upcall.stderr', "sh"]
    with contained(inside, image, Entrypoint=shell, Cmd=started, host={"Mounts": mounts}) as container:
        assert container.init(TALKING[image]) == READY
        assert container.run()[0] == 200
    assert (tmp_path / "stdout").read_bytes() == WHOLE + b"one\nthree"
    assert (tmp_path / "stderr").read_text() == "two\n\0order 1 1 0\n"
