"""What the driver is asked for: image, whether it is fetched, whether sentinels end its logs (spec: container.md §1,
§4.3, logs.md §2)."""

import json

import pytest
from msgspec import structs

from tests.unit.invoker.conftest import NO_LOGS, Stage
from upcall.core.pool import PoolConfig
from upcall.core.prewarm import StemCell
from upcall.invoker.specs import Specs
from upcall.model.entities import Action, Exec
from upcall.model.images import ANY_TAG, Image
from upcall.model.runtimes import Deployment, parse_manifest
from upcall.testing import an_action, an_identity, an_instance, until

MANIFEST = parse_manifest(
    json.dumps(
        {
            "runtimes": {
                "python": [{"kind": "python:3", "image": {"prefix": "upcall", "name": "python", "tag": "0.1"}}],
                "nodejs": [
                    {
                        "kind": "nodejs:20",
                        "image": {"name": "node", "registry": "own.example.org"},
                        "sentinelledLogs": False,
                    }
                ],
            },
            "blackboxes": [{"prefix": "openwhisk", "name": "dockerskeleton", "tag": ANY_TAG}, {"name": "trusted"}],
        }
    )
)
PLACES = Deployment(
    registry="reg:5000/mine",
    users_registry="theirs:5000",
    local_prefix="whisk",
    plays=((Image("dockerskeleton", "openwhisk", ANY_TAG), Image("skeleton", "upcall", "0.1")),),
)
NOWHERE = Deployment()


def blackbox(image: str) -> Action:
    return structs.replace(an_action(limits=NO_LOGS), exec=Exec(kind="blackbox", image=image))


@pytest.mark.parametrize(
    ("image", "deployment", "name", "pull", "sentinels"),
    [
        ("alice/img:1", NOWHERE, "alice/img:1", True, False),
        ("alice/img:1", PLACES, "theirs:5000/alice/img:1", True, False),
        ("host:1/alice/img", PLACES, "host:1/alice/img", True, False),
        ("openwhisk/dockerskeleton:nightly", NOWHERE, "openwhisk/dockerskeleton:nightly", False, True),
        ("openwhisk/dockerskeleton:nightly", PLACES, "reg:5000/mine/upcall/skeleton:0.1", False, True),
        ("trusted:latest", PLACES, "reg:5000/mine/trusted:latest", False, True),
        ("trusted:other", PLACES, "theirs:5000/trusted:other", True, False),
        ("whisk/own:1", NOWHERE, "whisk/own:1", True, False),
        ("whisk/own:1", PLACES, "reg:5000/mine/whisk/own:1", False, True),
    ],
)
async def test_images_of_users(
    stage: Stage, image: str, deployment: Deployment, name: str, pull: bool, sentinels: bool
) -> None:
    async with stage.started(manifest=MANIFEST, deployment=deployment):
        await stage.call(blackbox(image))
    spec = stage.container.spec
    assert (spec.kind, spec.image, spec.pull, spec.sentinels) == ("blackbox", name, pull, sentinels)


@pytest.mark.parametrize(
    ("kind", "name", "sentinels"),
    [("python:3", "reg:5000/mine/upcall/python:0.1", True), ("nodejs:20", "own.example.org/node", False)],
)
async def test_managed_images(stage: Stage, kind: str, name: str, sentinels: bool) -> None:
    async with stage.started(manifest=MANIFEST, deployment=PLACES):
        await stage.call(an_action(kind=kind, limits=NO_LOGS))
    spec = stage.container.spec
    assert (spec.kind, spec.image, spec.pull, spec.sentinels) == (kind, name, False, sentinels)


async def test_an_image_is_its_actions_owners_and_the_container_the_callers(stage: Stage) -> None:
    """Who calls an action that others share does not need to be let into its author's registry."""
    async with stage.started(manifest=MANIFEST):
        await stage.call(blackbox("alice/img"), user=an_identity("carol"))
    assert (stage.container.spec.tenant, stage.container.spec.owner) == ("carol", "guest")


async def test_what_is_kept_ready_is_nobodys(stage: Stage) -> None:
    pool = PoolConfig(memory=1024, prewarm=(StemCell("nodejs:20", 256, 1),))
    async with stage.started(pool, manifest=MANIFEST, deployment=PLACES):
        await until(lambda: bool(stage.containers.made))
    spec = stage.container.spec
    assert (spec.image, spec.tenant, spec.owner, spec.pull, spec.sentinels) == (
        "own.example.org/node",
        "",
        "",
        False,
        False,
    )


def test_the_canary_has_the_image_in_full() -> None:
    spec = Specs(an_instance(), MANIFEST, PLACES).canary(256, ["python:3"])
    assert (spec.image, spec.pull) == ("reg:5000/mine/upcall/python:0.1", False)
