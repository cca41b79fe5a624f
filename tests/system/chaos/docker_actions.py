"""What the clients call where actions run in Docker's containers. Each notes in a folder of the host that it
runs, before it does anything else: no network is needed for that, and nothing of it gets lost."""

from tests.system.chaos.actions import Kind

NOTES = "/ledger"
IMAGE = "trial/server:1"

_PYTHON = f"""
import os, time
def note(token):
    os.close(os.open(f"{NOTES}/{{token}}-{{time.time_ns()}}", os.O_CREAT | os.O_EXCL))
def main(args):
    note(args["token"])
"""
_TOLD = "    return {'token': args['token']}\n"
_NODE = f"""
const fs = require('fs');
function main(args) {{
    fs.closeSync(fs.openSync('{NOTES}/' + args.token + '-' + process.hrtime.bigint(), 'wx'));
    console.log('node ' + args.token);
    return {{token: args.token}};
}}
"""
_NATIVE = f"""#!/usr/bin/python3 -IS
import json, os, sys, time
token = json.loads(sys.argv[1])["token"]
os.close(os.open(f"{NOTES}/{{token}}-{{time.time_ns()}}", os.O_CREAT | os.O_EXCL))
print("native", token, file=sys.stderr)
print(json.dumps({{"token": token}}))
"""
_NESTED = """
    from base64 import b64encode
    import http.client, json
    host = os.environ["__OW_API_HOST"].removeprefix("http://")
    key = b64encode(os.environ["__OW_API_KEY"].encode()).decode()
    connection = http.client.HTTPConnection(host, timeout=50)
    headers = {"Authorization": "Basic " + key, "Content-Type": "application/json"}
    try:
        path = "/api/v1/namespaces/_/actions/echo?blocking=true"
        connection.request("POST", path, json.dumps({"token": args["token"] + "+"}), headers)
        response = connection.getresponse()
        body = json.loads(response.read())
        return {"token": args["token"], "status": response.status, "nested": body.get("activationId", "")}
    except (OSError, http.client.HTTPException) as error:
        return {"token": args["token"], "status": 0, "nested": "", "why": repr(error)}
"""
SERVER = f"""
import json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["value"]
        said = {{"ok": True}}
        if self.path == "/run":
            said = {{"token": value["token"]}}
            os.close(os.open(f"{NOTES}/{{value['token']}}-{{time.time_ns()}}", os.O_CREAT | os.O_EXCL))
            print("server", value["token"], flush=True)
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 128

Server(("", 8080), Handler).serve_forever()
"""
DOCKERFILE = 'FROM base/python:3\nCOPY server.py /server.py\nCMD ["python3", "-S", "/server.py"]\n'

KINDS = (
    Kind("echo", _PYTHON + "    print('echo', args['token'])\n" + _TOLD, weight=6),
    Kind("quiet", _PYTHON + _TOLD, weight=4),
    Kind("node", _NODE, kind="nodejs:20", weight=3),
    Kind("native", _NATIVE, kind="blackbox", weight=2),
    Kind("image", "", kind="blackbox", weight=2, image=IMAGE),
    Kind("slow", _PYTHON + "    time.sleep(args['seconds'])\n" + _TOLD, weight=3),
    Kind("again", _PYTHON + "    time.sleep(args['seconds'])\n" + _TOLD, idempotent=True, weight=2),
    Kind("nested", _PYTHON + _NESTED, weight=2),
    Kind("large", _PYTHON + "    return {'token': args['token'], 'filling': 'x' * 60_000}\n", memory=256),
    Kind("chatty", _PYTHON + "    print('line\\n' * 100)\n" + _TOLD),
    Kind("flood", _PYTHON + "    print(('x' * 99 + '\\n') * 20_000)\n" + _TOLD, logs=1),
    Kind("error", _PYTHON + "    return {'error': args['token']}\n", status="application error"),
    Kind("raises", _PYTHON + "    raise ValueError(args['token'])\n", status="action developer error"),
    Kind("exits", _PYTHON + "    os._exit(1)\n", status="action developer error"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
