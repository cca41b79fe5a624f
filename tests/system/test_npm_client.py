"""The npm package `openwhisk`, unchanged, against the real platform."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.serving import running

HERE = Path(__file__).parent / "npm"
INSTALL = ("npm", "ci", "--no-audit", "--no-fund")
ANEW = ("--fetch-timeout=10000", "--fetch-retries=5")
"""A registry that does not answer is asked again well within a test's time."""
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's script beside its installed modules, which are cached outside the checkout."""
    lock = HERE / "package-lock.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "upcall" / "npm"
    folder = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, folder)
        subprocess.run([*INSTALL, *ANEW], cwd=folder, check=True, timeout=300)
        (folder / "done").touch()
    for script in HERE.glob("*.js"):
        shutil.copy(script, folder)
    return folder / "client.js"


def test_the_client_creates_invokes_reads_and_deletes(client: Path, tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        done = subprocess.run(
            ["node", str(client), platform.url, platform.auth], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "created": {"name": "npm", "version": "0.0.1", "kind": "python:3"},
        "updated": "0.0.2",
        "result": {"hello": "npm"},
        "defaulted": {"hello": "default"},
        "record": {"hello": "later"},
        "logs": ["stdout: at work"],
        "stored": {"hello": "later"},
        "listed": 3,
        "actions": ["npm"],
        "got": True,
        "namespaces": ["guest"],
        "failure": {"status": 502, "error": "no"},
        "deleted": "npm",
        "missing": {"status": 404},
    }


def test_each_method_that_the_routes_serve(client: Path, tmp_path: Path) -> None:
    script = client.with_name("methods.js")
    with running(tmp_path / "data") as platform:
        done = subprocess.run(
            ["node", str(script), platform.url, platform.auth], capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode == 0, done.stderr
    missing = {"status": 404, "says": "The requested resource does not exist."}
    denied = "The supplied authentication is not authorized to access 'other/one'."
    page = "The query parameter 'limit' was malformed:\nThe value '201' is not in the range of 0 to 200 for actions."
    assert json.loads(done.stdout) == {
        "create": ["1.2.0", "python:3", [{"key": "a", "value": 1}], 5000, "x"],
        "again": {"status": 409, "says": "resource already exists"},
        "update": ["1.2.1", 4, [{"key": "a", "value": 1}]],
        "buffer": True,
        "object": "0.0.2",
        "get": True,
        "without code": ["binary", "kind"],
        "get both": ["one", "two"],
        "list": ["one"],
        "count": {"actions": 2},
        "invoke both": [32, 32],
        "blocking": {"s": "☃"},
        "in its namespace": {"a": 1},
        "record": ["two", "success"],
        "logs": ["stdout: ☃ & <b>"],
        "result": [True, {}],
        "activations": True,
        "activations count": True,
        "namespaces": ["guest"],
        "bad name": {"status": 400, "says": "The name of the entity contains illegal characters."},
        "no such package": missing,
        "another namespace": {"status": 403, "says": denied},
        "bad page": {"status": 400, "says": page},
        "no record": missing,
        "wrong key": {"status": 401, "says": "The supplied authentication is invalid"},
        "retried": missing,
        "delete both": ["one", "two"],
    }


def test_the_readmes_lines_work(client: Path, tmp_path: Path) -> None:
    block = re.search(r"^```js\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    key = re.search(r"^.*AUTH=\$.*$", README.read_text(), re.MULTILINE)
    assert block is not None
    assert key is not None
    script = tmp_path / "script.js"
    with running(tmp_path / ".local" / "share" / "upcall") as platform:
        platform.create("hello", "def main(args): return {'greeting': 'Hello ' + args['name']}")
        script.write_text(block[1].replace("127.0.0.1:3233", f"127.0.0.1:{platform.port}"))
        done = subprocess.run(
            ["bash", "-euc", f"{key[0]}\nnode {script}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "HOME": str(tmp_path), "NODE_PATH": str(client.parent / "node_modules")},
        )
    assert (done.stdout, done.stderr) == ("{ greeting: 'Hello Ada' }\n", "")
