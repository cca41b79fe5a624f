"""Names of images (spec: container.md §1)."""

import pytest

from upcall.model.images import Image, parse_image, parse_registry, refusal

DIGEST = "sha256:" + "0a" * 32


def test_images_are_written() -> None:
    assert str(Image("n")) == "n"
    assert str(Image("n", "p", "t", "host:5000")) == "host:5000/p/n:t"
    assert str(Image("n", "p", "t", "host:5000/", DIGEST)) == f"host:5000/p/n:t@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("alice/img:1.2", Image("img", "alice", "1.2")),
        ("img", Image("img")),
        ("localhost:5000/a/b/img", Image("img", "a/b", "", "localhost:5000")),
        ("docker.io/img:x", Image("img", "", "x", "docker.io")),
        ("localhost/img", Image("img", "", "", "localhost")),
        (f"alice/img@{DIGEST}", Image("img", "alice", digest=DIGEST)),
        (f"alice/img:1@{DIGEST}", Image("img", "alice", "1", digest=DIGEST)),
    ],
)
def test_images_are_read(text: str, image: Image) -> None:
    assert parse_image(text) == image
    assert str(image) == text
    assert refusal(text) is None


@pytest.mark.parametrize(
    ("text", "full", "host"),
    [
        ("img", "docker.io/library/img:latest", "docker.io"),
        ("alice/img:1", "docker.io/alice/img:1", "docker.io"),
        ("index.docker.io/img", "docker.io/library/img:latest", "docker.io"),
        ("localhost:5000/img", "localhost:5000/img:latest", "localhost:5000"),
        ("reg.example.org/a/b/c:1", "reg.example.org/a/b/c:1", "reg.example.org"),
        (f"img:1@{DIGEST}", f"docker.io/library/img@{DIGEST}", "docker.io"),
    ],
)
def test_the_full_name_names_nothing_else(text: str, full: str, host: str) -> None:
    image = parse_image(text)
    assert (image.full, image.host) == (full, host)


def test_a_registry_may_go_on_with_a_path() -> None:
    image = Image("img", "alice").at(parse_registry(" reg:5000/mine/ "))
    assert (str(image), image.host, image.full) == (
        "reg:5000/mine/alice/img",
        "reg:5000",
        "reg:5000/mine/alice/img:latest",
    )
    assert str(Image("img", registry="own:1").at("reg:5000")) == "own:1/img"
    assert parse_registry("") == ""
    for text in ("https://reg:5000", "reg:port", "a b", "reg/../x", "Reg/Up"):
        with pytest.raises(ValueError, match="is no registry"):
            parse_registry(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no part"),
        ("Alice/img", "'Alice' is no part"),
        ("alice/../img", "'..' is no part"),
        ("alice//img", "'' is no part"),
        ("/img", "look like"),
        ("img:", "look like"),
        ("img@", "look like"),
        ("img;reboot", "is no part"),
        ("$(id)", "is no part"),
        ("img name", "is no part"),
        ("img\n", r"'img\n' is no part"),
        ("a___b", "is no part"),
        ("-v", "'-v' is no part"),
        ("../../etc/passwd", "is no host"),
        ("ho_st:80/img", "'ho_st:80' is no host"),
        ("img:-1", "'-1' is no tag"),
        ("img:" + "t" * 129, "is no tag"),
        ("img@sha256:12", "'sha256:12' is no digest"),
        ("0a" * 32, "by its id"),
        (DIGEST, "by its id"),
        ("x" * 300, "has 300"),
    ],
)
def test_what_is_no_name_is_refused_with_its_reason(text: str, says: str) -> None:
    assert says in str(refusal(text))


def test_a_digest_or_a_tag_does_not_float() -> None:
    assert [parse_image(text).floats for text in ("a", "a:latest", "a:1", f"a@{DIGEST}")] == [True, True, False, False]
