"""What the clients call. Each action tells the counter that it runs, where there is one, and answers with its token."""

import json
from typing import Any

import msgspec

PYTHON = """
import json, os, socket, time
def count(args):
    if args.get("counter"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as told:
            try:
                told.sendto(args["token"].encode(), tuple(args["counter"]))
            except OSError:
                pass
def main(args):
    count(args)
"""
_NODE = """
const dgram = require('dgram');
function main(args) {
    console.log('node ' + args.token);
    if (!args.counter) return {token: args.token};
    return new Promise(resolve => {
        const told = dgram.createSocket('udp4');
        const end = () => { told.close(); resolve({token: args.token}); };
        told.on('error', () => resolve({token: args.token}));
        told.send(args.token, args.counter[1], args.counter[0], end);
    });
}
"""
_NATIVE = r"""#!/bin/bash
token=$(printf %s "$1" | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
host=$(printf %s "$1" | sed -n 's/.*"counter": *\["\([^"]*\)".*/\1/p')
port=$(printf %s "$1" | sed -n 's/.*"counter": *\["[^"]*", *\([0-9]*\).*/\1/p')
[ -n "$host" ] && (printf %s "$token" > "/dev/udp/$host/$port") 2>/dev/null
echo "native $token"
echo "{\"token\": \"$token\"}"
"""
_NESTED = """
    from base64 import b64encode
    import http.client
    host = os.environ["__OW_API_HOST"].removeprefix("http://")
    key = b64encode(os.environ["__OW_API_KEY"].encode()).decode()
    inner = {"token": args["token"] + "+", "counter": args.get("counter")}
    connection = http.client.HTTPConnection(host, timeout=50)
    headers = {"Authorization": "Basic " + key, "Content-Type": "application/json"}
    try:
        path = "/api/v1/namespaces/_/actions/echo?blocking=true"
        connection.request("POST", path, json.dumps(inner), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        return {"token": args["token"], "status": response.status, "nested": body.get("activationId", "")}
    except (OSError, http.client.HTTPException) as error:
        return {"token": args["token"], "status": 0, "nested": "", "why": repr(error)}
"""


class Kind(msgspec.Struct, frozen=True):
    """An action, and what its activations end in if nobody does them harm."""

    name: str
    code: str
    kind: str = "python:3"
    status: str = "success"
    idempotent: bool = False
    weight: int = 1
    memory: int = 128
    logs: int = 10
    image: str = "openwhisk/dockerskeleton"
    """Of blackbox actions."""

    def document(self) -> dict[str, Any]:
        image = {"image": self.image} if self.kind == "blackbox" else {}
        code = {"code": self.code} if self.code else {}
        return {
            "exec": {"kind": self.kind, **code, **image},
            "limits": {"memory": self.memory, "timeout": 60000, "logs": self.logs},
            "annotations": [
                {"key": "provide-api-key", "value": self.name == "nested"},
                {"key": "idempotent", "value": self.idempotent},
            ],
        }


KINDS = (
    Kind("echo", PYTHON + "    print('echo', args['token'])\n    return {'token': args['token']}\n", weight=6),
    Kind("quiet", PYTHON + "    return {'token': args['token']}\n", weight=4),
    Kind("node", _NODE, kind="nodejs:20", weight=3),
    Kind("native", _NATIVE, kind="blackbox", weight=2),
    Kind("slow", PYTHON + "    time.sleep(args['seconds'])\n    return {'token': args['token']}\n", weight=3),
    Kind(
        "again",
        PYTHON + "    time.sleep(args['seconds'])\n    return {'token': args['token']}\n",
        idempotent=True,
        weight=2,
    ),
    Kind("nested", PYTHON + _NESTED, weight=2),
    Kind("big", PYTHON + "    return {'token': args['token'], 'filling': 'x' * 60_000}\n"),
    Kind("chatty", PYTHON + "    print('line\\n' * 100)\n    return {'token': args['token']}\n"),
    Kind("error", PYTHON + "    return {'error': args['token']}\n", status="application error"),
    Kind("raises", PYTHON + "    raise ValueError(args['token'])\n", status="action developer error"),
    Kind("exits", PYTHON + "    os._exit(1)\n", status="action developer error"),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def token_of(result: Any) -> str:
    """What an activation that got as far as its answer was called by; empty for others."""
    if not isinstance(result, dict):
        return ""
    token = result.get("token") or result.get("error")
    return token if isinstance(token, str) else json.dumps(token)
