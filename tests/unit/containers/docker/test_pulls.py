"""What registries' refusals mean, as Docker 20.10 and Docker Hub word them."""

import pytest

from upcall.containers.docker.images import program
from upcall.containers.docker.pulls import is_denied


@pytest.mark.parametrize(
    ("status", "message", "denied"),
    [
        (
            404,
            "pull access denied for me/img, repository does not exist or may require 'docker login': denied: requested "
            "access to the resource is denied",
            True,
        ),
        (500, 'Head "http://127.0.0.1:5000/v2/a/b/manifests/1": no basic auth credentials', True),
        (500, 'Head "http://127.0.0.1:5000/v2/a/b/manifests/1": unauthorized: authentication required', True),
        (500, "error parsing HTTP 403 response body: unexpected end of JSON input: Forbidden", True),
        (401, "", True),
        (403, "", True),
        (404, "manifest for reg/a/b:1 not found: manifest unknown: manifest unknown", False),
        (500, 'Get "https://reg/v2/": dial tcp: lookup reg: no such host', False),
        (500, 'Get "http://127.0.0.1:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused', False),
        (500, "toomanyrequests: You have reached your pull rate limit.", False),
        (0, "The Docker engine has not done it in 600 s.", False),
    ],
)
def test_a_refusal_of_the_credentials_is_told_apart(status: int, message: str, denied: bool) -> None:
    assert is_denied(status, message) is denied


def test_what_an_image_does_not_say_is_empty() -> None:
    found = program({"Id": "sha256:1", "Config": {"Entrypoint": None, "Cmd": ["a", "b"], "Env": ["A=1"]}})
    assert (found.image, found.entrypoint, found.command, found.environment) == ("sha256:1", (), ("a", "b"), ("A=1",))
    assert program({"Id": "sha256:2"}).command == ()
