"""The npm package `openwhisk`, unchanged, inside a Node.js action: it finds the platform by its environment."""

import base64
import io
import zipfile
from pathlib import Path

from tests.system.serving import running
from tests.system.test_npm_client import client

__all__ = ["client"]

MAIN = """
const openwhisk = require('openwhisk')
exports.main = async params => {
  const ow = openwhisk()
  const result = await ow.actions.invoke({ name: 'double', params, blocking: true, result: true })
  const record = await ow.actions.invoke({ name: '/_/double', params: { n: 4 }, blocking: true })
  const failed = await ow.actions.invoke({ name: 'missing', blocking: true }).catch(error => error.statusCode)
  return {
    host: process.env.__OW_API_HOST,
    result,
    record: record.response.result,
    failed,
    actions: (await ow.actions.list()).map(action => action.name).sort(),
    namespaces: await ow.namespaces.list()
  }
}
"""


def zipped(modules: Path) -> str:
    """The action with the package beside it, as `zip -r` makes it; in base64."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package.json", '{"main": "main.js"}')
        archive.writestr("main.js", MAIN)
        for path in sorted(modules.rglob("*")):
            if path.is_file() and not path.is_symlink():
                archive.write(path, path.relative_to(modules.parent))
    return base64.b64encode(file.getvalue()).decode()


def test_it_invokes_another_action(client: Path, tmp_path: Path) -> None:
    with running(tmp_path / "data") as platform:
        platform.create("double", "def main(args): return {'n': args['n'] * 2}")
        action = {
            "exec": {"kind": "nodejs:default", "code": zipped(client.parent / "node_modules"), "binary": True},
            "annotations": [{"key": "provide-api-key", "value": True}],
        }
        assert platform.call("PUT", "actions/outer", action).status == 200
        answer = platform.invoke("outer", {"n": 21}, "blocking=true&result=true")
    assert (answer.status, answer.body) == (
        200,
        {
            "host": "http://192.0.2.1",
            "result": {"n": 42},
            "record": {"n": 8},
            "failed": 404,
            "actions": ["double", "outer"],
            "namespaces": ["guest"],
        },
    )
