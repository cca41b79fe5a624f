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
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=300)
        (folder / "done").touch()
    shutil.copy(HERE / "client.js", folder)
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


def test_the_readmes_lines_work(client: Path, tmp_path: Path) -> None:
    block = re.search(r"^```js\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    with running(tmp_path / "data") as platform:
        platform.create("hello", "def main(args): return {'greeting': 'Hello ' + args['name']}")
        lines = (
            block[1]
            .replace("127.0.0.1:3233", f"127.0.0.1:{platform.port}")
            .replace("await ow", "const seen = await ow")
        )
        done = subprocess.run(
            ["node", "-e", f"(async () => {{ {lines}; console.log(JSON.stringify(seen)) }})()"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "AUTH": platform.auth, "NODE_PATH": str(client.parent / "node_modules")},
        )
    assert (done.stdout, done.stderr) == ('{"greeting":"Hello Ada"}\n', "")
