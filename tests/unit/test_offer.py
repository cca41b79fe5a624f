"""Which kinds are offered, what runs each, and what is said of it."""

import pytest

from upcall import __version__
from upcall.app.offer import by_both, by_docker, by_pods, by_process, docker_manifest, wanted
from upcall.errors import Misconfigured
from upcall.model.images import Image, parse_image
from upcall.model.runtimes import Deployment, Manifest, Runtime, parse_manifest

PYTHON, NODEJS, SKELETON = (f"upcall/{name}:{__version__}" for name in ("python", "nodejs", "skeleton"))
ALL = {PYTHON, NODEJS, SKELETON}
HERE = ["python:3", "python:3.11"]
PLAIN = Deployment()
GIVEN = parse_manifest(
    '{"runtimes":{"python":[{"kind":"python:3","image":{"prefix":"me","name":"py","tag":"1"}}],'
    '"java":[{"kind":"java:8","image":{"prefix":"me","name":"java","tag":"1"}}]}}'
)


def test_sandboxes_run_what_there_is_and_need_no_word_of_it() -> None:
    offer = by_process(None, HERE)
    assert (offer.manifest.kinds, offer.kinds, offer.lines()) == (HERE, HERE, [])
    assert {pick.driver for pick in offer.picks} == {"process"}


def test_of_a_given_manifest_sandboxes_run_what_they_can(caplog: pytest.LogCaptureFixture) -> None:
    assert by_process(GIVEN, HERE).manifest.kinds == ["python:3"]
    assert "the manifest has them: java:8" in caplog.text


def test_docker_runs_our_images_and_native_executables_in_our_skeleton(caplog: pytest.LogCaptureFixture) -> None:
    offer = by_docker(None, PLAIN, ALL)
    assert offer.lines() == [
        f"docker runs:     python:3 python:3.11 ({PYTHON}), nodejs:20 ({NODEJS}), native ({SKELETON})"
    ]
    assert offer.manifest == docker_manifest()
    native = parse_image("openwhisk/dockerskeleton:nightly")
    assert offer.manifest.is_native(native)
    assert str(offer.deployment.native(native)) == SKELETON
    assert not caplog.messages


def test_a_missing_image_is_told_with_what_brings_it_and_comes_last(caplog: pytest.LogCaptureFixture) -> None:
    offer = by_docker(None, PLAIN, {NODEJS})
    assert offer.kinds == ["nodejs:20", "python:3", "python:3.11"]
    assert offer.present == ["nodejs:20"]
    assert caplog.messages == [
        f"the Docker engine does not have the image {PYTHON} of python:3, python:3.11: scripts/images python",
        f"the Docker engine does not have the image {SKELETON} of native: scripts/images skeleton",
    ]
    assert f"python:3 python:3.11 ({PYTHON}, which is missing)" in offer.lines()[0]


def test_images_of_a_given_manifest_are_pulled(caplog: pytest.LogCaptureFixture) -> None:
    deployment = Deployment(registry="r.example:5000")
    offer = by_docker(GIVEN, deployment, ["r.example:5000/me/py:1"])
    assert offer.deployment == deployment
    assert caplog.messages == [
        "the Docker engine does not have the image r.example:5000/me/java:1 of java:8: "
        "docker pull r.example:5000/me/java:1"
    ]
    by_docker(None, deployment, [])
    assert f"docker pull r.example:5000/{NODEJS}" in caplog.text


def test_of_a_cluster_every_image_is_taken_to_be_there(caplog: pytest.LogCaptureFixture) -> None:
    offer = by_pods(GIVEN, Deployment(registry="r.example:5000"))
    assert offer.present == ["python:3", "java:8"]
    assert offer.lines() == ["kubernetes runs: python:3 (r.example:5000/me/py:1), java:8 (r.example:5000/me/java:1)"]
    assert str(by_pods(None, PLAIN).deployment.native(parse_image("openwhisk/dockerskeleton:nightly"))) == SKELETON
    assert not caplog.messages


def test_a_manifest_without_kinds_is_refused() -> None:
    with pytest.raises(Misconfigured, match="--runtimes: it has no kinds"):
        by_docker(Manifest({}), PLAIN, [])


def test_of_both_the_host_comes_first_and_docker_has_what_is_there() -> None:
    offer = by_both(None, [*HERE, "nodejs:22"], PLAIN, ALL)
    assert offer.manifest.kinds == [*HERE, "nodejs:22", "nodejs:20"]
    default = offer.manifest.runtime("nodejs:default")
    assert default is not None
    assert default.kind == "nodejs:22"
    assert offer.lines() == [
        "process runs:    python:3 python:3.11 nodejs:22 native: this host runs them",
        f"docker runs:     nodejs:20 ({NODEJS}): this host does not run them",
        "docker runs:     blackbox: images are Docker's",
    ]
    assert str(offer.deployment.native(Image("dockerskeleton", "openwhisk"))) == "openwhisk/dockerskeleton"


def test_of_both_our_own_images_are_offered_where_they_are_there(caplog: pytest.LogCaptureFixture) -> None:
    offer = by_both(None, HERE, PLAIN, [])
    assert offer.manifest.kinds == HERE
    assert not caplog.messages
    made = by_both(None, HERE, PLAIN, [NODEJS]).manifest.runtime("nodejs:default")
    assert made == Runtime("nodejs:20", parse_image(NODEJS), default=True)


def test_of_both_a_given_manifest_names_images_that_may_come_yet(caplog: pytest.LogCaptureFixture) -> None:
    offer = by_both(GIVEN, HERE, PLAIN, [])
    assert [(pick.kind, pick.driver, pick.there) for pick in offer.picks[:2]] == [
        ("python:3", "process", True),
        ("java:8", "docker", False),
    ]
    assert "docker pull me/java:1" in caplog.text


def test_an_engine_is_asked_for_each_image_once() -> None:
    assert wanted(None, PLAIN) == [PYTHON, NODEJS, SKELETON]
    assert wanted(GIVEN, Deployment(registry="r.example")) == ["r.example/me/py:1", "r.example/me/java:1"]
