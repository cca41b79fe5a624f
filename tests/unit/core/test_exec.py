"""What counts as base64 and as an image's name; whole bodies are in test_actions."""

import pytest

from upcall.core.exec import exec_size, is_binary, read_exec
from upcall.errors import BadRequest
from upcall.model.entities import Exec
from upcall.model.runtimes import Manifest

NOTHING = Manifest({})


@pytest.mark.parametrize(
    ("code", "binary"),
    [
        ("", False),
        ("  \n", False),
        ("abcd", True),
        ("abc", False),
        ("abc=", True),
        ("ab==", True),
        ("a===", False),
        ("====", False),
        ("ab=c", False),
        ("  YWJj\n", True),
        ("YW Jj", False),
        ("a+/9", True),
        ("a-_9", False),
        ("äöüß", False),
        ("x" * 4_000_000, True),
    ],
)
def test_is_binary(code: str, binary: bool) -> None:
    assert is_binary(code) is binary


@pytest.mark.parametrize(
    "image",
    [
        "python",
        "me/img",
        "me/img:1.0",
        "a/b/c:latest",
        "localhost:5000/me/img",
        "registry.example.com/me/img:tag_1-x",
        f"img@sha256:{'0' * 64}",
    ],
)
def test_images(image: str) -> None:
    assert read_exec({"kind": "blackbox", "image": image}, NOTHING).image == image


@pytest.mark.parametrize("image", ["", "/img", "img/", "Img", "img:", "img:a:b", "a b", "img@sha256:0", "http://h/img"])
def test_images_that_cannot_be(image: str) -> None:
    with pytest.raises(BadRequest, match="could not parse image name"):
        read_exec({"kind": "blackbox", "image": image}, NOTHING)


def test_size_counts_code_main_and_image() -> None:
    assert exec_size(Exec("blackbox")) == 0
    assert exec_size(Exec("blackbox", code="é", image="img", main="m")) == 6
