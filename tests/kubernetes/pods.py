"""Pods as the driver specifies them, made and asked by tests; they run a program in place of an image's own."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.kubernetes.cluster.fixtures import Cluster
from tests.system import engine_images
from upcall.containers.kubernetes.labels import Maker
from upcall.containers.kubernetes.options import Object, PodOptions
from upcall.containers.kubernetes.spec import pod
from upcall.ports import ContainerSpec

IMAGE = "localhost/upcall-test/python:3"
MAKER = Maker(invoker=0, release="test", instance="i", boot="b")
SPEC = ContainerSpec(kind="python:3", image=IMAGE, memory=128, name="wsk00_1_guest_hello", tenant="guest")
ACTION = """
import http.server, json, sys
print("listening", flush=True)
class Action(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        exec(json.loads(body)["code"], {"sys": sys})
        for stream in sys.stdout, sys.stderr:
            print("XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX", file=stream, flush=True)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("", 8080), Action).serve_forever()
"""


def template(program: str) -> Object:
    return {"spec": {"containers": [{"name": "user-action", "command": ["python3", "-c", program]}]}}


def make(cluster: Cluster, namespace: str, program: str, spec: ContainerSpec = SPEC, **options: Any) -> str:
    """The pod's name; its container runs."""
    cluster.load(IMAGE, engine_images.root("python"))
    given = PodOptions(namespace=namespace, place=None, template=template(program))
    made = pod(spec, msgspec.structs.replace(given, **options), MAKER, action="hello")
    cluster.kubectl("create", "-f", "-", input=json.dumps(made))
    name: str = made["metadata"]["name"]
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.podIP}", f"pod/{name}", "--timeout=60s")
    return name


def shown(cluster: Cluster, namespace: str, pod: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(cluster.kubectl("-n", namespace, "get", "pod", pod, "-o", "json"))
    return found


def run(cluster: Cluster, namespace: str, pod: str, code: str) -> None:
    """An activation of ACTION, as soon as it listens. Raises OSError or HTTPException where it dies."""
    address = shown(cluster, namespace, pod)["status"]["podIP"]
    request = urllib.request.Request(f"http://{address}:8080/run", json.dumps({"code": code}).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 30
    with cluster.inside():
        while True:
            try:
                with opener.open(request, timeout=60) as got:
                    assert got.status == 200
                    return
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > end:
                    raise
            time.sleep(0.05)
