"""Images with proxies as upstream's runtimes have them, through the platform: nothing about them is ours.

spec: container.md §2, §3, §8; logs.md §1.
"""

import base64
import io
import json
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.docker.built import built, proxies
from tests.docker.platform import eventually, on_docker, printed, recorded
from tests.system.engine import Engine
from tests.system.operating import upcall
from tests.system.serving import Platform
from upcall.model import texts

pytestmark = pytest.mark.usefixtures("inside")

REGISTRY = "registry.test:5000/"
IMAGES = {
    "openwhisk/action-golang-v1.20:nightly": ("python", "python3 -m upstream.loop"),
    f"{REGISTRY}openwhisk/action-nodejs-v20:nightly": ("nodejs", "node --expose-gc upstream/express.js"),
    "openwhisk/python2action:1.19.0": ("python", "python3 -u -m upstream.oldest python"),
    "openwhisk/java8action:nightly": ("python", "python3 -u -m upstream.machine"),
    "openwhisk/dockerskeleton:nightly": ("python", "python3 -u -m upstream.oldest native"),
}


def runtime(kind: str, name: str, tag: str = "nightly", registry: str | None = None, **more: Any) -> dict[str, Any]:
    image = {"prefix": "openwhisk", "name": name, "tag": tag, **({"registry": registry} if registry else {})}
    attached = {"attachmentName": "codefile", "attachmentType": "text/plain"}
    return {"kind": kind, "default": True, "deprecated": False, "attached": attached, "image": image, **more}


REACTIVE = {"minCount": 1, "maxCount": 2, "ttl": "2 minutes", "threshold": 1, "increment": 1}
CELLS = [{"initialCount": 1, "memory": "256 MB", "reactive": REACTIVE}]
JAR = {"attachmentName": "jarfile", "attachmentType": "application/java-archive"}
MANIFEST = {
    "description": ["as upstream's"],
    "runtimes": {
        "nodejs": [
            runtime("nodejs:14", "action-nodejs-v14", deprecated=True, default=False),
            runtime("nodejs:20", "action-nodejs-v20", registry=REGISTRY, stemCells=CELLS),
        ],
        "python": [
            runtime("python:2", "python2action", tag="1.19.0", default=False),
            runtime("python:3", "action-python-v3.11", deprecated=False),
        ],
        "swift": [runtime("swift:5.3", "action-swift-v5.3")],
        "java": [runtime("java:8", "java8action", requireMain=True, attached=JAR)],
        "php": [runtime("php:8.1", "action-php-v8.1")],
        "ruby": [runtime("ruby:2.5", "action-ruby-v2.5")],
        "go": [runtime("go:1.20", "action-golang-v1.20")],
        "dotnet": [runtime("dotnet:3.1", "action-dotnet-v3.1", requireMain=True)],
        "rust": [runtime("rust:1.34", "action-rust-v1.34")],
    },
    "blackboxes": [{"prefix": "openwhisk", "name": "dockerskeleton", "tag": "nightly"}],
}
PYTHON = """
import os, sys, time
runs = 0
def main(args):
    global runs
    runs += 1
    print("out", args.get("who"))
    print("err", runs, file=sys.stderr)
    time.sleep(args.get("sleep", 0))
    return {"runs": runs, "env": {name: os.environ.get(name) for name in args.get("names", [])}}
"""
JAVA = PYTHON.replace("def main", "@staticmethod\ndef ran") + "class Hello:\n    main = other = ran\n"
NODE = """
let runs = 0;
async function main(args) {
  runs += 1;
  console.log('out', args.who);
  console.error('err', runs);
  await new Promise((done) => setTimeout(done, 1000 * (args.sleep || 0)));
  return { runs, env: Object.fromEntries((args.names || []).map((name) => [name, process.env[name] || null])) };
}
"""
NATIVE = """#!/bin/sh
echo out $(expr "$1" : '.*"who": "\\([^"]*\\)"')
echo err 1 >&2
echo "{\\"runs\\": 1, \\"env\\": {\\"__OW_ACTION_NAME\\": \\"$__OW_ACTION_NAME\\"}}"
"""


def coded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


EXECS: dict[str, dict[str, Any]] = {
    "go": {"kind": "go:1.20", "code": PYTHON},
    "node": {"kind": "nodejs:default", "code": NODE},
    "oldest": {"kind": "python:2", "code": PYTHON},
    "java": {"kind": "java:8", "code": coded(JAVA.replace("@staticmethod\n", "")), "main": "Hello"},
    "native": {"kind": "blackbox", "image": "openwhisk/dockerskeleton:nightly", "code": NATIVE},
}


@pytest.fixture(scope="module")
def platform(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    for name, (base, command) in IMAGES.items():
        begin = f"FROM base/{base}:{20 if base == 'nodejs' else 3}\nWORKDIR /action\nWORKDIR /proxy\n"
        lines = "COPY . /proxy/upstream\nENV OW_EXECUTION_ENV=openwhisk/test OW_COMPILER=/bin/compile\n"
        built(engine, name, f"{begin}{lines}CMD {command}", proxies())
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("RUNTIMES_MANIFEST", json.dumps(MANIFEST))
        variables.setenv("UPCALL_LIMITS_CONCURRENCY_MAX", "4")
        variables.setenv("UPCALL_POOL_PAUSE_GRACE", "2 s")
        data = tmp_path_factory.mktemp("upstream") / "data"
        with on_docker(engine, data, "--memory", "4 GB") as made:
            yield made


def create(platform: Platform, name: str, exec: dict[str, Any], **members: Any) -> None:
    answer = platform.call("PUT", f"actions/{name}?overwrite=true", {"exec": exec, **members})
    assert answer.status == 200, answer


def streams(record: Any) -> dict[str, list[str]]:
    """Its lines. Which of two streams was first written to nobody knows of such images."""
    lines = [line.split(": ", 1) for line in printed(record)]
    return {name: [text for stream, text in lines if stream == name] for name in ("stdout", "stderr")}


def test_stem_cells_of_the_manifest_are_used(platform: Platform, engine: Engine) -> None:
    used = set()
    for number in range(2):
        create(platform, f"stem{number}", EXECS["node"])
        eventually(lambda: states(platform).get("prewarm") == 1, lambda: states(platform))
        record = recorded(platform, f"stem{number}", names=["HOSTNAME"])
        assert streams(record) == {"stdout": ["out undefined"], "stderr": ["err 1"]}
        used.add(record["response"]["result"]["env"]["HOSTNAME"])
    eventually(lambda: used < stem_cells(engine), lambda: f"{used} and the next one are not among the stem cells")


def states(platform: Platform) -> Any:
    """How many containers are in which."""
    return json.loads(upcall("status", "--json", environment={"UPCALL_DATA": str(platform.data)}).out)["pool"]["states"]


def stem_cells(engine: Engine) -> set[str]:
    """Those of them, too, that have become an action's."""
    found = engine.containers("upcall.instance")
    return {each["Id"][:12] for each in found if "_prewarm_nodejs20" in each["Names"][0]}


@pytest.mark.parametrize("name", EXECS)
def test_each_is_warm_again_with_its_logs_and_its_environment(platform: Platform, name: str) -> None:
    create(platform, name, EXECS[name])
    keeps = name != "native"
    for run in (1, 2, 3):
        names = ["__OW_ACTION_NAME", "__OW_DEADLINE", "__OW_API_KEY"] if keeps else []
        before = int(time.time() * 1000)
        record = recorded(platform, name, who=f"Ada{run}", names=names)
        result = record["response"]["result"]
        assert result["runs"] == (run if keeps else 1)
        assert result["env"]["__OW_ACTION_NAME"] == f"/guest/{name}"
        assert streams(record) == {"stdout": [f"out Ada{run}"], "stderr": [f"err {run if keeps else 1}"]}
        assert any(each["key"] == "initTime" for each in record["annotations"]) == (run == 1)
        if keeps:
            assert before <= int(result["env"]["__OW_DEADLINE"]) - 60000 <= time.time() * 1000
            assert result["env"]["__OW_API_KEY"] is None


def test_who_asks_for_a_key_has_it_and_init_parameters_are_text(platform: Platform) -> None:
    annotations = [{"key": "provide-api-key", "value": True}]
    parameters = [
        {"key": key, "value": value, "init": True} for key, value in (("A", {"b": [1]}), ("B", 2), ("C", None))
    ]
    for name in ("go", "node"):
        create(platform, f"key-{name}", EXECS[name], annotations=annotations, parameters=parameters)
        found = recorded(platform, f"key-{name}", names=["__OW_API_KEY", "A", "B", "C"])["response"]["result"]["env"]
        assert found.pop("__OW_API_KEY") == platform.auth
        assert found == {"A": '{"b":[1]}', "B": "2", "C": "" if name == "go" else None}


@pytest.mark.parametrize(
    ("name", "code", "error"),
    [
        ("go", "def main(", "cannot compile: '(' was never closed (exec.py, line 1)"),
        ("node", "function (", "Initialization has failed due to: SyntaxError: "),
        ("oldest", "nonsense", "The action failed to generate or locate a binary. See logs for details."),
        ("java", coded("class Other:\n    pass"), texts.INIT_DIED),
    ],
)
def test_an_init_that_fails_is_told_in_the_images_own_words(
    platform: Platform, name: str, code: str, error: str
) -> None:
    create(platform, f"broken-{name}", {**EXECS[name], "code": code})
    response = recorded(platform, f"broken-{name}")["response"]
    assert response["status"] == "action developer error"
    assert response["result"]["error"].startswith(error)


def test_what_failed_at_init_is_in_the_log(platform: Platform) -> None:
    create(platform, "told", {**EXECS["oldest"], "code": "nonsense"})
    found = streams(recorded(platform, "told"))
    assert found["stdout"] == []
    assert found["stderr"][-2:] == ["NameError: name 'nonsense' is not defined", texts.LOGS_DEVELOPER]


@pytest.mark.parametrize("name", ["go", "node", "oldest", "java"])
def test_parallel_calls_have_containers_of_their_own(platform: Platform, name: str) -> None:
    """Where two came to one of these at a time they would end it, or be refused, or wait."""
    create(platform, f"many-{name}", EXECS[name])
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda n: recorded(platform, f"many-{name}", who=n, sleep=0.3), range(6)))
    assert [record["response"]["status"] for record in found] == ["success"] * 6
    assert [streams(record)["stdout"] for record in found] == [[f"out {n}"] for n in range(6)]


def test_node_runs_side_by_side_in_one_container_where_the_limits_allow_it(platform: Platform) -> None:
    create(platform, "beside", EXECS["node"], limits={"concurrency": 4})
    assert recorded(platform, "beside", who=0)["response"]["result"]["runs"] == 1
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: recorded(platform, "beside", who=n, sleep=1), range(4)))
    assert sorted(record["response"]["result"]["runs"] for record in found) == [5] * 4


def test_one_that_takes_one_connection_at_a_time_serves_all_who_share_it(platform: Platform) -> None:
    create(platform, "queue", EXECS["oldest"], limits={"concurrency": 4})
    recorded(platform, "queue")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: recorded(platform, "queue", who=n, sleep=0.05), range(12)))
    assert sorted(record["response"]["result"]["runs"] for record in found) == list(range(2, 14))


def test_after_more_than_five_seconds_it_is_as_warm_as_before(platform: Platform) -> None:
    names = ("go", "node", "oldest")
    for name in names:
        create(platform, f"rest-{name}", EXECS[name])
        assert recorded(platform, f"rest-{name}")["response"]["result"]["runs"] == 1
    time.sleep(5.1)
    assert states(platform)["paused"] >= len(names)
    for name in names:
        assert recorded(platform, f"rest-{name}")["response"]["result"]["runs"] == 2


def test_a_deprecated_kind_is_refused_and_a_kind_without_its_image_is_told(platform: Platform) -> None:
    answer = platform.call("PUT", "actions/old", {"exec": {"kind": "nodejs:14", "code": NODE}})
    assert answer.status == 400
    create(platform, "swift", {"kind": "swift:5.3", "code": "x"})
    response = recorded(platform, "swift")["response"]
    assert (response["status"], response["result"]) == ("whisk internal error", {"error": texts.PROVISION})


def test_one_that_takes_its_time_to_die_or_answer_is_replaced(platform: Platform) -> None:
    create(platform, "late", EXECS["go"], limits={"timeout": 4000})
    first = {"runs": 1, "env": {}}
    assert recorded(platform, "late")["response"]["result"] == first
    record = recorded(platform, "late", sleep=8)
    assert record["response"]["result"] == {"error": texts.run_timeout(4000)}
    assert recorded(platform, "late")["response"]["result"] == first


def test_one_that_takes_too_much_memory_is_named_so(platform: Platform) -> None:
    code = "def main(args):\n    print('asks')\n    return {'n': len(bytearray(args['mb'] << 20))}"
    create(platform, "hungry", {**EXECS["oldest"], "code": code}, limits={"memory": 128})
    assert recorded(platform, "hungry", mb=1)["response"]["status"] == "success"
    record = recorded(platform, "hungry", mb=500)
    assert record["response"]["result"] == {"error": texts.MEMORY_EXHAUSTED}
    assert recorded(platform, "hungry", mb=1)["response"]["status"] == "success"


def test_an_action_that_ends_behind_its_proxy_is_told(platform: Platform) -> None:
    create(platform, "ends", {**EXECS["go"], "code": "import os\ndef main(args):\n    print('last')\n    os._exit(3)"})
    record = recorded(platform, "ends")
    assert record["response"]["result"] == {"error": "command exited"}
    assert streams(record) == {"stdout": ["last"], "stderr": [texts.LOGS_DEVELOPER]}


def test_what_no_line_ends_before_the_sentinel_is_in_the_log(platform: Platform) -> None:
    code = (
        "import sys\ndef main(args):\n    print('half', end='', flush=True)\n    sys.stderr.write('too')\n    return {}"
    )
    create(platform, "half", {**EXECS["go"], "code": code})
    for _ in range(2):
        assert streams(recorded(platform, "half")) == {"stdout": ["half"], "stderr": ["too"]}


def test_arrays_snowmen_and_results_of_a_megabyte_come_as_they_are(platform: Platform) -> None:
    code = "def main(args):\n    return [args] if not args.get('n') else {'x': '☃' * args['n']}"
    for name in ("go", "oldest"):
        create(platform, f"big-{name}", {**EXECS[name], "code": code})
        assert platform.invoke(f"big-{name}", {"a": "☃"}).body == [{"a": "☃"}]
        assert recorded(platform, f"big-{name}", n=120_000)["response"]["result"] == {"x": "☃" * 120_000}
        cut = recorded(platform, f"big-{name}", n=1_000_000)["response"]
        assert cut["status"] == "application error"
        assert cut["result"]["error"].startswith("The action produced a response that exceeded the allowed length: ")


def zipped(**files: str) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return coded(data.getvalue())


def test_zips_and_programs_of_either_form_are_unpacked(platform: Platform) -> None:
    create(platform, "zip-go", {**EXECS["go"], "code": zipped(exec__py=PYTHON + "import lib", lib__py="x = 1")})
    assert recorded(platform, "zip-go")["response"]["result"]["runs"] == 1
    create(
        platform, "zip-native", {**EXECS["native"], "code": zipped(exec="#!/bin/sh\n. ./lib", lib="echo '{\"x\": 1}'")}
    )
    assert recorded(platform, "zip-native")["response"]["result"] == {"x": 1}
    create(platform, "base64", {**EXECS["native"], "code": coded(NATIVE)})
    assert streams(recorded(platform, "base64", who="Ada"))["stdout"] == ["out Ada"]


def test_images_made_of_the_skeleton_run_what_they_bring_or_what_comes(platform: Platform, engine: Engine) -> None:
    lines = "FROM openwhisk/dockerskeleton:nightly\nRUN touch /sprinkled\nCOPY exec /action/exec\n"
    image = built(engine, "derived/skeleton:0.1", lines, {"exec": b"#!/bin/sh\nls /sprinkled\necho '{\"own\": true}'"})
    create(platform, "own", {"kind": "blackbox", "image": image})
    create(platform, "other", {"kind": "blackbox", "image": image, "code": NATIVE})
    record = recorded(platform, "own")
    assert (record["response"]["result"], printed(record)) == ({"own": True}, ["stdout: /sprinkled"])
    assert recorded(platform, "other", who="Ada")["response"]["result"]["runs"] == 1
    bare = built(engine, "derived/bare:0.1", "FROM openwhisk/dockerskeleton:nightly")
    create(platform, "bare", {"kind": "blackbox", "image": bare})
    response = recorded(platform, "bare")["response"]
    assert response["result"] == {"error": "The action failed to generate or locate a binary. See logs for details."}
