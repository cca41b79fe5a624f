"""The runtimes manifest (spec: container.md §1)."""

import json
from typing import Any

import pytest

from upcall.model.images import ANY_TAG, Image
from upcall.model.runtimes import Deployment, Manifest, parse_manifest

SKELETON, OWN = Image("dockerskeleton", "openwhisk", ANY_TAG), Image("skeleton", "upcall", "0.1")


def manifest(*kinds: dict[str, Any]) -> str:
    entries = [{"image": {"name": "x"}, **kind} for kind in kinds]
    return json.dumps({"runtimes": {"python": entries}})


def test_a_family_of_one_is_its_own_default() -> None:
    runtime = parse_manifest(manifest({"kind": "python:3"})).runtime("Python:Default ")
    assert runtime is not None
    assert runtime.kind == "python:3"


def test_of_several_the_marked_one_is_the_default() -> None:
    parsed = parse_manifest(manifest({"kind": "python:2"}, {"kind": "python:3", "default": True}))
    assert parsed.runtime("python:default") is parsed.runtime("python:3")
    assert parsed.kinds == ["python:2", "python:3"]
    assert parsed.runtime("cobol:default") is None


def test_the_whole_format() -> None:
    """Kinds count without regard to case; what is left out has upstream's defaults."""
    text = """{"description": ["of upstream's deployments"], "runtimes": {"nodejs": [
        {"kind": " NodeJS:20", "default": true, "deprecated": false, "requireMain": false, "sentinelledLogs": false,
         "image": {"prefix": "openwhisk", "name": "action-nodejs-v20", "tag": "nightly", "registry": "reg:5000/"},
         "attached": {"attachmentName": "codefile", "attachmentType": "text/plain"},
         "stemCells": [{"initialCount": 2, "memory": "256 MB", "reactive":
            {"minCount": 1, "maxCount": 4, "ttl": "2 minutes", "threshold": 1, "increment": 1}},
            {"count": 1, "memory": "512 MB"}]},
        {"kind": "nodejs:18", "image": {"name": "n"}}], "empty": []},
        "blackboxes": [{"prefix": "openwhisk", "name": "dockerskeleton", "tag": "nightly"},
                       {"name": "x", "tag": "*"}]}"""
    found = parse_manifest(text)
    first, second = found.all
    assert (first.kind, str(first.image)) == ("nodejs:20", "reg:5000/openwhisk/action-nodejs-v20:nightly")
    assert not first.sentinelled_logs
    assert [(cell.wanted, cell.megabytes, cell.reactive is None) for cell in first.stem_cells] == [
        (2, 256, False),
        (1, 512, True),
    ]
    assert (second.default, second.deprecated, second.require_main, second.sentinelled_logs) == (
        False,
        False,
        False,
        True,
    )
    assert second.stem_cells == []
    assert found.is_native(Image("dockerskeleton", "openwhisk", "nightly"))
    assert found.is_native(Image("x", tag="any"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (manifest({"kind": "a"}, {"kind": "b"}), "python has multiple versions, but no default."),
        (
            manifest({"kind": "a", "default": True}, {"kind": "b", "default": True}),
            "Found more than one default for python: a, b",
        ),
        ("{", "cannot be read"),
        (json.dumps({"runtimes": {"python": [{"kind": "a"}]}}), "missing required field `image`"),
        (manifest({"kind": "a", "stemCells": [{"initialCount": 0, "memory": "1 m"}]}), "initialCount"),
        (manifest({"kind": "a", "stemCells": [{"initialCount": 1, "memory": "much"}]}), "is no size"),
        (manifest({"kind": "a", "stemCells": [{"initialCount": 1, "memory": "0 MB"}]}), "memory must be 1 MB or more"),
        (manifest({"kind": " "}), "kind: it is empty"),
        (manifest({"kind": "a", "image": {"name": "Big"}}), r"image of a: 'Big' is no part of a name"),
        (
            manifest({"kind": "a", "image": {"name": "b", "registry": "https://reg/"}}),
            "image of a: 'https:' is no host",
        ),
        (manifest({"kind": "a", "sentinelledLogs": "yes"}), r"Expected `bool`, got `str` .*sentinelledLogs"),
        (json.dumps({"runtimes": {}, "blackboxes": [{"name": "a b"}]}), r"'a b' is no part .*\$.blackboxes\[0\]"),
    ],
)
def test_a_bad_manifest_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_manifest(text)


@pytest.mark.parametrize(
    ("reactive", "says"),
    [
        ({"minCount": 3, "maxCount": 2, "ttl": "1 m", "threshold": 1, "increment": 1}, "maxCount"),
        ({"minCount": 0, "maxCount": 2, "ttl": "1 m", "threshold": 0, "increment": 1}, "threshold"),
        ({"minCount": 0, "maxCount": 2, "ttl": "1 m", "threshold": 1, "increment": 3}, "increment"),
    ],
)
def test_reactive_counts_must_fit(reactive: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_manifest(manifest({"kind": "a", "stemCells": [{"count": 1, "memory": "1 m", "reactive": reactive}]}))


@pytest.mark.parametrize(
    ("image", "pulled", "bypassed"),
    [
        ("openwhisk/dockerskeleton", False, False),
        ("openwhisk/dockerskeleton:latest", False, False),
        ("registry:5000/openwhisk/dockerskeleton", False, False),
        ("openwhisk/dockerskeleton:nightly", True, True),
        ("alice/dockerskeleton", True, True),
        ("whisk/own", True, False),
        ("own", True, True),
        ("whisk/sub/own", True, True),
    ],
)
def test_which_images_are_pulled(image: str, pulled: bool, bypassed: bool) -> None:
    known = Manifest({}, [Image("dockerskeleton", "openwhisk")])
    assert known.is_pulled(image) is pulled
    assert known.is_pulled(image, "whisk") is bypassed
    assert known.is_pulled(image, "") is pulled, "no prefix is not the empty one"


def test_where_images_are() -> None:
    here = Deployment(registry="reg:5000/mine", users_registry="theirs.example.org/", plays=((SKELETON, OWN),))
    image = Image("img", "alice", "1")
    assert str(here.managed(image)) == "reg:5000/mine/alice/img:1"
    assert str(here.foreign(image)) == "theirs.example.org/alice/img:1"
    assert str(here.native(image)) == "reg:5000/mine/alice/img:1"
    assert str(here.native(Image("dockerskeleton", "openwhisk", "nightly"))) == "reg:5000/mine/upcall/skeleton:0.1"
    for place in (here.managed, here.native, here.foreign):
        assert str(place(Image("img", "", "1", "host:1"))) == "host:1/img:1", "its own host wins"
    assert str(Deployment().foreign(image)) == "alice/img:1"
