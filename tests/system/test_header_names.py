"""Headers' names have upstream's capitals on every path that an answer takes: scripts look for them by grep."""

from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.system.serving import Platform, running

CORS = {"Access-Control-Allow-Origin", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods"}
ALL = {"Content-Type", "X-Request-ID"}
ENDS = {"date", "server", "content-length", "connection"}
"""The HTTP library's own."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("names") / "data") as started:
        started.create("hello", "def main(args): return args")
        yield started


@pytest.mark.parametrize(
    ("method", "path", "known", "names"),
    [
        ("GET", "/api/v1", False, CORS),
        ("OPTIONS", "/api/v1/namespaces/_/actions", False, CORS),
        ("GET", "/api/v1/namespaces", True, CORS),
        ("GET", "/api/v1/namespaces", False, {"WWW-Authenticate"}),
        ("PUT", "/api/v1/namespaces", True, {"Allow"}),
        ("GET", "/nowhere", False, set()),
        ("GET", "/docs", False, CORS | {"Location"}),
        ("GET", "/docs/index.html", False, CORS | {"Content-Security-Policy"}),
        ("POST", "/api/v1/namespaces/_/actions/hello?blocking=true", True, CORS | {"x-openwhisk-activation-id"}),
        ("POST", "/api/v1/namespaces/_/actions/hello", False, {"WWW-Authenticate"}),
        ("GET", f"/api/v1/{'x' * 9000}", False, set()),
    ],
)
def test_capitals(platform: Platform, method: str, path: str, known: bool, names: set[str]) -> None:
    connection: HTTPConnection = platform.connect()
    credentials = {"Authorization": "Basic " + b64encode(platform.auth.encode()).decode()} if known else {}
    connection.request(method, path, headers=credentials)
    seen = [name for name, _ in connection.getresponse().getheaders()]
    connection.close()
    assert set(seen) - ENDS == ALL | names
    assert len(seen) == len(set(seen))
